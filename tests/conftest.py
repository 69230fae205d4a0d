"""Fixtures that more than one test file uses."""

import fcntl
import gc
import os
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import jax
import jaxtyping
import pytest
from jaxtyping import install_import_hook
from threadpoolctl import threadpool_limits

# In the tests, the functions of these modules check the types and shapes of their arguments and results, as far as they
# are annotated. `is_pep484_tower` accepts an int for a float.
install_import_hook(
    [
        "cxrjax.data.batch",
        "cxrjax.metrics",
        "cxrjax.ops",
        "cxrjax.training.losses",
    ],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

from cxrjax import plotting  # noqa: E402  (after the hook)
from cxrjax.config import freeze  # noqa: E402
from cxrjax.models import registry  # noqa: E402
from cxrjax.models.fc_densenet import FCDenseNet  # noqa: E402

# XLA compiles most programs three times as fast without the emitters that fuse operators by way of MLIR, and a quarter
# faster where it does not split them for several threads. XLA reads the flags once, before the first array, which some
# test files make as they are imported. Newer releases lack the first flag, and end at once where they are given it.
if jax.__version_info__ < (0, 11):
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


PHANTOM_SIZE = 96  # pixels, side of the images of `phantom_runs`

# The slowest files run first, so that no worker is left with one of them at the end. Of those that need `phantom_runs`,
# the second starts when the first has made them.
LONGEST = (
    "test_end_to_end.py", "test_trainer.py", "test_public_api.py", "test_registry.py", "test_pipeline.py",
    "test_multihost.py", "test_resumed_settings.py", "test_loader.py", "test_state_dict.py", "test_export.py",
    "test_dataset_of_a_run.py", "test_classifier.py", "test_parity.py", "test_saliency.py",
)  # fmt: skip


def pytest_configure(config):
    """Let workers share a cache of programs and keep the order of files.

    A worker that finds a program half written by another one in the cache compiles it itself.
    """
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache entry")
    config.option.loadscopereorder = False  # of pytest-xdist, which would start with the files of most tests


def pytest_collection_modifyitems(items):
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real radiographs and reference outputs: $CXRJAX_SHARED, else ../shared beside the checkout."""
    folder = Path(os.environ.get("CXRJAX_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip("the shared data is absent; set CXRJAX_SHARED to its folder")
    return folder


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory) -> Path:
    """A folder of this session, which is the same in all of its workers where there are several."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def make_once(session_folder):
    """A function that returns a folder of the session, made by the first worker that needs it, for all of them."""

    def find(name: str, make: Callable[[Path], None]) -> Path:
        folder = session_folder / name
        with (session_folder / f"{name}.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                shutil.rmtree(folder, ignore_errors=True)  # left unfinished by another worker
                folder.mkdir()
                make(folder)
                lock.write("made")
        return folder

    return find


@pytest.fixture(scope="session", autouse=True)
def quick_compilation(session_folder):
    """Compile with little effort and once per session, since most programs of tests run briefly and once.

    Processes that a test starts compile with as little effort, by the variable, and store no program, least of all in
    the user's cache. How exact a program is does not depend on it.
    """
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = ""
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(session_folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    """Use one thread for matrix products of NumPy and SciPy, since threads of several workers compete for cores.

    Processes that a test starts do so too, by the variable.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def rare_collections():
    """Collect garbage less often: tracing makes many objects, and each full collection visits those of all packages."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


@pytest.fixture
def unchecked_types():
    """Disable type checks, for simulations of many draws with functions that other tests call with checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def apply():
    """Apply a module in inference mode as one jitted program; otherwise, each operator would be compiled by itself."""
    return jax.jit(lambda module, variables, x: module.apply(variables, x, train=False), static_argnums=0)


@contextmanager
def shallow_segmenter():
    with pytest.MonkeyPatch.context() as patch:
        shallow = partial(FCDenseNet, blocks=(1,), bottleneck=1, growth=12, stem=16)
        patch.setitem(registry.SEGMENTERS, "fc_densenet29", shallow)
        yield


@pytest.fixture(scope="module")
def small_segmenter():
    """Replace `fc_densenet29` by one of a few layers, which compiles faster; no test result depends on its depth."""
    with shallow_segmenter():
        yield


@pytest.fixture(scope="module")
def no_learning_curves():
    """Draw no learning curves at the end of a training: what they show is tested with the other plots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plotting, "draw_learning_curves", lambda *_: None)
        yield


def make_phantom_runs(folder: Path) -> None:
    from cxrjax.config import recipes
    from cxrjax.evaluation import evaluate
    from cxrjax.inference import fit_ood
    from cxrjax.training import trainer
    from data_prep.__main__ import main as prepare

    size = PHANTOM_SIZE
    arguments = ["phantom", f"--out={folder / 'data'}", "--count=6", f"--size={size}", "--split_ratios=0.6,0.2,0.2"]
    assert prepare(arguments) == 0
    segment = recipes.load("phantom:segment")
    classify = recipes.load("phantom:classify")
    for config in (segment, classify):
        config.data.dir = str(folder / "data" / "phantom")
        config.image.size = size
        config.training.epochs = 2
        config.training.batch_size = 4
        config.evaluation.batch_size = 3  # as many as most tests predict at once, by the same program
    segment.segmenter.size = 32
    segment.training.epochs = 8
    classify.segmenter.workdir = str(folder / "segment")
    classify.patches.size = 32
    classify.patches.count = 8
    classify.patches.count_validation = 2
    with shallow_segmenter():
        trainer.train(freeze(segment), folder / "segment")
        trainer.train(freeze(classify), folder / "classify")
        fit_ood.fit_ood_detector(folder / "classify")
        evaluate.evaluate_run(folder / "segment", "test")
        evaluate.evaluate_run(folder / "classify", "test")


@pytest.fixture(scope="session")
def phantom_runs(make_once) -> Path:
    """A folder with prepared phantoms (data/phantom), a segmenter's run (segment) and a classifier's run (classify).

    Tests that load the runs need `small_segmenter` too. Tests do not change the folder.
    """
    return make_once("phantom_runs", make_phantom_runs)
