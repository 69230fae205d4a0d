"""A killed and resumed run equals an uninterrupted one bit for bit, and early stopping is exact."""

import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.data import batch, dataset
from cxrjax.runs import checkpoints, dataset_record, run_dir
from cxrjax.runtime import signals
from cxrjax.training import train_step, trainer
from cxrjax.training.task import Validation
from tests.helpers.tiny_task import build_tiny

CLASSES = ("normal", "bacterial", "viral")
SIZE = 64


def draw_split(seed: int, count: int) -> batch.RadiographBatch:
    """Draw radiographs with two bright boxes as lungs, striped by class."""
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
    return batch.RadiographBatch(
        paths, paths, ["made up"] * count, labels, batch.hash_images(images), np.stack(images), np.stack(masks), kinds,
        None, [""] * count, [""] * count, np.full(count, np.nan, np.float32), np.full((count, 2), np.nan, np.float32),
    )  # fmt: skip


pytestmark = pytest.mark.usefixtures("small_segmenter", "no_learning_curves")


def replace_data(patch, splits):
    for function in ("open_split", "load_or_stream"):
        patch.setattr(dataset, function, lambda config, split: splits[split])
    patch.setattr(dataset_record, "save", lambda workdir, config: None)  # there is no data set


@pytest.fixture(autouse=True)
def synthetic_data(monkeypatch):
    splits = {"train": draw_split(0, 10), "val": draw_split(1, 6)}
    replace_data(monkeypatch, splits)


def segment_config():
    config = default_config()
    config.task = "segment"
    config.data.dir = "made up"
    config.image.size = SIZE
    config.segmenter.architecture = "fc_densenet29"
    config.segmenter.size = 32
    config.training.epochs = 3
    config.training.batch_size = 4
    config.training.learning_rate = 1e-3
    config.training.metric = "jaccard"
    config.training.ema_decay = 0.9
    config.training.checkpoint_every_minutes = 0.0  # a save after every step
    config.augmentation.rotation = 5.0
    return config


def let_classify(config, segmenter):
    """Have a config of `segment_config` train a classifier of few parameters on that segmenter's lungs."""
    config.task = "classify"
    config.segmenter.workdir = str(segmenter)
    config.segmenter.min_lung_area = 0.0
    config.classifier.classes = CLASSES
    config.classifier.architecture, config.classifier.channels = "resnet6", 1
    config.patches.size, config.patches.count, config.patches.count_validation = 32, 5, 3
    config.training.metric = "macro_f1"


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


def final_state(workdir):
    kinds = sorted(path.name for path in (workdir / "checkpoints").iterdir())
    with checkpoints.Checkpoints(workdir / "checkpoints") as store:
        # Without a target structure, Orbax returns the arrays on disk.
        return {kind: store._manager(kind).restore(store.step(kind)) for kind in kinds}


def assert_equal_ends(one, other):
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()
    ours, theirs = final_state(one), final_state(other)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, small_segmenter):
    """An uninterrupted run."""
    patch = pytest.MonkeyPatch()
    splits = {"train": draw_split(0, 10), "val": draw_split(1, 6)}
    replace_data(patch, splits)
    workdir = tmp_path_factory.mktemp("unkilled") / "run"
    trainer.train(freeze(segment_config()), workdir)
    patch.undo()
    return workdir


# Three steps an epoch. Saves: two inside the first epoch, then "best" and "last" at its end, and so on.
@pytest.mark.parametrize(
    "saves, before",
    [
        pytest.param(2, False, id="inside an epoch"),
        pytest.param(3, True, id="before best", marks=pytest.mark.slow),
        pytest.param(3, False, id="between best and last", marks=pytest.mark.slow),
        pytest.param(4, True, id="after metrics", marks=pytest.mark.slow),
        pytest.param(4, False, id="between epochs", marks=pytest.mark.slow),
        pytest.param(6, False, id="second epoch", marks=pytest.mark.slow),
    ],
)
def test_killed_run_resumes_bit_for_bit(tmp_path, uninterrupted, saves, before):
    workdir, config = tmp_path / "run", segment_config()
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, saves, before)
        with pytest.raises(Killed):
            trainer.train(freeze(config), workdir)
    trainer.train(freeze(config), workdir)
    assert_equal_ends(workdir, uninterrupted)


def eventful_config():
    """Return a config with all events of an epoch's end: a phase ends, the rate falls, a snapshot is saved."""
    config = segment_config()
    config.training.ema_decay = 0.0
    config.training.metric = "loss"
    config.training.param_groups = (("stem/|norm/", 0.0), ("head/bias", 0.5))
    config.training.unfreeze_epoch = 1
    config.training.schedule = "plateau"
    config.training.plateau_min_delta = 100.0  # no score is ever better
    config.training.plateau_patience = 1
    config.training.cycles = 3
    return config


@pytest.fixture(scope="module")
def eventful(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("eventful") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "build_task", build_tiny)
        trainer.train(freeze(eventful_config()), workdir)
    return workdir


def test_phases_plateaus_and_snapshots_change_rates_and_parameters(eventful):
    records = [json.loads(line) for line in (eventful / "metrics.jsonl").read_text().splitlines()]
    # The first epoch is better than nothing; then the rate falls each epoch; from the second on it is a tenth.
    assert [record["learning_rate"] for record in records] == pytest.approx([1e-3, 1e-4, 1e-5])
    states = final_state(eventful)
    begun = build_tiny(None, None).init(jax.random.key(0))
    first, second = (states[f"snapshot_{k}"] for k in (1, 2))
    for name in ("stem", "norm"):
        jax.tree.map(np.testing.assert_array_equal, first["params"][name], begun["params"][name])
    jax.tree.map(np.testing.assert_array_equal, first["batch_stats"], begun["batch_stats"])
    assert (first["params"]["head"]["kernel"][:, 0] != begun["params"]["head"]["kernel"][:, 0]).any()
    assert (second["params"]["stem"]["kernel"] != first["params"]["stem"]["kernel"]).any()
    assert (second["batch_stats"]["norm"]["mean"] != first["batch_stats"]["norm"]["mean"]).all()
    best = min(records, key=lambda record: record["val/loss"])
    with checkpoints.Checkpoints(eventful / "checkpoints") as store:
        assert store.step("best") == best["step"]
        assert [store.step(checkpoints.snapshot_tag(k)) for k in (1, 2, 3)] == [3, 6, 9]


# Saves: two inside the first epoch, then "best", the snapshot and "last" at its end, where the phase ends as well.
@pytest.mark.parametrize("saves, before", [(5, True), (5, False), (6, False)],
    ids=["before the phase", "at the phase's beginning", "inside the phase"])  # fmt: skip
def test_phases_plateaus_and_snapshots_are_resumed_exactly(tmp_path, monkeypatch, eventful, saves, before):
    monkeypatch.setattr(trainer, "build_task", build_tiny)
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, saves, before)
        with pytest.raises(Killed):
            trainer.train(freeze(eventful_config()), tmp_path / "run")
    trainer.train(freeze(eventful_config()), tmp_path / "run")
    assert_equal_ends(tmp_path / "run", eventful)


def write_former_fields(workdir):
    """Write the last state again with the field names of earlier versions."""
    folder = workdir / "checkpoints"
    with checkpoints.Checkpoints(folder) as saved:
        step = saved.step("last")
        state = saved.restore("last")
    shutil.rmtree(folder / "last")
    with checkpoints.Checkpoints(folder) as saved:
        saved.save("last", step, {train_step.FORMER_FIELDS.get(field, field): x for field, x in state.items()})
        assert {"optimiser", "best", "stale"} <= saved._manager("last").item_metadata(step).tree.keys()


@pytest.mark.parametrize("average", [0.0, 0.9], ids=["without EMA", "with EMA"])
def test_checkpoint_with_former_field_names_is_resumed_exactly(tmp_path, monkeypatch, average):
    monkeypatch.setattr(trainer, "build_task", build_tiny)
    config = eventful_config()
    config.training.ema_decay = average
    trainer.train(freeze(config), tmp_path / "uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, 7, before=False)  # inside the second phase
        with pytest.raises(Killed):
            trainer.train(freeze(config), tmp_path / "run")
    write_former_fields(tmp_path / "run")
    trainer.train(freeze(config), tmp_path / "run")
    assert_equal_ends(tmp_path / "run", tmp_path / "uninterrupted")


@pytest.mark.parametrize("last", [2, 3], ids=["inside an epoch", "at its end"])
def test_a_signal_saves_the_state_after_the_running_step(tmp_path, monkeypatch, eventful, last):
    monkeypatch.setattr(trainer, "build_task", build_tiny)
    monkeypatch.setattr(signals._State, "received", None)
    step = trainer.Trainer.step

    def interrupted(training, state, number):
        if number + 1 == last:
            signals._State.received = signal.SIGTERM
        return step(training, state, number)

    config = eventful_config()
    config.training.checkpoint_every_minutes = 5.0  # nothing else saves inside an epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "step", interrupted)
        with pytest.raises(signals.Interrupted):
            trainer.train(freeze(config), tmp_path / "run")
    with checkpoints.Checkpoints(tmp_path / "run" / "checkpoints") as store:
        assert store.step("last") == last
    monkeypatch.setattr(signals._State, "received", None)
    trainer.train(freeze(config), tmp_path / "run")
    assert_equal_ends(tmp_path / "run", eventful)


def test_early_stopping_waits_for_the_second_phase(tmp_path, monkeypatch):
    build = lambda *run: build_tiny(*run)._replace(validate=lambda variables: Validation({"loss": 1.0}))  # noqa: E731
    monkeypatch.setattr(trainer, "build_task", build)
    config = eventful_config()
    config.training.schedule, config.training.cycles = "constant", 1
    config.training.epochs, config.training.unfreeze_epoch, config.training.patience = 9, 4, 2
    trainer.train(freeze(config), tmp_path)
    records = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(records) == 6  # the first is the best; patience counts from the fourth on


def test_split_in_training_and_validation_is_refused(tmp_path):
    config = segment_config()
    config.data.train, config.data.validation = "train+val", "val"
    with pytest.raises(ValueError, match="'val' is in data.train and in data.validation"):
        trainer.train(freeze(config), tmp_path)


def test_finished_run_is_not_changed_by_another_start(tmp_path, uninterrupted):
    workdir = tmp_path / "run"
    shutil.copytree(uninterrupted, workdir)
    before = (workdir / "metrics.jsonl").read_text()
    trainer.train(freeze(segment_config()), workdir)
    assert (workdir / "metrics.jsonl").read_text() == before


def test_other_settings_in_the_same_folder_are_refused_by_name(uninterrupted):
    config = segment_config()
    config.training.learning_rate = 5e-3
    with pytest.raises(run_dir.RunError, match=r"training\.learning_rate=0\.001.*0\.005"):
        trainer.train(freeze(config), uninterrupted)


def test_early_stopping_is_exact_and_keeps_the_strictly_best(tmp_path, monkeypatch):
    scores = iter([0.5, 0.7, 0.7, 0.69, 0.9])  # an equal score is no better: patience 2 ends after the fourth epoch

    validate = lambda variables: Validation({"jaccard": next(scores)})  # noqa: E731
    build = lambda *run: build_tiny(*run)._replace(validate=validate)  # noqa: E731
    monkeypatch.setattr(trainer, "build_task", build)
    config = segment_config()
    config.training.epochs, config.training.patience = 10, 2
    best = trainer.train(freeze(config), tmp_path)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["val/jaccard"] for record in records] == [0.5, 0.7, 0.7, 0.69]
    assert best["epoch"] == 2
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as store:
        assert store.step("best") == 2 * 3 and store.step("last") == 4 * 3


def test_step_of_another_seed_is_the_same_program(tmp_path, monkeypatch):
    programs = []

    class NotCompiledError(Exception):
        pass

    def record(lowered, compiler_options):
        programs.append(lowered.as_text())
        raise NotCompiledError

    for seed in (0, 1):
        config = segment_config()
        config.seed = seed
        training = trainer.Trainer(freeze(config), trainer.build_task(freeze(config), tmp_path))
        state = training.init_state(0)
        with monkeypatch.context() as patch, pytest.raises(NotCompiledError):
            patch.setattr(jax.stages.Lowered, "compile", record)
            training.step(state, 0)
    assert programs[0] == programs[1]


def test_nan_loss_stops_the_run(tmp_path, monkeypatch):
    def lose(params, batch_stats, batch, key):
        return jnp.nan * params["head"]["bias"].sum(), batch_stats

    monkeypatch.setattr(trainer, "build_task", lambda *run: build_tiny(*run)._replace(loss=lose))
    with pytest.raises(trainer.DivergedError, match="epoch 1.*learning_rate"):
        trainer.train(freeze(segment_config()), tmp_path)


def test_classifier_run_has_a_copy_of_its_segmenter(tmp_path, uninterrupted):
    """The weights of the segmenter are copied, and come back bit for bit."""
    config = segment_config()
    let_classify(config, uninterrupted)
    config.training.epochs = 1
    config.training.checkpoint_every_minutes = 5.0
    record = trainer.train(freeze(config), tmp_path)
    assert {"val/macro_f1", "val/accuracy", "val/loss", "train/loss"} <= record.keys()
    variables = run_dir.load_networks(tmp_path, run_dir.load_config(tmp_path))
    theirs = run_dir.load_segmenter(uninterrupted, run_dir.load_config(uninterrupted))
    for one, other in zip(jax.tree.leaves(variables["segmenter"]), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
