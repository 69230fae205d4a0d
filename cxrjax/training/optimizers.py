"""Optax optimizers by name, and the exponential moving average of the weights."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

OPTIMIZERS = ("adam", "adamw", "sgd")

# Parameters of at most this size are updated together as one flat array; a larger one is updated by its own kernel.
SMALL_PARAM_SIZE = 2**20


def build_optimizer(
    name: str,
    momentum: optax.ScalarOrSchedule,
    square_momentum: float,
    epsilon: float,
    decay: float,
    decay_vectors: bool,
    clip: float = 0.0,
) -> optax.GradientTransformation:
    """Return the transformation of gradients to a direction; a step is weights - learning rate * direction.

    Args:
        name: "adam": weight decay added to the gradient, as in PyTorch's `Adam(weight_decay=…)`; "adamw": weight decay
            added to the direction (Loshchilov & Hutter 2019); "sgd": gradient descent, weight decay added to the
            gradient.
        momentum: decay of the moving average of the gradient (beta 1), or a schedule of it; for "sgd", 0 for none.
        square_momentum: decay of Adam's moving average of the squared gradient (beta 2).
        epsilon: added to the root of that average.
        decay: weight decay, the multiple of a weight that is added.
        decay_vectors: whether biases and batch norms decay too (PyTorch), or matrices and kernels only (fastai).
        clip: maximum norm of the gradient of each parameter, applied first (Keras's clipnorm); 0 for no limit.

    Raises:
        ValueError: there is no such optimizer.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimizer called {name!r}; there are {', '.join(OPTIMIZERS)}")
    mask = None if decay_vectors else lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    clipping = _clip_param_norm(clip) if clip else optax.identity()
    weight_decay = optax.add_decayed_weights(decay, mask)
    if name == "sgd":
        momentum_trace = _flatten_small_params(_with_momentum_schedule(optax.trace, "decay", momentum))
        return optax.chain(clipping, weight_decay, momentum_trace)
    adam = _flatten_small_params(
        _with_momentum_schedule(optax.scale_by_adam, "b1", momentum, b2=square_momentum, eps=epsilon)
    )
    if name == "adam":
        return optax.chain(clipping, weight_decay, adam)
    return optax.chain(clipping, adam, weight_decay)


def _flatten_small_params(elementwise: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return an elementwise transformation that handles all small parameters as one flat array.

    Otherwise, the hundreds of parameters of FC-DenseNet103 would be as many kernels to compile and to launch.
    """
    flattened = optax.flatten(elementwise)

    def init(params: Any) -> Any:
        return choose(params).init(params)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return choose(gradients).update(gradients, state, params)

    def choose(tree: Any) -> optax.GradientTransformation:
        return flattened if jax.tree.leaves(tree) else elementwise  # an empty tree cannot be flattened

    def is_small(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.size <= SMALL_PARAM_SIZE, tree)

    def is_large(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.size > SMALL_PARAM_SIZE, tree)

    small = optax.GradientTransformation(init, update)
    return optax.chain(optax.masked(small, is_small), optax.masked(elementwise, is_large))


def _clip_param_norm(max_norm: float) -> optax.GradientTransformation:
    """Clip the gradient of each parameter to a maximum norm; optax's own clipping is by the norm of all gradients."""
    return optax.stateless_with_tree_map(
        lambda gradient, _: gradient * (max_norm / jnp.maximum(jnp.linalg.norm(gradient.ravel()), max_norm))
    )


def _with_momentum_schedule(
    build: Any, argument: str, momentum: optax.ScalarOrSchedule, **options: float
) -> optax.GradientTransformation:
    """Return `build(**{argument: momentum}, **options)`, where the momentum may be a number or a schedule."""
    if callable(momentum):
        build = optax.inject_hyperparams(build, static_args=tuple(options))
    return build(**{argument: momentum}, **options)


def update_ema(ema: Any, variables: Any, step: Array, decay: float) -> Any:
    """Update the exponential moving average of the weights over the steps of a training (Polyak averaging).

    Args:
        ema: pytree of the average so far.
        variables: pytree of the weights after this step.
        step: number of steps done before this one.
        decay: in 0..1; smaller in the first steps, so that the initial weights soon lose their influence.

    Returns:
        The pytree of the updated average.
    """
    return optax.incremental_update(variables, ema, 1 - jnp.minimum(decay, (1 + step) / (10 + step)))
