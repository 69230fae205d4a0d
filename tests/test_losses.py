"""Losses by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax import losses


def test_structures_known():
    probabilities = jnp.log(jnp.array([[[[0.5, 0.1, 0.2, 0.2], [0.1, 0.1, 0.7, 0.1]]]]))  # two pixels
    masks = np.array([[[0, 2]]])
    expected = -(0.5 * np.log(0.5) + 1.0 * np.log(0.7)) / 1.5
    value = losses.segmentation_loss(probabilities, masks, np.array([losses.STRUCTURES_KNOWN]), 0.5)
    assert value == pytest.approx(expected, rel=1e-6)


def test_lungs_known_sums_what_the_pixel_may_be():
    probabilities = jnp.log(jnp.array([[[[0.5, 0.1, 0.2, 0.2], [0.1, 0.1, 0.6, 0.2]]]]))
    masks = np.array([[[0, 1]]])
    expected = -(0.5 * np.log(0.6) + 1.0 * np.log(0.8)) / 1.5
    value = losses.segmentation_loss(probabilities, masks, np.array([losses.LUNGS_KNOWN]), 0.5)
    assert value == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_and_l1():
    logits = jnp.log(jnp.array([[0.25, 0.75], [0.9, 0.1]]))
    assert losses.cross_entropy(logits, jnp.array([1, 0])) == pytest.approx(-(np.log(0.75) + np.log(0.9)) / 2, rel=1e-6)
    assert losses.l1_penalty({"a": jnp.array([1.0, -2.0]), "b": {"c": jnp.array([[-0.5]])}}) == pytest.approx(3.5)
