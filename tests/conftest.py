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
def compilation_cache(tmp_path_factory):
    """Compile each program once a session: tests train the same small networks again and again."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(scope="module")
def small_segmenter():
    """`fc_densenet29` of a few layers: what is tested does not depend on its depth, but the time to compile it does."""
    with pytest.MonkeyPatch.context() as patch:
        shallow = partial(FCDenseNet, blocks=(2, 2), bottleneck=2, growth=8, stem=16)
        patch.setitem(models.SEGMENTERS, "fc_densenet29", shallow)
        yield
