"""Training that streams radiographs equals training that caches all of them in memory."""

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
ROWS = np.arange(70).reshape(7, 10)  # seven radiographs of ten numbers each

pytestmark = pytest.mark.usefixtures("small_segmenter", "no_learning_curves")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    arguments = ["phantom", f"--out={folder}", "--count=5", f"--size={SIZE}", "--split_ratios=0.6,0.4,0"]
    assert prepare([*arguments, "--duplicates=off"]) == 0
    return folder / "phantom"


@pytest.fixture(scope="module")
def runs_by_cache_limit(tmp_path_factory, prepared, small_segmenter):
    """Train segmenter and classifier with cached and with streamed radiographs: {cache limit: folder of both runs}.

    Steps are compiled with the default options, with which both ways round alike, and not with those of `conftest`.
    """
    folders, patch, compile_step = {}, pytest.MonkeyPatch(), jax.stages.Lowered.compile
    as_in_use = {"xla_cpu_use_fusion_emitters": True} if jax.__version_info__ < (0, 11) else {}
    patch.setattr(
        jax.stages.Lowered,
        "compile",
        lambda lowered, compiler_options: compile_step(lowered, as_in_use | compiler_options),
    )
    patch.setattr(batch, "CHUNK_SIZE", 6)
    for cache_limit in (1.0, 0.0):
        folder = folders[cache_limit] = tmp_path_factory.mktemp("runs")
        for recipe in ("phantom:segment", "phantom:classify"):
            config = recipes.load(recipe)
            config.data.dir, config.data.cache_limit_mb, config.image.size = str(prepared), cache_limit, SIZE
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


def read_last_state(workdir):
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return checkpoints._manager("last").restore(checkpoints.step("last"))


@pytest.mark.parametrize("task", ["segment", "classify"])
def test_cached_and_streamed_trainings_are_equal(runs_by_cache_limit, task):
    cached, streamed = (runs_by_cache_limit[way] / task for way in (1.0, 0.0))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, 1e-5, 1e-7),
        read_last_state(cached),
        read_last_state(streamed),
    )
    assert (cached / "metrics.jsonl").read_text() == (streamed / "metrics.jsonl").read_text()
    if task == "classify":
        assert {path.name for path in (streamed / "lungs").iterdir()} == {
            *(f"train-{number:06}.npz" for number in range(3)), *(f"val-{number:06}.npz" for number in range(2))
        }  # fmt: skip
        assert (cached / "training_labels.json").read_text() == (streamed / "training_labels.json").read_text()


@pytest.mark.parametrize("batch_size", [3, 7, 16])
def test_cached_and_streamed_loaders_return_equal_batches(batch_size):
    order = BatchSampler(np.zeros(7), batch_size, "shuffle", seed=0)
    shares = sharding.BatchSharding(batch_size)
    loaders = [loader.make_loader(source, order, shares, num_threads=2) for source in (ROWS, lambda row: ROWS[row])]
    for number in (0, 1, 2, 3, 4, 9, 10, 2, 2, 3):
        for data_loader in loaders:
            np.testing.assert_array_equal(
                jax.jit(data_loader.unpack)(data_loader.next_batch(number)), ROWS[order.rows(number)]
            )


@pytest.mark.parametrize("batch_size", [3, 7])
def test_batch_flags_the_augmented_examples(batch_size):
    order = BatchSampler(
        np.arange(7) > 5, batch_size, "oversample", 0, 4, augmented_subset=AugmentedSubset(copies_only=True)
    )
    shares = sharding.BatchSharding(batch_size)
    cached = {"numbers": ROWS}
    for source in (cached, lambda row: {"numbers": ROWS[row]}):
        data_loader = loader.make_loader(source, order, shares, num_threads=2)
        for number in (0, 1, order.steps_per_epoch + 1, order.steps_per_epoch + 2):
            batch = jax.jit(data_loader.unpack)(data_loader.next_batch(number))
            assert batch.keys() == {"numbers", "augmented"}
            np.testing.assert_array_equal(batch["numbers"], ROWS[order.rows(number)])
            np.testing.assert_array_equal(batch["augmented"], order.augmented(number))
            assert set(order.rows(number)[order.augmented(number)]) <= {6}


def test_read_rows_reads_only_a_few_rows_ahead():
    read = []
    rows = dataset.read_rows(lambda row: read.append(row) or row, range(1000), num_threads=2, ahead=5)
    assert [next(rows) for _ in range(10)] == list(range(10))
    assert len(read) <= 10 + 5 + 2


def test_error_in_a_reader_thread_is_raised_by_next_batch(tmp_path):
    def read(row):
        if row == 5:
            raise dataset.DatasetError("scan.png: gone")
        return ROWS[row]

    order = BatchSampler(np.zeros(7), 7, "shuffle", seed=0)
    way = loader.make_loader(read, order, sharding.BatchSharding(7), num_threads=2)
    with pytest.raises(dataset.DatasetError, match=r"scan\.png: gone"):
        way.next_batch(0)


def test_packed_lung_masks_round_trip():
    rng = np.random.default_rng(0)
    for side in (8, 37, 64):
        mask = rng.random((side, side)) > 0.5
        packed = classification_data._pack(mask, np.float32(0.25), np.bool_(True))
        np.testing.assert_array_equal(packed.unpack()[0], mask)
        assert packed.unpack()[1] == 0.25
    assert classification_data._pack(None, None, np.bool_(True)).unpack() == (None, None)


def test_split_above_the_cache_limit_is_streamed(prepared):
    config = recipes.load("phantom:classify")
    config.data.dir, config.image.size = str(prepared), SIZE
    stored = dataset.open_split(config, "train")
    config.data.cache_limit_mb = 2 * len(stored) * SIZE**2 / 1e6
    cached = dataset.load_or_stream(config, "train")
    config.data.cache_limit_mb -= 1e-3
    streamed = dataset.load_or_stream(config, "train")
    assert isinstance(cached, batch.RadiographBatch) and isinstance(streamed, dataset.RadiographDataset)
    assert len(streamed) == len(cached) and (streamed.sources, streamed.labels) == (cached.sources, cached.labels)
    np.testing.assert_array_equal(streamed.select([3, 1]).images, cached.images[[3, 1]])
    np.testing.assert_array_equal(streamed.image(2), cached.images[2])
    np.testing.assert_array_equal(streamed.mask_types, cached.mask_types)
    assert (cached.mask_types == STRUCTURES_KNOWN).all()
    assert sum(1 for _ in streamed) == len(cached)
    np.testing.assert_array_equal(np.concatenate([part.masks for part in streamed.iter_batches(4)]), cached.masks)


@pytest.mark.parametrize("cache_limit", [0.0, 1.0])
def test_a_radiograph_without_a_mask_is_named_before_the_first_step(prepared, monkeypatch, cache_limit):
    config = recipes.load("phantom:segment")
    config.data.dir, config.data.cache_limit_mb, config.image.size = str(prepared), cache_limit, SIZE
    stored = dataset.open_split(config, "train")
    monkeypatch.setitem(stored._columns, "mask_kind", ["structures", "structures", "", *["structures"] * 12])
    with pytest.raises(dataset.DatasetError, match=rf"{stored.paths[2]}: has no mask"):
        segmentation.build(config, stored, dataset.open_split(config, "val"))


@pytest.mark.parametrize("cache_limit", [0.0, 1.0])
@pytest.mark.parametrize("name", ["flip_horizontal", "dihedral"])
def test_flips_are_refused_if_a_mask_distinguishes_left_from_right(prepared, monkeypatch, cache_limit, name):
    config = recipes.load("phantom:segment")
    config.data.dir, config.data.cache_limit_mb, config.image.size = str(prepared), cache_limit, SIZE
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


def test_run_resumes_with_other_cache_and_thread_settings(tmp_path):
    config = recipes.load("phantom:classify")
    run_dir.create_or_resume(tmp_path, freeze(config))
    config.data.cache_limit_mb, config.data.num_threads = 1.0, 7
    run_dir.create_or_resume(tmp_path, freeze(config))
    config.data.train = "val"
    with pytest.raises(run_dir.RunError, match="data.train"):
        run_dir.create_or_resume(tmp_path, freeze(config))
