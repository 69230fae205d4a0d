"""A training that reads its radiographs as they are needed is the one that holds them all."""

import jax
import numpy as np
import pytest

from cxrjax.config import freeze, recipes
from cxrjax.data import batch, dataset, loader
from cxrjax.data.batch import STRUCTURES_KNOWN
from cxrjax.data.sampler import AugmentedSubset, BatchSampler
from cxrjax.runs import run_dir
from cxrjax.runs.checkpoints import Checkpoints
from cxrjax.runtime import sharding
from cxrjax.training import classification_data, segmentation, trainer
from data_prep.__main__ import main as prepare

SIZE = 64
ROWS = np.arange(70).reshape(7, 10)  # of radiographs of ten numbers each

pytestmark = pytest.mark.usefixtures("small_segmenter", "no_learning_curves")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    arguments = ["phantom", f"--out={folder}", "--count=5", f"--size={SIZE}", "--split_ratios=0.6,0.4,0"]
    assert prepare([*arguments, "--duplicates=off"]) == 0
    return folder / "phantom"


@pytest.fixture(scope="module")
def runs_of_both(tmp_path_factory, prepared, small_segmenter):
    """Both trainings twice, radiographs held and read: {held: folder of "segment" and "classify"}.

    Their steps are compiled as in use, where both ways round alike, and not as `conftest` does.
    """
    folders, patch, compile_step = {}, pytest.MonkeyPatch(), jax.stages.Lowered.compile
    as_in_use = {"xla_cpu_use_fusion_emitters": True}
    patch.setattr(
        jax.stages.Lowered,
        "compile",
        lambda lowered, compiler_options: compile_step(lowered, as_in_use | compiler_options),
    )
    patch.setattr(batch, "CHUNK_SIZE", 6)
    for held in (1.0, 0.0):
        folder = folders[held] = tmp_path_factory.mktemp("runs")
        for recipe in ("phantom:segment", "phantom:classify"):
            config = recipes.load(recipe)
            config.data.dir, config.data.cache_limit_mb, config.image.size = str(prepared), held, SIZE
            config.segmenter.size, config.segmenter.min_lung_area = 32, 0.0
            config.training.epochs, config.training.batch_size, config.evaluation.batch_size = 2, 4, 3
            config.optimizer.name = "sgd"  # Adam would blow up what rounding does
            config.augmentation.rotation = 5.0
            if config.task == "classify":
                config.segmenter.workdir = str(folder / "segment")
                config.patches.size, config.patches.count_validation = 32, 2
            trainer.train(freeze(config), folder / config.task)
    patch.undo()
    return folders


def last(workdir):
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return checkpoints._manager("last").restore(checkpoints.step("last"))


@pytest.mark.parametrize("task", ["segment", "classify"])
def test_both_trainings_are_the_same_held_and_read(runs_of_both, task):
    held, read = (runs_of_both[way] / task for way in (1.0, 0.0))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, 1e-5, 1e-7), last(held), last(read))
    assert (held / "metrics.jsonl").read_text() == (read / "metrics.jsonl").read_text()
    if task == "classify":
        assert {path.name for path in (read / "lungs").iterdir()} == {
            *(f"train-{number:06}.npz" for number in range(3)), *(f"val-{number:06}.npz" for number in range(2))
        }  # fmt: skip
        assert (held / "training_labels.json").read_text() == (read / "training_labels.json").read_text()


@pytest.mark.parametrize("batch_size", [3, 7, 16])
def test_steps_are_given_the_same_from_any_step_on(batch_size):
    order = BatchSampler(np.zeros(7), batch_size, "shuffle", seed=0)
    shares = sharding.BatchSharding(batch_size)
    ways = [loader.make_loader(shown, order, shares, num_threads=2) for shown in (ROWS, lambda row: ROWS[row])]
    for number in (0, 1, 2, 3, 4, 9, 10, 2, 2, 3):
        for way in ways:
            np.testing.assert_array_equal(jax.jit(way.unpack)(way.next_batch(number)), ROWS[order.rows(number)])


@pytest.mark.parametrize("batch_size", [3, 7])
def test_a_batch_says_which_of_its_examples_are_augmented(batch_size):
    order = BatchSampler(
        np.arange(7) > 5, batch_size, "oversample", 0, 4, augmented_subset=AugmentedSubset(copies_only=True)
    )
    shares = sharding.BatchSharding(batch_size)
    shown = {"numbers": ROWS}
    for way in (shown, lambda row: {"numbers": ROWS[row]}):
        fed = loader.make_loader(way, order, shares, num_threads=2)
        for number in (0, 1, order.steps_per_epoch + 1, order.steps_per_epoch + 2):
            batch = jax.jit(fed.unpack)(fed.next_batch(number))
            assert batch.keys() == {"numbers", "augmented"}
            np.testing.assert_array_equal(batch["numbers"], ROWS[order.rows(number)])
            np.testing.assert_array_equal(batch["augmented"], order.augmented(number))
            assert set(order.rows(number)[order.augmented(number)]) <= {6}


def test_reading_goes_ahead_of_what_is_asked_for_and_no_further():
    read = []
    rows = dataset.read_rows(lambda row: read.append(row) or row, range(1000), num_threads=2, ahead=5)
    assert [next(rows) for _ in range(10)] == list(range(10))
    assert len(read) <= 10 + 5 + 2


def test_what_goes_wrong_in_a_reading_thread_reaches_the_step(tmp_path):
    def read(row):
        if row == 5:
            raise dataset.DatasetError("scan.png: gone")
        return ROWS[row]

    order = BatchSampler(np.zeros(7), 7, "shuffle", seed=0)
    way = loader.make_loader(read, order, sharding.BatchSharding(7), num_threads=2)
    with pytest.raises(dataset.DatasetError, match=r"scan\.png: gone"):
        way.next_batch(0)


def test_lungs_come_back_from_their_packed_form():
    rng = np.random.default_rng(0)
    for side in (8, 37, 64):
        mask = rng.random((side, side)) > 0.5
        packed = classification_data._pack(mask, np.float32(0.25), np.bool_(True))
        np.testing.assert_array_equal(packed.unpack()[0], mask)
        assert packed.unpack()[1] == 0.25
    assert classification_data._pack(None, None, np.bool_(True)).unpack() == (None, None)


def test_what_takes_more_than_is_held_is_read(prepared):
    config = recipes.load("phantom:classify")
    config.data.dir, config.image.size = str(prepared), SIZE
    stored = dataset.open_split(config, "train")
    config.data.cache_limit_mb = 2 * len(stored) * SIZE**2 / 1e6
    held = dataset.load_or_stream(config, "train")
    config.data.cache_limit_mb -= 1e-3
    read = dataset.load_or_stream(config, "train")
    assert isinstance(held, batch.RadiographBatch) and isinstance(read, dataset.RadiographDataset)
    assert len(read) == len(held) and (read.sources, read.labels) == (held.sources, held.labels)
    np.testing.assert_array_equal(read.select([3, 1]).images, held.images[[3, 1]])
    np.testing.assert_array_equal(read.image(2), held.images[2])
    np.testing.assert_array_equal(read.mask_types, held.mask_types)
    assert (held.mask_types == STRUCTURES_KNOWN).all()
    assert sum(1 for _ in read) == len(held)
    np.testing.assert_array_equal(np.concatenate([part.masks for part in read.iter_batches(4)]), held.masks)


@pytest.mark.parametrize("held", [0.0, 1.0])
def test_a_radiograph_without_a_mask_is_named_before_the_first_step(prepared, monkeypatch, held):
    config = recipes.load("phantom:segment")
    config.data.dir, config.data.cache_limit_mb, config.image.size = str(prepared), held, SIZE
    stored = dataset.open_split(config, "train")
    monkeypatch.setitem(stored._columns, "mask_kind", ["structures", "structures", "", *["structures"] * 12])
    with pytest.raises(dataset.DatasetError, match=rf"{stored.paths[2]}: has no mask"):
        segmentation.build(config, stored, dataset.open_split(config, "val"))


@pytest.mark.parametrize("held", [0.0, 1.0])
@pytest.mark.parametrize("name", ["flip_horizontal", "dihedral"])
def test_radiographs_are_mirrored_only_where_no_mask_tells_left_from_right(prepared, monkeypatch, held, name):
    config = recipes.load("phantom:segment")
    config.data.dir, config.data.cache_limit_mb, config.image.size = str(prepared), held, SIZE
    config.augmentation[name] = 0.5
    train_split, validation = dataset.open_split(config, "train"), dataset.open_split(config, "val")
    monkeypatch.setitem(train_split._columns, "mask_kind", [*["lungs"] * 14, "structures"])
    sentence = (
        rf"{train_split.paths[14]}: its mask distinguishes .* which augmentation\.{name}=0\.5 would swap; set it to 0"
    )
    with pytest.raises(ValueError, match=sentence):
        segmentation.build(config, train_split, validation)
    monkeypatch.setitem(train_split._columns, "mask_kind", ["lungs"] * 15)
    segmentation.build(config, train_split, validation)


def test_a_run_goes_on_with_other_ways_to_read(tmp_path):
    config = recipes.load("phantom:classify")
    run_dir.create_or_resume(tmp_path, freeze(config))
    config.data.cache_limit_mb, config.data.num_threads = 1.0, 7
    run_dir.create_or_resume(tmp_path, freeze(config))
    config.data.train = "val"
    with pytest.raises(run_dir.RunError, match="data.train"):
        run_dir.create_or_resume(tmp_path, freeze(config))
