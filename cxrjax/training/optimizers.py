"""Optax optimizers by name, and the exponential moving average of the weights."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from cxrjax.config.settings import OptimizerConfig

OPTIMIZERS = ("adam", "adamw", "sgd")

# Parameters of at most this size are updated together as one flat array; a larger one is updated by its own kernel.
SMALL_PARAM_SIZE = 2**20


def build_optimizer(
    settings: OptimizerConfig, b1: optax.ScalarOrSchedule | None = None
) -> optax.GradientTransformation:
    """Return the transformation of gradients to a direction; a step is weights - learning rate * direction.

    "adam" adds the weight decay to the gradient, as in PyTorch's `Adam(weight_decay=…)`; "adamw" adds it to the
    direction (Loshchilov & Hutter 2019); "sgd" is gradient descent, with the weight decay added to the gradient.

    Args:
        settings: name, decay rates, weight decay, and limit of the norm of each parameter's gradient.
        b1: decay rate of the moving average of the gradient, or a schedule of it; None for `settings.b1`.

    Raises:
        ValueError: there is no such optimizer.
    """
    if settings.name not in OPTIMIZERS:
        raise ValueError(f"no optimizer called {settings.name!r}; there are {', '.join(OPTIMIZERS)}")
    b1 = settings.b1 if b1 is None else b1
    mask = None if settings.decay_bias_and_norm else lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
    clipping = _clip_param_norm(settings.clip_param_norm) if settings.clip_param_norm else optax.identity()
    weight_decay = optax.add_decayed_weights(settings.weight_decay, mask)
    if settings.name == "sgd":
        momentum_trace = _flatten_small_params(_with_momentum_schedule(optax.trace, "decay", b1))
        return optax.chain(clipping, weight_decay, momentum_trace)
    adam = _flatten_small_params(
        _with_momentum_schedule(optax.scale_by_adam, "b1", b1, b2=settings.b2, eps=settings.eps)
    )
    if settings.name == "adam":
        return optax.chain(clipping, weight_decay, adam)
    return optax.chain(clipping, adam, weight_decay)


def _flatten_small_params(elementwise: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return an elementwise transformation that handles all small parameters as one flat array.

    Otherwise, the hundreds of parameters of FC-DenseNet103 would be as many kernels to compile and to launch.
    """
    flattened = optax.flatten(elementwise)

    def init(params: Any) -> Any:
        return choose(params).init(params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return choose(updates).update(updates, state, params)

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
        lambda gradient, _: gradient * (max_norm / jnp.maximum(jnp.linalg.norm(jnp.ravel(gradient)), max_norm))
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
