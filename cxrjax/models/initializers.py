"""Initializers: the distributions from which the kernels and biases of a network are drawn before training.

`use` sets the initializer of all layers that are initialized in its context; the layers get it from `current`. The
attributes of a network and its tree of parameters do not depend on it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.linen.initializers import normal, zeros
from jax import Array

Draw = Callable[..., Array]  # (key, shape, dtype) -> parameter

_TRUNCATED_DEVIATION = 0.87962566103423978  # standard deviation of a standard normal truncated to -2..2


def _draw_zeros(fan_in: int) -> Draw:
    return zeros


def _draw_torch_bias(fan_in: int) -> Draw:
    """Return a draw from the uniform distribution within 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def _variance_scaling(scale: float, mode: str, distribution: str) -> Draw:
    """Return a draw with the values of `jax.nn.initializers.variance_scaling`, which compiles faster for many kernels.

    Element number i of a draw depends on the key and on i alone. Therefore as many values as the next power of two are
    drawn and the first ones used, so that XLA compiles one kernel for all parameters of about the same size.

    Args:
        scale: variance of the values times the fan.
        mode: "fan_in", "fan_out" or "fan_avg", the fan.
        distribution: "truncated_normal" (at two standard deviations before scaling), "normal" or "uniform".
    """

    def draw(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        window = math.prod(shape[:-2])
        fans: dict[str, float] = {"fan_in": window * shape[-2], "fan_out": window * shape[-1]}
        fans["fan_avg"] = (fans["fan_in"] + fans["fan_out"]) / 2
        variance = jnp.array(scale / fans[mode], dtype)
        size = math.prod(shape)
        padded = (1 << (size - 1).bit_length(),)
        if distribution == "truncated_normal":
            values = jax.random.truncated_normal(key, -2, 2, padded, dtype)
            deviation = jnp.sqrt(variance) / jnp.array(_TRUNCATED_DEVIATION, dtype)
        elif distribution == "normal":
            values = jax.random.normal(key, padded, dtype)
            deviation = jnp.sqrt(variance)
        else:
            values = jax.random.uniform(key, padded, dtype, -1)
            deviation = jnp.sqrt(3 * variance)
        return values[:size].reshape(shape) * deviation

    return draw


_he_normal = _variance_scaling(2.0, "fan_in", "truncated_normal")
_he_uniform = _variance_scaling(2.0, "fan_in", "uniform")
_lecun_normal = _variance_scaling(1.0, "fan_in", "truncated_normal")
_glorot_normal = _variance_scaling(1.0, "fan_avg", "truncated_normal")
_glorot_uniform = _variance_scaling(1.0, "fan_avg", "uniform")


class Initializer(NamedTuple):
    """Distributions of each type of parameter.

    Those of the biases are functions of the fan-in, the number of inputs of one output. The fan-in of a transposed
    convolution is k * k * F, as PyTorch and Keras count it.
    """

    conv: Draw  # kernels [k, k, C, F] of convolutions
    transposed: Draw  # kernels [k, k, C, F] of transposed convolutions
    linear: Draw  # kernels [C, F] of all linear layers but the last
    last: Draw  # kernel [C, K] of the last linear layer
    conv_bias: Callable[[int], Draw] = _draw_zeros
    linear_bias: Callable[[int], Draw] = _draw_zeros


def _swap_features(draw: Draw) -> Draw:
    """Return a draw of kernels [k, k, C, F] with the fans of [k, k, F, C], the layout of PyTorch and Keras."""

    def draw_swapped(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        height, width, inputs, outputs = shape
        return draw(key, (height, width, outputs, inputs), dtype).swapaxes(2, 3)

    return draw_swapped


def _draw_all_kernels(draw: Draw) -> Initializer:
    return Initializer(conv=draw, transposed=_swap_features(draw), linear=draw, last=draw)


# Convolutions as in He et al. 2015, transposed ones with the fan-in of their input channels; linear layers as in Flax.
HE_NORMAL = Initializer(conv=_he_normal, transposed=_he_normal, linear=_lecun_normal, last=_lecun_normal)

# Uniform within 1 / sqrt(fan_in), as `reset_parameters` of PyTorch's convolutions and linear layers.
_torch_kernel = _variance_scaling(1 / 3, "fan_in", "uniform")
_TORCH = _draw_all_kernels(_torch_kernel)._replace(conv_bias=_draw_torch_bias, linear_bias=_draw_torch_bias)

INITIALIZERS = {
    "he_normal": HE_NORMAL,
    "torch": _TORCH,
    # Initializers of Keras, with biases of 0.
    "he_uniform": _draw_all_kernels(_he_uniform),
    "lecun_normal": _draw_all_kernels(_lecun_normal),
    "glorot_normal": _draw_all_kernels(_glorot_normal),
    "glorot_uniform": _draw_all_kernels(_glorot_uniform),  # Keras's default
    # fsarshad's notebook, cells 39 and 46, where the last layer has Keras's default
    "fsarshad_cnn2": _draw_all_kernels(_he_normal)._replace(last=_glorot_uniform),
    "fsarshad_cnn3": _draw_all_kernels(_lecun_normal)._replace(linear=_glorot_normal, last=_glorot_uniform),
}

# "torchvision", by the family of the backbone: torchvision's `models/resnet.py`, `densenet.py` and `vgg.py`. Its normal
# distributions are not truncated, unlike those of Keras and of JAX above.
_fan_out = _variance_scaling(2.0, "fan_out", "normal")
TORCHVISION = {
    "resnet": _TORCH._replace(conv=_fan_out),
    "densenet": _TORCH._replace(conv=_variance_scaling(2.0, "fan_in", "normal"), linear_bias=_draw_zeros),
    "vgg": Initializer(conv=_fan_out, transposed=_swap_features(_fan_out), linear=normal(0.01), last=normal(0.01)),
}

_current: ContextVar[Initializer] = ContextVar("initializer", default=HE_NORMAL)


def current() -> Initializer:
    """Return the initializer of the innermost `use`; HE_NORMAL outside of all."""
    return _current.get()


@contextmanager
def use(initializer: Initializer) -> Iterator[None]:
    """Draw the parameters of networks that are initialized in this context by an initializer."""
    token = _current.set(initializer)
    try:
        yield
    finally:
        _current.reset(token)
