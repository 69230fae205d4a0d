"""Which way the weights go: from settings to an optax transformation, and the running mean of weights."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

OPTIMIZERS = ("adam", "adamw", "sgd")

# Parameters of up to so many numbers are a row together; a larger one is worth a program of its own.
SMALL = 2**20


def build_optimizer(
    name: str,
    momentum: optax.ScalarOrSchedule,
    square_momentum: float,
    epsilon: float,
    decay: float,
    decay_vectors: bool,
    clip: float = 0.0,
) -> optax.GradientTransformation:
    """From gradients to a direction; a step goes against it, weights - rate * direction.

    Args:
        name: "adam": the decay added to the gradient, as PyTorch's `Adam(weight_decay=…)` has it; "adamw": the decay
            added to the direction (Loshchilov & Hutter 2019); "sgd": gradient descent, the decay added to the gradient.
        momentum: share kept of the mean gradient each step, or that by step; of "sgd", 0 for none.
        square_momentum: share kept of Adam's mean squared gradient.
        epsilon: added to the root of that.
        decay: a weight's own multiple.
        decay_vectors: whether biases and batch norms decay too (PyTorch) or matrices and kernels alone (fastai).
        clip: largest norm of each parameter's own gradient, before all else (Keras's clipnorm); 0 for any.

    Raises:
        ValueError: no such optimiser.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimiser called {name!r}; there are {', '.join(OPTIMIZERS)}")
    mask = None if decay_vectors else lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    first, decays = _clip_each(clip) if clip else optax.identity(), optax.add_decayed_weights(decay, mask)
    if name == "sgd":
        return optax.chain(
            first, decays, _flatten_small_params(_with_momentum_schedule(optax.trace, "decay", momentum))
        )
    adam = _flatten_small_params(
        _with_momentum_schedule(optax.scale_by_adam, "b1", momentum, b2=square_momentum, eps=epsilon)
    )
    return optax.chain(first, decays, adam) if name == "adam" else optax.chain(first, adam, decays)


def _flatten_small_params(elementwise: optax.GradientTransformation) -> optax.GradientTransformation:
    """A transformation that takes number by number, of all small parameters as one row.

    Hundreds of parameters, as FC-DenseNet103 has, are else as many programs to compile and to start.
    """
    row = optax.flatten(elementwise)

    def init(params: Any) -> Any:
        return choose(params).init(params)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return choose(gradients).update(gradients, state, params)

    def choose(tree: Any) -> optax.GradientTransformation:
        return row if jax.tree.leaves(tree) else elementwise  # of nothing there is no row

    def is_small(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.size <= SMALL, tree)

    def is_large(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.size > SMALL, tree)

    small = optax.GradientTransformation(init, update)
    return optax.chain(optax.masked(small, is_small), optax.masked(elementwise, is_large))


def _clip_each(largest: float) -> optax.GradientTransformation:
    """Shorten the gradient of each parameter to a norm; optax's own is of all gradients together."""
    return optax.stateless_with_tree_map(lambda g, _: g * (largest / jnp.maximum(jnp.linalg.norm(g.ravel()), largest)))


def _with_momentum_schedule(
    build: Any, argument: str, momentum: optax.ScalarOrSchedule, **rest: float
) -> optax.GradientTransformation:
    """A transformation whose momentum is a number or follows a schedule."""
    if callable(momentum):
        build = optax.inject_hyperparams(build, static_args=tuple(rest))
    return build(**{argument: momentum}, **rest)


def update_ema(mean: Any, now: Any, step: Array, decay: float) -> Any:
    """The running mean of weights over the steps of a training (Polyak averaging, exponential).

    Args:
        mean: pytree of the mean so far.
        now: pytree of the weights after this step.
        step: how many steps have gone before.
        decay: in 0..1, share of the mean that is kept; less in the first steps, so that the start is soon forgotten.

    Returns:
        The pytree of the new mean.
    """
    return optax.incremental_update(now, mean, 1 - jnp.minimum(decay, (1 + step) / (10 + step)))
