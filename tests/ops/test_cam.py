"""Saliency maps: Grad-CAM equals CAM for linear heads, and the weighted map is the paper's sum, by hand."""

from functools import partial

import jax
import numpy as np
import pytest

from cxrjax.ops import cam
from cxrjax.runtime.platform import traced_for

weigh_by_probability = jax.jit(cam.probability_weighted_map, static_argnums=(3, 4))


def test_grad_cam_of_a_pooled_linear_head_equals_cam_up_to_map_size():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 7, 5, 32)).astype(np.float32)
    kernel = rng.normal(size=(32, 5)).astype(np.float32)
    grad_cam = jax.jit(partial(cam.grad_cam, lambda f: f.mean((1, 2)) @ kernel))
    for finding in range(5):
        by_gradient = grad_cam(features, finding)
        forward = cam.class_activation_map(features, kernel, finding)
        np.testing.assert_allclose(by_gradient * 7 * 5, forward, rtol=1e-4, atol=1e-4)


def test_grad_cam_differentiates_only_the_chosen_class():
    features = np.random.default_rng(0).uniform(size=(1, 3, 3, 2)).astype(np.float32)
    kernel = np.array([[1.0, -1.0], [0.0, 0.0]], np.float32)  # class 1 is the negative of class 0
    maps = [cam.grad_cam(lambda f: f.mean((1, 2)) @ kernel, features, finding) for finding in (0, 1)]
    assert maps[0].max() > 0 and maps[1].max() == 0


def test_weighted_map_by_hand():
    activations = np.stack([np.full((1, 1), 4.0), np.full((1, 1), 0.5)]).astype(
        np.float32
    )  # each scaled to 1 in its patch
    centers = np.array([[2, 2], [2, 4]])
    saliency_map = weigh_by_probability(activations, np.array([0.9, 0.3], np.float32), centers, 4, (5, 7))
    row = [0.9, 0.9, 0.6, 0.6, 0.3, 0.3, 0]  # first patch columns 0..3, second 2..5, their mean where both lie
    np.testing.assert_allclose(saliency_map, [row] * 4 + [[0] * 7], atol=1e-6)


@pytest.mark.parametrize("platform", ["cpu", "accelerator"])
def test_map_scaled_by_range_is_0_to_1_after_enlargement(platform):
    """One patch of 2 cells, 1 and 5, enlarged to 4 pixels: 1, 2, 4, 5. Over the peak 0.2 stays, by the range 0."""
    activations = np.array([[[1.0, 5.0], [1.0, 5.0]]], np.float32)
    with traced_for(platform):
        one = np.ones(1, np.float32), np.array([[2, 2]]), 4, (4, 4)
        by_peak, by_range = (cam.probability_weighted_map(activations, *one, name) for name in cam.SCALINGS)
    np.testing.assert_allclose(by_peak, [[0.2, 0.4, 0.8, 1]] * 4, atol=1e-6)
    np.testing.assert_allclose(by_range, [[0, 1 / 4, 3 / 4, 1]] * 4, atol=1e-6)


def test_scaling_uses_the_range_of_the_enlarged_map():
    """A cell of 4 between two of 0, enlarged to twice as many pixels: 0, 1, 3, 3, 1, 0, whose highest is 3."""
    row = np.array([0.0, 4.0, 0.0], np.float32)
    activations = np.tile(row, (1, 3, 1))
    np.testing.assert_allclose(cam.rescale(activations, "range", 6)[0, 0], [0, 4 / 3, 0], atol=1e-6)
    np.testing.assert_allclose(cam.rescale(activations, "range")[0, 0], [0, 1, 0], atol=1e-6)


def test_constant_map_scaled_by_range_is_zero():
    even = np.full((1, 3, 3), 0.7, np.float32)
    assert (np.asarray(cam.rescale(even, "range", 17)) == 0).all()
    assert (np.asarray(cam.rescale(even, "peak")) == 1).all()
    with pytest.raises(ValueError, match=r"no saliency.scaling called 'floor'; there are peak, range"):
        cam.rescale(even, "floor")


def test_patch_without_positive_activation_adds_zero_and_no_nan():
    zeros = np.zeros((2, 3, 3), np.float32)
    result = weigh_by_probability(zeros, np.ones(2, np.float32), np.array([[4, 4], [5, 5]]), 4, (9, 9))
    assert (np.asarray(result) == 0).all()
