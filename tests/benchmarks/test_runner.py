"""The speed benchmark: its arithmetic, and that the compared programs do the same work."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import results, roofline, runner, synthetic
from benchmarks.competitors import preparation
from benchmarks.runner import OURS, Competitor
from cxrjax.data import preprocessing
from cxrjax.io import radiograph
from cxrjax.models import registry, spec
from cxrjax.ops import lung_masks, patches


class Scripted:
    """A competitor whose stages take scripted numbers of seconds."""

    def __init__(self, name, order, metadata, **script):
        self.name, self.stages, self.metadata, self.first = name, list(script), metadata, {}
        self.peak, self.preparation = 64.0, 2.0
        self._order, self._script = order, {stage: iter(seconds) for stage, seconds in script.items()}

    def run_once(self, stage):
        self._order.append(self.name)
        seconds = next(self._script[stage])
        self.first.setdefault(stage, seconds)
        return seconds


def test_interleave_drops_first_runs_and_alternates_the_order():
    order = []
    ours = Scripted(OURS, order, {}, whole=[9, 1, 2, 3])
    peer = Scripted("peer", order, {}, whole=[9, 4, 4, 4], more=[7, 5, 6, 5])
    seconds = runner.interleave([ours, peer], 3)
    assert seconds == {"whole": {OURS: [1, 2, 3], "peer": [4, 4, 4]}, "more": {"peer": [5, 6, 5]}}
    assert order[:8] == [OURS, "peer"] * 2 + ["peer", OURS] + [OURS, "peer"]


def test_report_ratio_and_roofline_fraction_by_hand(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(roofline, "measure_bandwidth", lambda: 10e9)
    product = {roofline.PRODUCT: {OURS: [4.0, 2.0], "peer": [1.0, 3.0]}}  # the fastest product takes one second
    operations = {"operations": {"whole": roofline.PRODUCT_OPERATIONS / 2}}
    both = [Scripted(OURS, [], {}, whole=[]), Scripted("peer", [], operations, whole=[])]
    seconds = {"whole": {OURS: [1.0, 2.0, 30.0], "peer": [3.0, 3.0, 3.0]}} | product
    results.print_report("How long?", both, seconds, tmp_path / "it.json")
    assert "| whole | 2e+03 | 3e+03 | 1.50 | 25% |" in capsys.readouterr().out
    saved = json.loads((tmp_path / "it.json").read_text())
    assert saved["stages"][0]["median"] == {OURS: 2, "peer": 3}
    assert saved["stages"][0]["peer_over_ours"] == {"peer": 1.5}
    assert saved["stages"][0]["roofline_fraction"] == 0.25
    assert saved["machine"]["operations_per_second"] == roofline.PRODUCT_OPERATIONS
    assert saved["competitors"]["peer"]["peak_megabytes"] == 64


def test_error_of_a_stopped_competitor_has_its_last_output():
    with pytest.raises(ChildProcessError, match="peer: stopped; its last output: .*no_such_competitor"):
        Competitor("peer", sys.executable, "no_such_competitor", "votes", {})


@pytest.mark.parametrize("name", ["JPCNN082", "JPCLN001"])
def test_peer_preparation_equals_cxrjax_standardize(shared, name):
    path = shared / "data" / "jsrt" / "images" / f"{name}.png"
    ours = preprocessing.standardize(radiograph.read(path), size=512, gamma=preparation.GAMMA, borders="bottom")
    theirs = preparation.standardize(preparation.read(str(path)), 512)
    np.testing.assert_array_equal(theirs, ours)


def test_peer_mask_cleaning_and_crops_equal_cxrjax():
    rng = np.random.default_rng(0)
    blobs = np.asarray(jax.image.resize(rng.random((9, 9)), (96, 96), "cubic")) > 0.55
    blobs[48, 48] = ~blobs[48, 48]
    np.testing.assert_array_equal(
        preparation.postprocess_mask(blobs),
        lung_masks.postprocess_mask(jnp.asarray(blobs), preparation.MIN_COMPONENT_FRACTION),
    )
    image = rng.integers(0, 256, (96, 96), np.uint8)
    centers = np.array([(0, 0), (95, 3), (40, 50)])
    np.testing.assert_array_equal(preparation.crop(image, centers, 32), patches.extract_patches(image, centers, 32))


def test_synthetic_segmenter_marks_dark_pixels_as_lung():
    module = registry.create("fc_densenet29", len(lung_masks.STRUCTURES), blocks=(2, 1), bottleneck=1, growth=4, stem=8)
    segmenter = spec.ModelSpec(module, 32, 1)
    levels = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    variables = synthetic.make_threshold_weights(segmenter)
    run = jax.jit(segmenter.module.apply, static_argnames="train")
    probability = lung_masks.lung_probability(run(variables, levels, train=False))
    sure = np.abs(levels[..., 0] - synthetic.THRESHOLD) > 0.1
    np.testing.assert_array_equal((probability > 0.5)[sure], (levels[..., 0] < synthetic.THRESHOLD)[sure])
