"""Lungs that were found are found again on disk: of the same radiographs, by the same segmenter, or not at all."""

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
    config.segmenter.workdir, config.segmenter.size, config.segmenter.min_component_area = "made up", 32, 0.0
    return config


@pytest.fixture
def split():
    """Dark boxes on bright grounds."""
    split = synthetic.draw_split(3, SIZE)
    split.images[:] += 128
    split.images[:, 10:40, 8:20] = 20
    return split


@pytest.fixture(scope="module")
def finder(config, small_segmenter, tmp_path_factory):
    """One for all tests, so that its program is made once; they tell their radiographs apart by name."""
    folder = tmp_path_factory.mktemp("lungs")
    return lung_segmenter.LungSegmenter(config, synthetic.see_dark_as_lung(from_config.segmenter(config)), folder)


def reopen(finder, config=None, variables=None):
    """A finder that has looked at nothing yet, with the same folder."""
    return lung_segmenter.LungSegmenter(config or finder.config, variables or finder.variables, finder._folder)


def look_only_on_disk(monkeypatch):
    monkeypatch.setattr(lung_segmenter.LungSegmenter, "segment", None)


def test_they_come_back_bit_for_bit(finder, split, monkeypatch):
    found = finder.segment_cached("train-000000", split)
    assert found.masks.any() and not found.masks.all() and found.has_lungs.all()
    look_only_on_disk(monkeypatch)
    again = reopen(finder).segment_cached("train-000000", split)
    jax.tree.map(np.testing.assert_array_equal, again, found)


def test_those_of_others_are_not_taken(finder, split, monkeypatch):
    finder.segment_cached("train-000001", split)
    look_only_on_disk(monkeypatch)
    split.images[2, 0, 0] += 1
    with pytest.raises(TypeError):  # it would look
        finder.segment_cached("train-000001", split)
    split.images[2, 0, 0] -= 1
    finder.segment_cached("train-000001", split)
    other = jax.tree.map(np.copy, finder.variables)
    other["params"]["head"]["bias"][2] += 1
    with pytest.raises(TypeError):
        reopen(finder, variables=other).segment_cached("train-000001", split)
    strict = finder.config.copy_and_resolve_references()
    strict.segmenter.min_lung_area = 0.5
    with pytest.raises(TypeError):
        reopen(finder, strict).segment_cached("train-000001", split)


@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_damaged_file_is_written_anew(finder, split, left):
    found = finder.segment_cached("val-000000", split)
    path = finder._folder / "val-000000.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    jax.tree.map(np.testing.assert_array_equal, finder.segment_cached("val-000000", split), found)
    assert path.read_bytes() == whole


def test_without_a_segmenter_nothing_is_looked_for_or_kept(split, tmp_path):
    config = recipes.load("phantom:classify")
    config.segmenter.workdir = ""
    masks, confidence, found = lung_segmenter.LungSegmenter(config, None, tmp_path).segment_cached(
        "train-000000", split
    )
    assert masks is None and confidence is None and found.all() and not list(tmp_path.iterdir())
