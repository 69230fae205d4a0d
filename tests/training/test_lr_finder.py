"""The finder's rule by hand, and a training with a known largest rate."""

import csv

import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.training import lr_finder
from cxrjax.training.task import Task


def test_running_mean_is_bias_corrected():
    mean = lr_finder.RunningMean()
    for value in (4.0, 2.0):
        mean.add(value)
    assert mean.values == pytest.approx([4.0, (0.98 * 4 + 2) / 1.98])


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_loss():
    assert lr_finder.suggest([1e-4, 1e-3, 1e-2, 1e-1], [3.0, 2.0, 1.0, 9.0]) == pytest.approx(1e-3)


def test_finder_stops_when_the_loss_explodes(tmp_path, monkeypatch):
    """Gradient descent on 5 w^2 is w' = (1 - 10 rate) w: it converges below a rate of 0.2 and explodes above."""

    def loss(params, batch_stats, batch, key):
        return 5 * params["w"] ** 2, batch_stats

    task = Task(jnp.zeros(4), np.zeros(4, np.int32), lambda key: {"params": {"w": jnp.float32(1)}, "batch_stats": {}},
                loss, lambda variables: {})  # fmt: skip
    monkeypatch.setattr(lr_finder, "build_task", lambda config, workdir: task)
    config = default_config()
    config.task = "segment"
    config.optimizer.name, config.optimizer.b1, config.training.batch_size = "sgd", 0.0, 4
    config.lr_finder.min_lr, config.lr_finder.max_lr, config.lr_finder.num_steps = 1.1e-3, 11.0, 101
    chosen = lr_finder.find_learning_rate(freeze(config), tmp_path)
    with (tmp_path / "lr_finder.csv").open() as file:
        rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    w = 1.0
    for k, (rate, found, _) in enumerate(rows):
        assert rate == pytest.approx(1.1e-3 * 10 ** (k / 25), rel=1e-4)
        assert found == pytest.approx(5 * w * w, rel=0.02)
        w *= 1 - 10 * rate
    assert 0.2 < rows[-1][0] < 3 and rows[-1][2] > 4 * min(row[2] for row in rows)
    assert chosen == pytest.approx(min(rows, key=lambda row: row[2])[0] / 10)
    assert (tmp_path / "lr_finder.png").exists() and not (tmp_path / "config.json").exists()
