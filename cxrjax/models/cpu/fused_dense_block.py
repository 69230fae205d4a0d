"""Dense block in training, which needs only the memory of its result and a third fewer passes over it.

Each layer of a dense block (Huang et al. 2017) normalizes all features before it by the batch's statistics and adds a
few features. A direct implementation makes every layer copy all features before it, compute their mean and variance
again, and store the normalized features for its gradient. But the mean and the variance of a feature are the same for
every layer that reads it (Pleiss et al. 2017, "Memory-efficient implementation of DenseNets"), and normalizing again in
the backward pass takes little time. Here all layers write into one buffer, the statistics of each feature are computed
once, and gradients are summed in one buffer too.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models.cpu.conv2d import accumulator_dtype, conv2d, im2col
from cxrjax.runtime.platform import is_for_cpu

# On a CPU the backward pass processes this many pixels at once, so that they stay in the cache.
PIXELS_AT_ONCE = 2048


class DenseLayerParams(NamedTuple):
    """Parameters of a layer that reads c features and adds f, and its dropout mask."""

    scale: Array  # float [c], of the norm
    shift: Array  # float [c], of the norm
    kernel: Array  # float [k, k, c, f]
    bias: Array  # float [f]
    dropout_mask: Array  # float, factors of the layer's result; broadcasts to [N, h, w, f]


class DenseBlockOutput(NamedTuple):
    """Result of layers and the batch's statistics of their input and result."""

    features: Array  # [N, h, w, C]
    mean: Array  # float32 [C']
    variance: Array  # float32 [C']


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def dense_block(x: Array, layers: Sequence[DenseLayerParams], epsilon: float) -> DenseBlockOutput:
    """Run a dense block on a training batch.

    Args:
        x: float [N, h, w, c].
        layers: the first layer reads c features, each further one also the features that the layers before it added.
        epsilon: added to the variance.

    Returns:
        The features of x followed by all added features, C = C', in the type of x.
    """
    start = x.shape[-1]
    added = sum(layer.bias.size for layer in layers)
    features = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, added)))
    mean, variance = _batch_stats(x)
    for layer in layers:
        y = _layer_forward(features[..., :start], layer, mean, variance, epsilon)
        features = lax.dynamic_update_slice_in_dim(features, y, start, axis=-1)
        start += y.shape[-1]
        added_mean, added_variance = _batch_stats(y)
        mean = jnp.concatenate((mean, added_mean))
        variance = jnp.concatenate((variance, added_variance))
    return DenseBlockOutput(features, mean, variance)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def single_layer(x: Array, layer: DenseLayerParams, epsilon: float) -> DenseBlockOutput:
    """Run a single layer on a training batch: [N, h, w, c] -> [N, h, w, f], with the statistics of its input, [c]."""
    mean, variance = _batch_stats(x)
    return DenseBlockOutput(_layer_forward(x, layer, mean, variance, epsilon), mean, variance)


class _Gradient(NamedTuple):
    """Gradients of features and of their statistics, accumulated from the last layer to the first."""

    features: Array  # [N, h, w, C], without the part that flows through the statistics
    mean: Array  # float32 [C']
    variance: Array  # float32 [C']

    def total(self, output: DenseBlockOutput, channels: slice) -> Array:
        """Compute the total gradient of some channels, after all layers that read them have added to it."""
        count = output.features.size // output.features.shape[-1]
        deviation = output.features[..., channels] - output.mean[channels]
        through_stats = (self.mean[channels] + 2 * self.variance[channels] * deviation) / count
        return self.features[..., channels] + through_stats.astype(self.features.dtype)


def _dense_block_fwd(
    x: Array, layers: Sequence[DenseLayerParams], epsilon: float
) -> tuple[DenseBlockOutput, tuple[DenseBlockOutput, Sequence[DenseLayerParams]]]:
    output = dense_block(x, layers, epsilon)
    return output, (output, layers)


def _dense_block_bwd(
    epsilon: float, residuals: tuple[DenseBlockOutput, Sequence[DenseLayerParams]], d_output: DenseBlockOutput
) -> tuple[Array, Sequence[DenseLayerParams]]:
    output, layers = residuals
    gradient = _Gradient(*d_output)
    end = output.features.shape[-1]
    d_layers = []
    for layer in reversed(layers):
        start = end - layer.bias.size
        dy = gradient.total(output, slice(start, end))
        gradient, d_layer = _layer_backward(output, gradient, layer, dy, epsilon)
        d_layers.append(d_layer)
        end = start
    return gradient.total(output, slice(0, end)), type(layers)(reversed(d_layers))


def _single_layer_fwd(
    x: Array, layer: DenseLayerParams, epsilon: float
) -> tuple[DenseBlockOutput, tuple[DenseBlockOutput, DenseLayerParams]]:
    output = single_layer(x, layer, epsilon)
    return output, (output._replace(features=x), layer)


def _single_layer_bwd(
    epsilon: float, residuals: tuple[DenseBlockOutput, DenseLayerParams], d_output: DenseBlockOutput
) -> tuple[Array, DenseLayerParams]:
    inputs, layer = residuals  # the input of the layer and its statistics
    gradient = _Gradient(jnp.zeros_like(inputs.features), d_output.mean, d_output.variance)
    gradient, d_layer = _layer_backward(inputs, gradient, layer, d_output.features, epsilon)
    return gradient.total(inputs, slice(None)), d_layer


dense_block.defvjp(_dense_block_fwd, _dense_block_bwd)
single_layer.defvjp(_single_layer_fwd, _single_layer_bwd)


def _batch_stats(x: Array) -> tuple[Array, Array]:
    """Compute the mean and the variance of each feature, float32 [C], as flax.linen.BatchNorm does."""
    x = x.astype(accumulator_dtype(x))
    mean = x.mean((0, 1, 2))
    mean_square = (x * x).mean((0, 1, 2))
    return mean, jnp.maximum(mean_square - mean * mean, 0)


def _fold_norm(layer: DenseLayerParams, mean: Array, variance: Array, epsilon: float) -> tuple[Array, Array]:
    """Express the norm as a scale and a shift, each [c]."""
    scale = layer.scale * lax.rsqrt(variance + epsilon)
    return scale, layer.shift - mean * scale


def _layer_forward(x: Array, layer: DenseLayerParams, mean: Array, variance: Array, epsilon: float) -> Array:
    """Run one layer: [N, h, w, c] -> [N, h, w, f]; the first c entries of mean and variance are those of x."""
    channels = x.shape[-1]
    scale, shift = _fold_norm(layer, mean[:channels], variance[:channels], epsilon)
    activated = nn.relu(x * scale + shift).astype(x.dtype)
    y = conv2d(activated, layer.kernel.astype(x.dtype), 1, len(layer.kernel) // 2)
    return (y + layer.bias.astype(x.dtype)) * layer.dropout_mask.astype(x.dtype)


def _layer_backward(
    output: DenseBlockOutput, gradient: _Gradient, layer: DenseLayerParams, dy: Array, epsilon: float
) -> tuple[_Gradient, DenseLayerParams]:
    """Propagate the gradient of a layer's result, [N, h, w, f], to its input and its parameters.

    Args:
        output: features and statistics; the layer reads the first of them.
        gradient: gradients accumulated so far.
        layer: the layer.
        dy: gradient of the layer's result.
        epsilon: added to the variance.

    Returns:
        The accumulated gradients with those of the layer's input added, and the gradients of the parameters.
    """
    channels = len(layer.scale)
    dy *= layer.dropout_mask.astype(dy.dtype)
    mean = output.mean[:channels]
    variance = output.variance[:channels]
    (scale, shift), fold_norm_vjp = jax.vjp(partial(_fold_norm, epsilon=epsilon), layer, mean, variance)
    propagate = _layer_backward_cpu if is_for_cpu() else _layer_backward_xla
    d_features, d_scale, d_shift, d_kernel = propagate(
        output.features, gradient.features, scale, shift, layer.kernel, dy
    )
    d_layer, d_mean, d_variance = fold_norm_vjp((d_scale, d_shift))
    d_layer = d_layer._replace(kernel=d_kernel, bias=dy.sum((0, 1, 2), dtype=layer.bias.dtype))
    gradient = _Gradient(
        features=d_features,
        mean=_add_to_first(gradient.mean, d_mean),
        variance=_add_to_first(gradient.variance, d_variance),
    )
    return gradient, d_layer


def _layer_backward_cpu(
    features: Array, d_features: Array, scale: Array, shift: Array, kernel: Array, dy: Array
) -> tuple[Array, Array, Array, Array]:
    """Propagate a gradient through the convolution, the ReLU and the norm of one layer, in strips of rows.

    Args:
        features: [N, h, w, C]; the layer reads the first c.
        d_features: [N, h, w, C], the gradients accumulated so far.
        scale: [c], of `_fold_norm`.
        shift: [c], of `_fold_norm`.
        kernel: [k, k, c, f].
        dy: [N, h, w, f], the gradient of the convolution's result.

    Returns:
        `d_features` with the gradient of the layer's input added, and the gradients of scale, shift and kernel.
    """
    n, height, width, _ = features.shape
    size, _, channels, added = kernel.shape
    margin = size // 2
    dtype = accumulator_dtype(features)
    max_rows = max(1, PIXELS_AT_ONCE // (n * width))
    rows = next(rows for rows in range(min(max_rows, height), 0, -1) if height % rows == 0)
    padded = jnp.pad(dy, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    rotated = kernel[::-1, ::-1].swapaxes(2, 3).reshape(-1, channels).astype(dy.dtype)

    def add_strip(i: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        d_features, d_scale, d_shift, d_kernel = sums
        x = lax.dynamic_slice_in_dim(features, rows * i, rows, axis=1)[..., :channels].reshape(-1, channels)
        dy_strip = lax.dynamic_slice_in_dim(padded, rows * i, rows + size - 1, axis=1)
        columns = im2col(dy_strip, size).reshape(-1, size**2 * added)  # the last tap first
        normalized = x * scale + shift
        activated = nn.relu(normalized).astype(x.dtype)
        d_normalized = jnp.where(normalized > 0, columns @ rotated, 0)
        old = lax.dynamic_slice(d_features, (0, rows * i, 0, 0), (n, rows, width, channels))
        new = old + (d_normalized * scale).astype(x.dtype).reshape(old.shape)
        return (
            lax.dynamic_update_slice(d_features, new, (0, rows * i, 0, 0)),
            d_scale + (d_normalized * x).sum(0, dtype=dtype),
            d_shift + d_normalized.sum(0, dtype=dtype),
            d_kernel + jnp.matmul(activated.T, columns, preferred_element_type=dtype),
        )

    zeros = (jnp.zeros(channels, dtype), jnp.zeros(channels, dtype), jnp.zeros((channels, size**2 * added), dtype))
    sums = lax.fori_loop(0, height // rows, add_strip, (d_features, *zeros))
    d_features, d_scale, d_shift, d_kernel = sums
    d_kernel = d_kernel.reshape(channels, size, size, added)[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    return d_features, d_scale, d_shift, d_kernel


def _layer_backward_xla(
    features: Array, d_features: Array, scale: Array, shift: Array, kernel: Array, dy: Array
) -> tuple[Array, Array, Array, Array]:
    """Compute `_layer_backward_cpu` by the gradients of XLA's convolution."""
    channels = kernel.shape[2]
    dtype = accumulator_dtype(features)
    x = features[..., :channels]
    normalized = x * scale + shift

    def correlate(activated: Array, kernel: Array) -> Array:
        return conv2d(activated, kernel.astype(x.dtype), 1, len(kernel) // 2)

    d_activated, d_kernel = jax.vjp(correlate, nn.relu(normalized).astype(x.dtype), kernel)[1](dy)
    d_normalized = jnp.where(normalized > 0, d_activated, 0)
    d_scale = (d_normalized * x).sum((0, 1, 2), dtype=dtype)
    d_shift = d_normalized.sum((0, 1, 2), dtype=dtype)
    new = d_features[..., :channels] + (d_normalized * scale).astype(x.dtype)
    return lax.dynamic_update_slice_in_dim(d_features, new, 0, axis=-1), d_scale, d_shift, d_kernel


def _add_to_first(total: Array, values: Array) -> Array:
    """Add [c] to the first c entries of [C], by padding: a GPU would scatter by atomic sums."""
    return total + jnp.pad(values, (0, total.size - values.size))
