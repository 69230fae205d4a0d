"""The cache of lung masks: read only for the same radiographs and the same segmenter."""

import jax
import numpy as np
import pytest

from benchmarks import synthetic
from cxrjax.config import recipes
from cxrjax.inference import lung_segmenter
from cxrjax.models import from_config

SIZE = 48

pytestmark = pytest.mark.usefixtures("small_segmenter")


@pytest.fixture(scope="module")
def config():
    config = recipes.load("phantom:classify")
    config.segmenter.architecture, config.segmenter.workdir = "fc_densenet29", "made up"
    config.segmenter.size, config.segmenter.min_component_area = 32, 0.0
    return config


@pytest.fixture
def split():
    """Dark boxes on bright grounds."""
    split = synthetic.draw_split(3, SIZE)
    split.images[:] += 128
    split.images[:, 10:40, 8:20] = 20
    return split


@pytest.fixture(scope="module")
def segmenter(config, small_segmenter, tmp_path_factory):
    """A segmenter for all tests, so that its program compiles once; tests use different cache names."""
    folder = tmp_path_factory.mktemp("lungs")
    weights = synthetic.make_threshold_weights(from_config.segmenter(config))
    return lung_segmenter.LungSegmenter(config, weights, folder)


def reopen(segmenter, config=None, variables=None):
    """Return a new segmenter with the same folder."""
    return lung_segmenter.LungSegmenter(config or segmenter.config, variables or segmenter.variables, segmenter._folder)


def forbid_segmentation(monkeypatch):
    monkeypatch.setattr(lung_segmenter.LungSegmenter, "segment", None)


def test_cached_lung_masks_are_bit_identical(segmenter, split, monkeypatch):
    found = segmenter.segment_cached("train-000000", split)
    assert found.masks.any() and not found.masks.all() and found.has_lungs.all()
    forbid_segmentation(monkeypatch)
    again = reopen(segmenter).segment_cached("train-000000", split)
    jax.tree.map(np.testing.assert_array_equal, again, found)


def test_cache_of_other_radiographs_or_weights_is_not_used(segmenter, split, monkeypatch):
    segmenter.segment_cached("train-000001", split)
    forbid_segmentation(monkeypatch)
    split.images[2, 0, 0] += 1
    with pytest.raises(TypeError):  # it calls `segment`, which is None
        segmenter.segment_cached("train-000001", split)
    split.images[2, 0, 0] -= 1
    segmenter.segment_cached("train-000001", split)
    other = jax.tree.map(np.copy, segmenter.variables)
    other["params"]["head"]["bias"][2] += 1
    with pytest.raises(TypeError):
        reopen(segmenter, variables=other).segment_cached("train-000001", split)
    strict = segmenter.config.copy_and_resolve_references()
    strict.segmenter.min_lung_area = 0.5
    with pytest.raises(TypeError):
        reopen(segmenter, strict).segment_cached("train-000001", split)


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_damaged_cache_file_is_written_again(segmenter, split, size):
    found = segmenter.segment_cached("val-000000", split)
    path = segmenter._folder / "val-000000.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    jax.tree.map(np.testing.assert_array_equal, segmenter.segment_cached("val-000000", split), found)
    assert path.read_bytes() == whole


def test_without_a_segmenter_nothing_is_segmented_or_cached(split, tmp_path):
    config = recipes.load("phantom:classify")
    config.segmenter.workdir = ""
    masks, confidence, found = lung_segmenter.LungSegmenter(config, None, tmp_path).segment_cached(
        "train-000000", split
    )
    assert masks is None and confidence is None and found.all() and not list(tmp_path.iterdir())
