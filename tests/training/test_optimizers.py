"""Optimizers against the written-out rules of PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cxrjax.config.settings import OptimizerConfig
from cxrjax.training import optimizers

WEIGHTS, GRADIENT, RATE, DECAY = np.array([[2.0, -1.0]]), np.array([[0.3, 0.5]]), 0.1, 0.5


def run(optimizer, steps=3):
    weights = {"kernel": jnp.array(WEIGHTS), "bias": jnp.array(WEIGHTS[0])}
    gradients = {"kernel": jnp.array(GRADIENT), "bias": jnp.array(GRADIENT[0])}
    state = optimizer.init(weights)
    for _ in range(steps):
        direction, state = optimizer.update(gradients, state, weights)
        weights = {name: weights[name] - RATE * direction[name] for name in weights}
    return weights


def adam(decay, coupled, momentums=(0.9, 0.9, 0.9)):
    """torch.optim.Adam (decay in the gradient) and AdamW (decay of the weight itself)."""
    w, m, v = WEIGHTS.copy(), 0.0, 0.0
    for t, b in enumerate(momentums, 1):
        g = GRADIENT + (decay * w if coupled else 0)
        m, v = b * m + (1 - b) * g, 0.999 * v + 0.001 * g * g
        w = w - RATE * ((m / (1 - b**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + (0 if coupled else decay * w))
    return w


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("largest", [0, 2, 6])
def test_update_of_joined_parameters_equals_separate_updates(name, largest, monkeypatch):
    """Two parameters of different shapes and gradients, of which both, one or none are large."""
    weights = {"bias": jnp.array([2.0, -1.0]), "kernel": jnp.arange(6.0).reshape(3, 2)}
    gradients = {"bias": jnp.array([0.3, 0.5]), "kernel": jnp.linspace(-1.0, 1.0, 6).reshape(3, 2)}

    def find():
        optimizer = optimizers.build_optimizer(OptimizerConfig(name, weight_decay=DECAY, decay_bias_and_norm=False))
        state = optimizer.init(weights)
        for _ in range(2):
            direction, state = optimizer.update(gradients, state, weights)
        return direction

    monkeypatch.setattr(optimizers, "SMALL_PARAM_SIZE", largest)
    direction = find()
    monkeypatch.setattr(optimizers, "_flatten_small_params", lambda elementwise: elementwise)
    jax.tree.map(lambda found, plain: np.testing.assert_allclose(found, plain, rtol=1e-6), direction, find())


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_couples_the_weight_decay_and_adamw_does_not(name):
    found = run(optimizers.build_optimizer(OptimizerConfig(name, weight_decay=DECAY, decay_bias_and_norm=True)))
    np.testing.assert_allclose(found["kernel"], adam(DECAY, name == "adam"), rtol=1e-5)
    np.testing.assert_allclose(found["bias"], found["kernel"][0], rtol=1e-6)


def test_weight_decay_excludes_biases_if_set():
    found = run(optimizers.build_optimizer(OptimizerConfig("adamw", weight_decay=DECAY, decay_bias_and_norm=False)))
    np.testing.assert_allclose(found["kernel"], adam(DECAY, coupled=False), rtol=1e-5)
    np.testing.assert_allclose(found["bias"], adam(0.0, coupled=False)[0], rtol=1e-5)


def test_sgd_with_momentum_equals_pytorch():
    """torch.optim.SGD: v = momentum v + g + decay w; w -= rate v."""
    found = run(optimizers.build_optimizer(OptimizerConfig("sgd", weight_decay=DECAY, decay_bias_and_norm=True)))
    w, v = WEIGHTS.copy(), 0.0
    for _ in range(3):
        v = 0.9 * v + GRADIENT + DECAY * w
        w = w - RATE * v
    np.testing.assert_allclose(found["kernel"], w, rtol=1e-6)


def test_each_gradient_is_clipped_by_its_norm_before_weight_decay():
    """tf.clip_by_norm, variable by variable: (3, 4) of norm 5 becomes (0.6, 0.8) of norm 1; (0.3, 0.4) stays."""
    gradients = {"long": jnp.array([[3.0, 4.0]]), "short": jnp.array([0.3, 0.4]), "none": jnp.zeros(2)}
    weights = jax.tree.map(jnp.ones_like, gradients)
    plain = optimizers.build_optimizer(OptimizerConfig("sgd", b1=0.0, weight_decay=0.0, clip_param_norm=1.0))
    direction, _ = plain.update(gradients, plain.init(weights), weights)
    np.testing.assert_allclose(direction["long"], [[0.6, 0.8]], rtol=1e-6)
    np.testing.assert_array_equal(direction["short"], gradients["short"])
    np.testing.assert_array_equal(direction["none"], 0)
    decaying = optimizers.build_optimizer(OptimizerConfig("sgd", b1=0.0, weight_decay=10.0, clip_param_norm=1.0))
    direction, _ = decaying.update(gradients, decaying.init(weights), weights)
    np.testing.assert_allclose(direction["long"], [[10.6, 10.8]], rtol=1e-6)


def test_momentum_follows_a_schedule():
    momentum = optax.linear_schedule(0.9, 0.7, 2)
    found = run(optimizers.build_optimizer(OptimizerConfig("adam"), momentum))
    np.testing.assert_allclose(found["kernel"], adam(0.0, True, (0.9, 0.8, 0.7)), rtol=1e-5)


def test_ema_of_weights_has_a_lower_decay_in_first_steps():
    mean, now = {"w": jnp.array([1.0])}, {"w": jnp.array([3.0])}
    assert float(optimizers.update_ema(mean, now, jnp.int32(0), 0.9)["w"][0]) == pytest.approx(0.1 * 1 + 0.9 * 3)
    assert float(optimizers.update_ema(mean, now, jnp.int32(90), 0.9)["w"][0]) == pytest.approx(0.9 * 1 + 0.1 * 3)
