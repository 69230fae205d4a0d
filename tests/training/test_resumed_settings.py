"""A lengthened training equals one of that length from the start, if its learning rate allows it."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.runs import checkpoints, run_dir
from cxrjax.training import trainer
from cxrjax.training.task import Validation
from tests.helpers.tiny_task import build_tiny

STEPS_PER_EPOCH = 3

pytestmark = pytest.mark.usefixtures("no_learning_curves")


@pytest.fixture(autouse=True)
def tiny_task(monkeypatch):
    monkeypatch.setattr(trainer, "build_task", build_tiny)


def configure(**training):
    """A training of the tiny task, with every part of the state that an epoch's end changes."""
    config = default_config()
    config.task = "segment"
    config.data.dir = "no images"
    settings = {
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "metric": "loss",
        "ema_decay": 0.9,
    }
    config.training.update(settings | training)
    return config


def train(workdir, **training):
    return trainer.train(freeze(configure(**training)), workdir)


def records(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def states(workdir):
    folder = workdir / "checkpoints"
    with checkpoints.Checkpoints(folder) as saved:
        return {path.name: (saved.step(path.name), saved.restore(path.name)) for path in folder.iterdir()}


def assert_same_end(one, other):
    assert records(one) == records(other)
    first = states(one)
    second = states(other)
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


UNFREEZING = {"param_groups": (("stem/|norm/", 0.0),), "unfreeze_epoch": 2}  # the phase begins where the run ended
PLATEAU = {"schedule": "plateau", "plateau_min_delta": 100.0, "plateau_patience": 2}  # no score is ever better
CYCLES = {"schedule": "cosine", "cycles": 2}


@pytest.mark.parametrize(
    "settings, longer",
    [({}, {}), (UNFREEZING, {}), (PLATEAU, {}), (CYCLES, {"cycles": 5})],
    ids=["constant", "unfreezing at the former end", "plateau", "cycles"],
)
def test_lengthened_training_equals_one_of_that_length(tmp_path, settings, longer):
    train(tmp_path / "lengthened", **settings)
    train(tmp_path / "lengthened", **settings | {"epochs": 5} | longer)
    train(tmp_path / "at once", **settings | {"epochs": 5} | longer)
    assert_same_end(tmp_path / "lengthened", tmp_path / "at once")


@pytest.mark.parametrize(
    "schedule",
    [
        {"schedule": "cosine", "warmup_fraction": 0.1},
        {"schedule": "steps", "milestones": (0.5,)},
        {"schedule": "one_cycle"},
    ],
    ids=["cosine", "steps", "one cycle"],
)
def test_lengthened_training_has_the_learning_rates_of_the_new_length(tmp_path, schedule):
    train(tmp_path / "lengthened", **schedule)
    former = records(tmp_path / "lengthened")
    train(tmp_path / "lengthened", **schedule, epochs=8)
    train(tmp_path / "at once", **schedule, epochs=8)
    lengthened = records(tmp_path / "lengthened")
    at_once = records(tmp_path / "at once")
    assert lengthened[:2] == former
    assert [record["learning_rate"] for record in lengthened[2:]] == [record["learning_rate"] for record in at_once[2:]]
    assert lengthened[2]["learning_rate"] > former[1]["learning_rate"]  # it rises again
    assert lengthened[3]["val/loss"] != at_once[3]["val/loss"]


def test_changed_settings_are_stored_with_their_former_values(tmp_path):
    train(tmp_path)
    config = configure(epochs=3, patience=7)
    config.evaluation.batch_size = 3
    config.data.num_threads = 1
    trainer.train(freeze(config), tmp_path)
    stored = run_dir.load_config(tmp_path)
    assert (stored.training.epochs, stored.training.patience, stored.evaluation.batch_size) == (3, 7, 3)
    [change] = map(json.loads, (tmp_path / "config_history.jsonl").read_text().splitlines())
    assert change == {
        "step": 2 * STEPS_PER_EPOCH,
        "settings": {
            "data.num_threads": {"former": 2, "new": 1},
            "training.epochs": {"former": 2, "new": 3},
            "training.patience": {"former": 50, "new": 7},
            "evaluation.batch_size": {"former": 8, "new": 3},
        },
    }
    trainer.train(freeze(config), tmp_path)
    assert len((tmp_path / "config_history.jsonl").read_text().splitlines()) == 1  # nothing changed


def test_settings_that_may_not_change_are_refused_by_name(tmp_path):
    train(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    refused = {"learning_rate": 0.1, "metric": "dice_lungs", "ema_decay": 0.0, "schedule": "cosine", "batch_size": 2}
    for name, value in refused.items():
        message = rf"training\.{name}=.* is requested; .* in another --workdir: --config\.pretrained={tmp_path}$"
        with pytest.raises(run_dir.RunError, match=message):
            train(tmp_path, **{"epochs": 9, name: value})
    assert (tmp_path / "config.json").read_bytes() == before and not (tmp_path / "config_history.jsonl").exists()


def test_changeable_settings_exist_and_do_not_affect_steps(tmp_path):
    """Every group that `CHANGEABLE` names can be changed, and the training ends as it would have."""
    config = configure(epochs=3)
    flat = {key: section for section in config for key in ([section] if not hasattr(config[section], "keys") else
        [f"{section}.{name}" for name in config[section]])}  # fmt: skip
    assert all(key in flat or key in config for key in run_dir.CHANGEABLE)
    train(tmp_path / "plain")
    shutil.copytree(tmp_path / "plain", tmp_path / "changed")
    train(tmp_path / "plain", epochs=3)
    config.patches.update({"count": 7, "batch_size": 3})
    config.saliency.scaling = "range"
    config.report.max_cases = 3
    config.ood.keep_quantile = 0.5
    config.lr_finder.num_steps = 3
    config.saliency_eval.num_steps = 2
    config.data.cache_limit_mb = 0.0
    config.training.checkpoint_every_minutes = 0.0
    trainer.train(freeze(config), tmp_path / "changed")
    assert_same_end(tmp_path / "plain", tmp_path / "changed")


def test_training_is_not_shortened_below_the_epochs_begun(tmp_path):
    train(tmp_path, epochs=3)
    with pytest.raises(run_dir.RunError, match=r"3 epochs have begun, more than training.epochs=2; give 3 or more$"):
        train(tmp_path, epochs=2)
    assert run_dir.load_config(tmp_path).training.epochs == 3


def test_unfinished_training_may_end_after_the_epochs_begun(tmp_path):
    train(tmp_path / "run", epochs=2)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["training"]["epochs"] = 9  # as if it had been stopped
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    train(tmp_path / "run", epochs=2)
    train(tmp_path / "other", epochs=2)
    assert_same_end(tmp_path / "run", tmp_path / "other")


@pytest.mark.parametrize("step, begun", [(6, 2), (7, 3), (0, 0)])
def test_epoch_counts_as_begun_with_its_first_step(tmp_path, step, begun):
    path = tmp_path / "metrics.jsonl"
    if step:
        path.write_text('{"step": 3, "epoch": 1}\n{"step": 6, "epoch": 2}\n')
    assert run_dir.history.count_epochs_begun(path, step) == begun
    assert run_dir.history.count_epochs_begun(tmp_path / "none", 2) == 1


@pytest.mark.parametrize(
    "former, longer, message",
    [
        ({}, {"cycles": 2, "epochs": 4}, "started with training.cycles=1, which cannot change: no snapshot was kept"),
        (CYCLES, {"epochs": 4}, r"cycles of 1 epochs, and now training.epochs=4 in training.cycles=2 are requested"),
        (CYCLES, {"epochs": 4, "cycles": 1}, "give 2 or more cycles of 1 epochs"),
    ],
)
def test_cycle_length_cannot_change(tmp_path, former, longer, message):
    train(tmp_path, **former)
    with pytest.raises(run_dir.RunError, match=message):
        train(tmp_path, **former | longer)


def test_early_stopped_training_resumes_only_with_a_larger_patience(tmp_path, monkeypatch, capsys):
    scores = iter([0.9, 0.5, 0.6, 0.7, 0.4, 0.8])
    validate = lambda variables: Validation({"loss": next(scores)})  # noqa: E731
    build = lambda *run: build_tiny(*run)._replace(validate=validate)  # noqa: E731
    monkeypatch.setattr(trainer, "build_task", build)
    sentence = "stopped early after epoch 4, since 2 epochs were not better than the best; a larger training.patience"
    for epochs in (8, 9):  # a longer training alone does not go on
        assert train(tmp_path, epochs=epochs, patience=2)["epoch"] == 2
        assert sentence in capsys.readouterr().err and sentence in (tmp_path / "log.txt").read_text()
    best = train(tmp_path, epochs=6, patience=3)  # the third epoch without a better one would have been the last
    assert best["epoch"] == 5 and [record["val/loss"] for record in records(tmp_path)][-1] == 0.8
    changes = [json.loads(line)["settings"] for line in (tmp_path / "config_history.jsonl").read_text().splitlines()]
    assert [sorted(change) for change in changes] == [["training.epochs"], ["training.epochs", "training.patience"]]


def test_changed_settings_are_recorded_once_despite_a_kill(tmp_path, monkeypatch):
    train(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(run_dir, "_write_config", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(tmp_path, epochs=3)
    train(tmp_path, epochs=3)
    lines = (tmp_path / "config_history.jsonl").read_text().splitlines()
    assert len(lines) == 1 and re.search(r'"epochs": {"former": 2, "new": 3}', lines[0].replace("training.", ""))
