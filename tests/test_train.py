"""A run that is killed and started again ends bit for bit as one that was not; early stopping is exact."""

import json
import shutil

import jax
import numpy as np
import pytest

from configs import base
from cxrjax import checkpoints, data, runs, train

CLASSES = ("normal", "bacterial", "viral")
SIZE = 64


def draw_split(seed: int, count: int) -> data.Split:
    """Radiographs of two bright boxes as lungs, striped by class."""
    rng = np.random.default_rng(seed)
    images, masks, labels = [], [], []
    for i in range(count):
        kind = i % len(CLASSES)
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[10:50, 6:28], mask[10:50, 36:58], mask[30:48, 28:36] = 3, 2, 1
        stripes = np.indices((SIZE, SIZE))[kind % 2] // (2 + 2 * kind) % 2
        image = 40 + (mask > 1) * (80 + 60 * stripes) + rng.integers(0, 30, (SIZE, SIZE))
        images.append(image.astype(np.uint8))
        masks.append(mask)
        labels.append(CLASSES[kind])
    paths = [f"{seed}-{i}.png" for i in range(count)]
    kinds = np.zeros(count, np.int32)
    return data.Split(
        paths, paths, ["made up"] * count, labels, data.name_keys(paths), np.stack(images), np.stack(masks), kinds, None
    )


@pytest.fixture(autouse=True)
def made_up_data(monkeypatch):
    splits = {"train": draw_split(0, 10), "val": draw_split(1, 6)}
    monkeypatch.setattr(data, "load", lambda directory, split, **_: splits[split])


def segment_config():
    config = base.get_config()
    config.task = "segment"
    config.data.directory = "made up"
    config.image.size = SIZE
    config.segmenter.architecture = "fc_densenet29"
    config.segmenter.size = 32
    config.training.epochs = 3
    config.training.batch_size = 4
    config.training.learning_rate = 1e-3
    config.training.metric = "jaccard"
    config.training.average = 0.9
    config.training.checkpoint_minutes = 0.0  # a save after every step
    config.augmentation.rotation = 5.0
    return config


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def kill_after(monkeypatch, saves: int, before: bool):
    """Let the process die at its save number `saves`, before it is written or just after."""
    save, count = checkpoints.Checkpoints.save, iter(range(1, 10_000))

    def dying(self, kind, step, state):
        dies = next(count) == saves
        if dies and before:
            raise Killed
        save(self, kind, step, state)
        if dies:
            raise Killed

    monkeypatch.setattr(checkpoints.Checkpoints, "save", dying)


def final_state(config, workdir):
    with checkpoints.Checkpoints(workdir / "checkpoints") as kept:
        # Without a shape to fill, Orbax gives back what is on disk.
        return {kind: kept._managers[kind].restore(kept.step(kind)) for kind in checkpoints.KINDS}


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """The run that nobody killed."""
    patch = pytest.MonkeyPatch()
    splits = {"train": draw_split(0, 10), "val": draw_split(1, 6)}
    patch.setattr(data, "load", lambda directory, split, **_: splits[split])
    workdir = tmp_path_factory.mktemp("unkilled") / "run"
    train.train(segment_config(), workdir)
    patch.undo()
    return workdir


# Three steps an epoch. Saves: two inside the first epoch, then "best" and "last" at its end, and so on.
@pytest.mark.parametrize(
    "saves, before", [(2, False), (3, True), (3, False), (4, True), (4, False), (6, False)],
    ids=["inside an epoch", "before best", "between best and last", "after metrics", "between epochs", "second epoch"],
)  # fmt: skip
def test_a_killed_run_ends_bit_identical(tmp_path, unkilled, saves, before):
    workdir, config = tmp_path / "run", segment_config()
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, saves, before)
        with pytest.raises(Killed):
            train.train(config, workdir)
    train.train(config, workdir)
    assert (workdir / "metrics.jsonl").read_text() == (unkilled / "metrics.jsonl").read_text()
    ours, theirs = final_state(config, workdir), final_state(config, unkilled)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_finished_run_started_again_changes_nothing(tmp_path, unkilled):
    workdir = tmp_path / "run"
    shutil.copytree(unkilled, workdir)
    before = (workdir / "metrics.jsonl").read_text()
    train.train(segment_config(), workdir)
    assert (workdir / "metrics.jsonl").read_text() == before


def test_other_settings_in_the_same_folder_are_refused_by_name(unkilled):
    config = segment_config()
    config.training.learning_rate = 5e-3
    with pytest.raises(runs.UnfitRun, match=r"training\.learning_rate=0\.001.*0\.005"):
        train.train(config, unkilled)


def test_early_stopping_is_exact_and_keeps_the_strictly_best(tmp_path, monkeypatch):
    scores = iter([0.5, 0.7, 0.7, 0.69, 0.9])  # an equal score is no better: patience 2 ends after the fourth epoch

    def build(config, workdir):
        task = train.segment.build(config, draw_split(0, 4), draw_split(1, 3))
        return task._replace(validate=lambda variables: {"jaccard": next(scores)})

    monkeypatch.setattr(train, "_build", build)
    config = segment_config()
    config.training.epochs, config.training.patience = 10, 2
    best = train.train(config, tmp_path)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["val/jaccard"] for record in records] == [0.5, 0.7, 0.7, 0.69]
    assert best["epoch"] == 2
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as kept:
        assert kept.step("best") == 2 and kept.step("last") == 4


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    config = segment_config()
    config.training.learning_rate = float("inf")
    with pytest.raises(train.Diverged, match="epoch 1.*learning_rate"):
        train.train(config, tmp_path)


def test_a_classifier_holds_its_segmenter(tmp_path, unkilled):
    """The weights of the segmenter are copied, and come back bit for bit."""
    config = segment_config()
    config.task = "classify"
    config.segmenter.workdir = str(unkilled)
    config.segmenter.smallest_lungs = 0.0
    config.classifier.classes = CLASSES
    config.classifier.channels = 1
    config.patches.size, config.patches.count, config.patches.validation_count = 32, 5, 3
    config.training.epochs = 1
    config.training.metric = "macro_f1"
    config.training.checkpoint_minutes = 5.0
    record = train.train(config, tmp_path)
    assert {"val/macro_f1", "val/accuracy", "val/loss", "train/loss"} <= record.keys()
    variables = runs.load_networks(tmp_path, runs.load_config(tmp_path))
    theirs = runs.load_segmenter(unkilled, runs.load_config(unkilled))
    for one, other in zip(jax.tree.leaves(variables["segmenter"]), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
