"""A training without a validation split uses its last network, and evaluation, audit and report go without it too."""

import json

import jax
import numpy as np
import pytest

from cxrjax import report
from cxrjax.config import freeze, recipes
from cxrjax.evaluation import evaluate
from cxrjax.runs import checkpoints, run_dir
from cxrjax.training import model_selection, trainer
from tests.helpers.tiny_task import build_tiny

pytestmark = pytest.mark.usefixtures("small_segmenter", "no_learning_curves")


def configure(phantom_runs, variant):
    config = recipes.load(f"phantom:{variant}")
    config.data.dir = str(phantom_runs / "data" / "phantom")
    config.data.validation = ""
    config.image.size = 96
    config.segmenter.size = 32
    config.segmenter.workdir = str(phantom_runs / "segment") if variant == "classify" else ""
    config.patches.update({"size": 32, "count": 8})
    config.training.update({"epochs": 2, "batch_size": 4, "patience": 1})
    return config


@pytest.mark.parametrize("variant", ["segment", "classify"])
def test_training_without_validation_uses_the_last_network(phantom_runs, tmp_path, capsys, variant):
    best = trainer.train(freeze(configure(phantom_runs, variant)), tmp_path)
    assert model_selection.WITHOUT_VALIDATION in capsys.readouterr().err
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert best == records[-1] and best["epoch"] == 2  # a patience of 1 ends nothing
    assert not any(key.startswith("val/") for key in best)
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as saved:
        assert saved.step("best") == saved.step("last")
    scores = evaluate.evaluate_run(tmp_path, "test")
    assert not (tmp_path / "calibration.json").exists()
    assert not any("best epoch" in warning for warning in scores["warnings"])
    if variant == "classify":
        assert any("no operating points and no temperature" in warning for warning in scores["warnings"])
    page = report.write(tmp_path, "test").read_text()
    assert "that of epoch 2, the last, since it was trained without validation." in page


def test_last_network_equals_that_of_a_training_with_validation(tmp_path, monkeypatch):
    build = lambda config, workdir: build_tiny(config, workdir)._replace(  # noqa: E731
        **({} if config.data.validation else {"validate": None})
    )
    monkeypatch.setattr(trainer, "build_task", build)
    config = recipes.load("phantom:segment")
    config.training.update({"epochs": 3, "metric": "loss"})
    config.data.validation = ""
    trainer.train(freeze(config), tmp_path / "without")
    config.data.validation = "val"
    trainer.train(freeze(config), tmp_path / "with")
    networks = {}
    for name, tag in (("without", "best"), ("with", "last")):
        with checkpoints.Checkpoints(tmp_path / name / "checkpoints") as saved:
            networks[name] = saved.restore(tag)
    jax.tree.map(np.testing.assert_array_equal, networks["without"]["params"], networks["with"]["params"])
    with pytest.raises(run_dir.RunError, match="data.validation=''"):
        trainer.train(freeze(config), tmp_path / "without")


def test_plateau_schedule_needs_validation_or_a_training_metric(tmp_path):
    config = recipes.load("phantom:segment")
    config.data.validation = ""
    config.training.schedule = "plateau"
    with pytest.raises(ValueError, match=r"plateau needs a data\.validation, or training\.plateau_metric=train/loss$"):
        model_selection.selection_metric(freeze(config))
    config.training.plateau_metric = "train/loss"
    assert model_selection.selection_metric(freeze(config)) == ""
    assert model_selection.best_epoch([{"epoch": 1}, {"epoch": 2}], "") == {"epoch": 2}
