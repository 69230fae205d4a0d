"""A dense block in training, in the memory of its own result and by a third fewer passes over it.

Each layer of a dense block (Huang et al. 2017) norms, by the batch, all features before it, and adds a few. Written as
that, every layer copies all before it, takes their mean and variance again, and keeps what it normed for its gradient.
But a feature's mean and variance are the same for every layer that sees it (Pleiss et al. 2017, "Memory-efficient
implementation of DenseNets"); and what was normed is made anew from the feature in no time. So here all layers write
into one buffer, each feature is measured once, and gradients are added up in one buffer too.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models.cpu.conv2d import conv2d, im2col, sum_type
from cxrjax.runtime.platform import is_for_cpu

# On a CPU the backward pass takes so many pixels at once as stay in its cache.
PIXELS_AT_ONCE = 2048


class DenseLayerParams(NamedTuple):
    """What one layer has learned, and what it drops, of c features before it and f that it adds."""

    scale: Array  # float [c], of the norm
    shift: Array  # float [c]
    kernel: Array  # float [k, k, c, f]
    bias: Array  # float [f]
    keep: Array  # float, as wide as what the layer adds or 1: what that is multiplied by


class DenseBlockOutput(NamedTuple):
    """The features that layers have made, and the batch's statistics of those they have seen and added."""

    features: Array  # [N, h, w, C]
    mean: Array  # float32 [C']
    variance: Array  # float32 [C']


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def dense_block(x: Array, layers: Sequence[DenseLayerParams], epsilon: float) -> DenseBlockOutput:
    """What a dense block makes of a batch in training.

    Args:
        x: float [N, h, w, c].
        layers: the first sees c features, each one as many more as that before it added.
        epsilon: added to the variance.

    Returns:
        The features of x and all added to them, C = C', in the type of x.
    """
    start = x.shape[-1]
    added = sum(layer.bias.size for layer in layers)
    features = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, added)))
    mean, variance = _measure(x)
    for layer in layers:
        y = _add(features[..., :start], layer, mean, variance, epsilon)
        features = lax.dynamic_update_slice_in_dim(features, y, start, axis=-1)
        start += y.shape[-1]
        mean, variance = (jnp.concatenate(pair) for pair in zip((mean, variance), _measure(y), strict=True))
    return DenseBlockOutput(features, mean, variance)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def single_layer(x: Array, layer: DenseLayerParams, epsilon: float) -> DenseBlockOutput:
    """What a single layer makes of a batch in training, [N, h, w, c] -> [N, h, w, f], and the statistics of c."""
    mean, variance = _measure(x)
    return DenseBlockOutput(_add(x, layer, mean, variance, epsilon), mean, variance)


class _Gradient(NamedTuple):
    """What is known of the gradient of features, going back from layer to layer."""

    features: Array  # [N, h, w, C]
    mean: Array  # float32 [C']
    variance: Array  # float32 [C']

    def settle(self, grown: DenseBlockOutput, some: slice) -> Array:
        """The whole gradient of some features, once all layers that see them have added to it."""
        count = grown.features.size // grown.features.shape[-1]
        far = grown.features[..., some] - grown.mean[some]
        through = (self.mean[some] + 2 * self.variance[some] * far) / count
        return self.features[..., some] + through.astype(self.features.dtype)


def _dense_block_fwd(
    x: Array, layers: Sequence[DenseLayerParams], epsilon: float
) -> tuple[DenseBlockOutput, tuple[DenseBlockOutput, Sequence[DenseLayerParams]]]:
    grown = dense_block(x, layers, epsilon)
    return grown, (grown, layers)


def _dense_block_bwd(
    epsilon: float, remembered: tuple[DenseBlockOutput, Sequence[DenseLayerParams]], given: DenseBlockOutput
) -> tuple[Array, Sequence[DenseLayerParams]]:
    grown, layers = remembered
    gradient, end, gradients = _Gradient(*given), grown.features.shape[-1], []
    for layer in reversed(layers):
        start = end - layer.bias.size
        dy = gradient.settle(grown, slice(start, end))
        gradient, d_layer = _layer_backward(grown, gradient, layer, dy, epsilon)
        gradients.append(d_layer)
        end = start
    return gradient.settle(grown, slice(0, end)), type(layers)(reversed(gradients))


def _single_layer_fwd(
    x: Array, layer: DenseLayerParams, epsilon: float
) -> tuple[DenseBlockOutput, tuple[DenseBlockOutput, DenseLayerParams]]:
    mixed = single_layer(x, layer, epsilon)
    return mixed, (mixed._replace(features=x), layer)


def _single_layer_bwd(
    epsilon: float, remembered: tuple[DenseBlockOutput, DenseLayerParams], given: DenseBlockOutput
) -> tuple[Array, DenseLayerParams]:
    seen, layer = remembered
    gradient = _Gradient(jnp.zeros_like(seen.features), given.mean, given.variance)
    gradient, d_layer = _layer_backward(seen, gradient, layer, given.features, epsilon)
    return gradient.settle(seen, slice(None)), d_layer


dense_block.defvjp(_dense_block_fwd, _dense_block_bwd)
single_layer.defvjp(_single_layer_fwd, _single_layer_bwd)


def _measure(x: Array) -> tuple[Array, Array]:
    """Mean and variance float32 [C] of each feature, as flax.linen.BatchNorm takes them."""
    x = x.astype(sum_type(x))
    mean, square = x.mean((0, 1, 2)), (x * x).mean((0, 1, 2))
    return mean, jnp.maximum(square - mean * mean, 0)


def _fold(layer: DenseLayerParams, mean: Array, variance: Array, epsilon: float) -> tuple[Array, Array]:
    """The norm as a factor and a summand, each [c]."""
    scale = layer.scale * lax.rsqrt(variance + epsilon)
    return scale, layer.shift - mean * scale


def _add(seen: Array, layer: DenseLayerParams, mean: Array, variance: Array, epsilon: float) -> Array:
    """What a layer adds to what it sees, the first features of some: [N, h, w, c] -> [N, h, w, f]."""
    known = seen.shape[-1]
    scale, shift = _fold(layer, mean[:known], variance[:known], epsilon)
    activated = nn.relu(seen * scale + shift).astype(seen.dtype)
    y = conv2d(activated, layer.kernel.astype(seen.dtype), 1, len(layer.kernel) // 2)
    return (y + layer.bias.astype(seen.dtype)) * layer.keep.astype(seen.dtype)


def _layer_backward(
    grown: DenseBlockOutput, gradient: _Gradient, layer: DenseLayerParams, dy: Array, epsilon: float
) -> tuple[_Gradient, DenseLayerParams]:
    """From the gradient of what a layer adds, [N, h, w, f], to that of what it has seen, and its own."""
    seen = len(layer.scale)
    dy *= layer.keep.astype(dy.dtype)
    mean, variance = grown.mean[:seen], grown.variance[:seen]
    (scale, shift), unfold = jax.vjp(partial(_fold, epsilon=epsilon), layer, mean, variance)
    features, d_scale, d_shift, d_kernel = _layer_backward_cpu(
        grown.features, gradient.features, scale, shift, layer.kernel, dy
    )
    d_layer, d_mean, d_variance = unfold((d_scale, d_shift))
    d_layer = d_layer._replace(kernel=d_kernel, bias=dy.sum((0, 1, 2), dtype=layer.bias.dtype))
    return (
        _Gradient(features, _add_to_first(gradient.mean, d_mean), _add_to_first(gradient.variance, d_variance)),
        d_layer,
    )


def _layer_backward_cpu(
    features: Array, total: Array, scale: Array, shift: Array, kernel: Array, dy: Array
) -> tuple[Array, Array, Array, Array]:
    """Through the convolution, the ReLU and the norm of one layer.

    Args:
        features: [N, h, w, C], of which the layer has seen the first c.
        total: [N, h, w, C], the gradients so far.
        scale: [c], of `_fold`.
        shift: [c].
        kernel: [k, k, c, f].
        dy: [N, h, w, f], the gradient of what the convolution gave.

    Returns:
        The gradients with what this layer adds to them, and those of scale, shift and kernel.
    """
    if not is_for_cpu():
        return _layer_backward_xla(features, total, scale, shift, kernel, dy)
    n, height, width, _ = features.shape
    size, _, seen, added = kernel.shape
    margin, wide = size // 2, sum_type(features)
    fitting = max(1, PIXELS_AT_ONCE // (n * width))
    rows = next(rows for rows in range(min(fitting, height), 0, -1) if height % rows == 0)
    padded = jnp.pad(dy, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    turned = kernel[::-1, ::-1].swapaxes(2, 3).reshape(-1, seen).astype(dy.dtype)

    def strip(i: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        total, d_scale, d_shift, d_kernel = sums
        x = lax.dynamic_slice_in_dim(features, rows * i, rows, axis=1)[..., :seen].reshape(-1, seen)
        around = lax.dynamic_slice_in_dim(padded, rows * i, rows + size - 1, axis=1)
        columns = im2col(around, size).reshape(-1, size**2 * added)  # the last tap first
        normed = x * scale + shift
        activated = nn.relu(normed).astype(x.dtype)
        d_normed = jnp.where(normed > 0, columns @ turned, 0)
        old = lax.dynamic_slice(total, (0, rows * i, 0, 0), (n, rows, width, seen))
        new = old + (d_normed * scale).astype(x.dtype).reshape(old.shape)
        return (
            lax.dynamic_update_slice(total, new, (0, rows * i, 0, 0)),
            d_scale + (d_normed * x).sum(0, dtype=wide),
            d_shift + d_normed.sum(0, dtype=wide),
            d_kernel + jnp.matmul(activated.T, columns, preferred_element_type=wide),
        )

    none = jnp.zeros(seen, wide), jnp.zeros(seen, wide), jnp.zeros((seen, size**2 * added), wide)
    total, d_scale, d_shift, d_kernel = lax.fori_loop(0, height // rows, strip, (total, *none))
    d_kernel = d_kernel.reshape(seen, size, size, added)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    return total, d_scale, d_shift, d_kernel


def _layer_backward_xla(
    features: Array, total: Array, scale: Array, shift: Array, kernel: Array, dy: Array
) -> tuple[Array, Array, Array, Array]:
    """`_go_back_folded` by the gradients of XLA's own convolution."""
    seen, wide = kernel.shape[2], sum_type(features)
    x = features[..., :seen]
    normed = x * scale + shift

    def correlate(activated: Array, kernel: Array) -> Array:
        return conv2d(activated, kernel.astype(x.dtype), 1, len(kernel) // 2)

    d_activated, d_kernel = jax.vjp(correlate, nn.relu(normed).astype(x.dtype), kernel)[1](dy)
    d_normed = jnp.where(normed > 0, d_activated, 0)
    d_scale = (d_normed * x).sum((0, 1, 2), dtype=wide)
    d_shift = d_normed.sum((0, 1, 2), dtype=wide)
    new = total[..., :seen] + (d_normed * scale).astype(x.dtype)
    return lax.dynamic_update_slice_in_dim(total, new, 0, axis=-1), d_scale, d_shift, d_kernel


def _add_to_first(total: Array, some: Array) -> Array:
    """Add to the first numbers of a row: [C] and [c] -> [C]. No scatter, which a GPU would do by atomic sums."""
    return total + jnp.pad(some, (0, total.size - some.size))
