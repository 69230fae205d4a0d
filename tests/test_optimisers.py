"""Schedules by hand, and Adam against PyTorch's rule."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cxrjax import optimisers


def test_steps_fall_at_the_milestones():
    rate = optimisers.build_schedule("steps", 1e-4, 100, 0, (0.7, 0.8, 0.9), 0.1)
    for step, expected in [(0, 1e-4), (69, 1e-4), (70, 1e-5), (80, 1e-6), (95, 1e-7)]:
        assert rate(step) == pytest.approx(expected, rel=1e-5)


def test_cosine_rises_then_falls_to_nothing():
    rate = optimisers.build_schedule("cosine", 2.0, 110, 10, (), 0.1)
    assert [float(rate(step)) for step in (0, 5, 10, 60, 110)] == pytest.approx([0, 1, 2, 1, 0], abs=1e-6)


def test_adam_adds_the_decay_to_the_gradient():
    optimiser = optimisers.build_adam(lambda step: 0.1, decay=0.5)
    weights, gradients = jnp.array([2.0, -1.0]), jnp.array([0.3, 0.5])
    state = optimiser.init(weights)
    m = v = np.zeros(2)
    ours, theirs = weights, np.array([2.0, -1.0])
    for t in range(1, 4):  # torch.optim.Adam: g += decay * w; m, v; w -= lr * m_hat / (sqrt(v_hat) + eps)
        updates, state = optimiser.update(gradients, state, ours)
        ours = optax.apply_updates(ours, updates)
        g = np.array([0.3, 0.5]) + 0.5 * theirs
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        theirs = theirs - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_the_mean_of_weights_forgets_its_beginning():
    mean, now = {"w": jnp.array([1.0])}, {"w": jnp.array([3.0])}
    assert float(optimisers.update_mean(mean, now, jnp.int32(0), 0.9)["w"][0]) == pytest.approx(0.1 * 1 + 0.9 * 3)
    assert float(optimisers.update_mean(mean, now, jnp.int32(90), 0.9)["w"][0]) == pytest.approx(0.9 * 1 + 0.1 * 3)
