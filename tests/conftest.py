"""Fixtures that more than one test file uses."""

import os
from functools import partial
from pathlib import Path

import jax
import pytest

from cxrjax import models
from cxrjax.models.fc_densenet import FCDenseNet


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real radiographs and reference outputs: $CXRJAX_SHARED, else ../shared beside the checkout."""
    folder = Path(os.environ.get("CXRJAX_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip("the shared data is absent; set CXRJAX_SHARED to its folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def quick_compilation(tmp_path_factory):
    """Compile with little effort, and each program once a session: most programs of tests run for a moment, and once.

    Processes that a test starts do so likewise, by the variable, and keep no program, least of all in the user's
    cache. How exact a program is does not depend on it.
    """
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = ""
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def apply():
    """What a module gives outside of training, as one program: without, each operator is compiled by itself."""
    return jax.jit(lambda module, variables, x: module.apply(variables, x, train=False), static_argnums=0)


@pytest.fixture(scope="module")
def small_segmenter():
    """`fc_densenet29` of a few layers: what is tested does not depend on its depth, but the time to compile it does."""
    with pytest.MonkeyPatch.context() as patch:
        shallow = partial(FCDenseNet, blocks=(2, 2), bottleneck=2, growth=8, stem=16)
        patch.setitem(models.SEGMENTERS, "fc_densenet29", shallow)
        yield
