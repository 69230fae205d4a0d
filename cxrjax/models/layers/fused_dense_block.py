"""Dense block in training, which needs only the memory of its result and a third fewer passes over it.

Each layer of a dense block (Huang et al. 2017) normalizes all features before it by the batch's statistics and adds a
few features. A direct implementation makes every layer copy all features before it, compute their mean and variance
again, and store the normalized features for its gradient. But the mean and the variance of a feature are the same for
every layer that reads it (Pleiss et al. 2017, "Memory-efficient implementation of DenseNets"), and normalizing again in
the backward pass takes little time. Here all layers write into one buffer, the statistics of each feature are computed
once, and gradients are summed in one buffer too.

On a CPU, the layers of small images run in a loop (`layer_stack`), so that they are compiled as one layer, in inference
as well.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models.cpu.switch import kernels
from cxrjax.models.layers.batch_norm import BatchNorm
from cxrjax.models.layers.conv import Conv
from cxrjax.models.layers.layer_stack import DenseLayerParams, LayerStack
from cxrjax.models.layers.precision import accumulator_dtype


class DenseBlockOutput(NamedTuple):
    """Result of layers and the batch's statistics of their input and result."""

    features: Array  # [N, h, w, C]
    mean: Array  # float32 [C']
    variance: Array  # float32 [C']


class DenseLayer(Protocol):
    """Layer of `cxrjax.models.fc_densenet`, a bound module: the attributes that are read here."""

    norm: BatchNorm
    conv: Conv  # with parameters `kernel` and `bias`
    drop: nn.Dropout  # of values [N, h, w, f], or with `broadcast_dims` of maps [N, f]
    dtype: jnp.dtype

    def is_initializing(self) -> bool: ...


def can_fuse(layers: Sequence[DenseLayer]) -> bool:
    """Return whether `apply_block` can run layers in training: they have weights, and norms that are not frozen."""
    return not any(layer.is_initializing() or layer.norm.is_frozen() for layer in layers)


def apply_block(layers: Sequence[DenseLayer], x: Array) -> Array:
    """Run the layers of a block on a training batch, and update their running statistics.

    Args:
        layers: each reads the features of x and of all layers before it.
        x: float [N, h, w, c].

    Returns:
        The features of x followed by those of all layers, [N, h, w, C].
    """
    # One draw for all layers, since one program per layer takes long to compile.
    sizes = [layer.conv.features for layer in layers]
    masks = jnp.split(_draw_dropout_mask(layers[0], x.shape[:3], sum(sizes)), len(layers), -1)
    params = [_params(layer, mask) for layer, mask in zip(layers, masks, strict=True)]
    # jax.custom_vjp hides the types of results.
    features, mean, variance = cast(DenseBlockOutput, dense_block(x, params, layers[0].norm.epsilon))
    for layer, param in zip(layers, params, strict=True):
        channels = len(param.scale)
        _update_batch_stats(layer.norm, mean[:channels], variance[:channels])
    return features


def can_loop(layers: Sequence[DenseLayer], x: Array) -> bool:
    """Return whether `loop_layers` runs the layers of a block: in inference, on few pixels [N, h, w, c]."""
    return not layers[0].is_initializing() and _is_looped(x, layers, kernels().max_looped_pixels_in_inference)


def loop_layers(layers: Sequence[DenseLayer], x: Array) -> Array:
    """Run the layers of a block in inference in a loop: [N, h, w, c] -> [N, h, w, C], as `apply_block`."""
    folded = [_fold_running_stats(layer) for layer in layers]
    stack = LayerStack.concatenate(folded)
    width = folded[-1].scale.size
    added = sum(layer.bias.size for layer in folded)

    def add_layer(number: Array, features: Array) -> Array:
        layer = stack.read(number, width)
        y = _convolve_activated(features[..., :width], layer, layer.scale, layer.shift)
        return lax.dynamic_update_slice_in_dim(features, y, stack.counts[number], axis=-1)

    return lax.fori_loop(0, len(layers), add_layer, jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, added))))


def apply_layer(layer: DenseLayer, x: Array) -> Array:
    """Run a single layer on a training batch [N, h, w, c] -> [N, h, w, f], and update its running statistics."""
    params = _params(layer, _draw_dropout_mask(layer, x.shape[:3], layer.conv.features))
    y, mean, variance = cast(DenseBlockOutput, single_layer(x, params, layer.norm.epsilon))
    _update_batch_stats(layer.norm, mean, variance)
    return y


def _draw_dropout_mask(layer: DenseLayer, batch_shape: tuple[int, ...], features: int) -> Array:
    """Draw the factors of dropout for maps [N, h, w, features], by which they are multiplied.

    Args:
        layer: layer whose dropout is drawn.
        batch_shape: (N, h, w).
        features: number of feature maps.

    Returns:
        Factors of at least 0: [N, 1, 1, features] where whole maps are dropped, else [N, h, w, features].
    """
    drawn = [1 if axis in layer.drop.broadcast_dims else size for axis, size in enumerate(batch_shape)]
    return layer.drop(jnp.ones((*drawn, features), layer.dtype), deterministic=False)


def _params(layer: DenseLayer, dropout_mask: Array) -> DenseLayerParams:
    norm = layer.norm.variables["params"]
    conv = layer.conv.variables["params"]
    return DenseLayerParams(
        scale=norm["scale"],
        shift=norm["bias"],
        kernel=conv["kernel"],
        bias=conv["bias"],
        dropout_mask=dropout_mask,
    )


def _fold_running_stats(layer: DenseLayer) -> DenseLayerParams:
    """Return the parameters of a layer without dropout, whose scale and shift replace the norm in inference."""
    params = _params(layer, jnp.ones(()))
    running = layer.norm.variables["batch_stats"]
    scale, shift = _fold_norm(params, running["mean"], running["var"], layer.norm.epsilon)
    return params._replace(scale=scale, shift=shift)


def _update_batch_stats(norm: BatchNorm, mean: Array, variance: Array) -> None:
    """Update the running statistics of a norm by those of a batch."""
    for name, value in (("mean", mean), ("var", variance)):
        running = norm.get_variable("batch_stats", name)
        norm.put_variable("batch_stats", name, norm.momentum * running + (1 - norm.momentum) * value)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def dense_block(x: Array, layers: list[DenseLayerParams], epsilon: float) -> DenseBlockOutput:
    """Run a dense block on a training batch.

    Args:
        x: float [N, h, w, c].
        layers: the first layer reads c features, each further one also the features that the layers before it added.
        epsilon: added to the variance.

    Returns:
        The features of x followed by all added features, C = C', in the type of x.
    """
    added = sum(layer.bias.size for layer in layers)
    mean, variance = _batch_stats(x)
    output = DenseBlockOutput(
        features=jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, added))),
        mean=jnp.pad(mean, (0, added)),
        variance=jnp.pad(variance, (0, added)),
    )
    if _is_looped(x, layers, kernels().max_looped_pixels):
        stack = LayerStack.concatenate(layers)
        width = layers[-1].scale.size

        def add_layer(number: Array, output: DenseBlockOutput) -> DenseBlockOutput:
            return _add_features(output, stack.read(number, width), stack.counts[number], epsilon)

        return lax.fori_loop(0, len(layers), add_layer, output)
    for layer in layers:
        output = _add_features(output, layer, layer.scale.size, epsilon)
    return output


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

    def total(self, output: DenseBlockOutput, start: int | Array, size: int) -> Array:
        """Compute the total gradient of some channels, after all layers that read them have added to it."""

        def read(values: Array) -> Array:
            return lax.dynamic_slice_in_dim(values, start, size, axis=-1)

        count = output.features.size // output.features.shape[-1]
        deviation = read(output.features) - read(output.mean)
        through_stats = (read(self.mean) + 2 * read(self.variance) * deviation) / count
        return read(self.features) + through_stats.astype(self.features.dtype)


def _dense_block_fwd(
    x: Array, layers: list[DenseLayerParams], epsilon: float
) -> tuple[DenseBlockOutput, tuple[DenseBlockOutput, list[DenseLayerParams]]]:
    output = cast(DenseBlockOutput, dense_block(x, layers, epsilon))
    return output, (output, layers)


def _dense_block_bwd(
    epsilon: float, residuals: tuple[DenseBlockOutput, list[DenseLayerParams]], d_output: DenseBlockOutput
) -> tuple[Array, list[DenseLayerParams]]:
    output, layers = residuals
    gradient = _Gradient(*d_output)
    counts = [layer.scale.size for layer in layers]
    if _is_looped(output.features, layers, kernels().max_looped_pixels):
        stack = LayerStack.concatenate(layers)
        added = layers[-1].bias.size

        def propagate(i: Array, state: tuple[_Gradient, LayerStack]) -> tuple[_Gradient, LayerStack]:
            gradient, d_stack = state
            number = len(layers) - 1 - i
            layer = stack.read(number, counts[-1])
            dy = gradient.total(output, stack.counts[number], added)
            gradient, d_layer = _layer_backward(output, gradient, layer, dy, epsilon)
            return gradient, d_stack.add(number, d_layer)

        zeros = jax.tree.map(jnp.zeros_like, stack)._replace(starts=stack.starts, counts=stack.counts)
        gradient, d_stack = lax.fori_loop(0, len(layers), propagate, (gradient, zeros))
        d_layers = d_stack.split(counts)
    else:
        d_layers = []
        for layer in reversed(layers):
            dy = gradient.total(output, layer.scale.size, layer.bias.size)
            gradient, d_layer = _layer_backward(output, gradient, layer, dy, epsilon)
            d_layers.insert(0, d_layer)
    return gradient.total(output, 0, counts[0]), d_layers


def _single_layer_fwd(
    x: Array, layer: DenseLayerParams, epsilon: float
) -> tuple[DenseBlockOutput, tuple[DenseBlockOutput, DenseLayerParams]]:
    output = cast(DenseBlockOutput, single_layer(x, layer, epsilon))
    return output, (output._replace(features=x), layer)


def _single_layer_bwd(
    epsilon: float, residuals: tuple[DenseBlockOutput, DenseLayerParams], d_output: DenseBlockOutput
) -> tuple[Array, DenseLayerParams]:
    inputs, layer = residuals  # the input of the layer and its statistics
    gradient = _Gradient(jnp.zeros_like(inputs.features), d_output.mean, d_output.variance)
    gradient, d_layer = _layer_backward(inputs, gradient, layer, d_output.features, epsilon)
    return gradient.total(inputs, 0, inputs.features.shape[-1]), d_layer


dense_block.defvjp(_dense_block_fwd, _dense_block_bwd)
single_layer.defvjp(_single_layer_fwd, _single_layer_bwd)


def _is_looped(x: Array, layers: Sequence[DenseLayer | DenseLayerParams], max_pixels: int) -> bool:
    """Return whether a loop runs the layers of a block on features [N, h, w, C], h w of at most `max_pixels`."""
    return len(layers) > 1 and x.shape[1] * x.shape[2] <= max_pixels


def _add_features(
    output: DenseBlockOutput, layer: DenseLayerParams, start: int | Array, epsilon: float
) -> DenseBlockOutput:
    """Run a layer, and write its features and their statistics from channel `start` on."""
    y = _layer_forward(output.features[..., : layer.scale.size], layer, output.mean, output.variance, epsilon)
    return jax.tree.map(
        lambda total, added: lax.dynamic_update_slice_in_dim(total, added, start, axis=-1),
        output,
        DenseBlockOutput(y, *_batch_stats(y)),
    )


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
    return _convolve_activated(x, layer, scale, shift)


def _convolve_activated(x: Array, layer: DenseLayerParams, scale: Array, shift: Array) -> Array:
    """Scale, shift, rectify and convolve: [N, h, w, c] -> [N, h, w, f]."""
    activated = nn.relu(x * scale + shift).astype(x.dtype)
    y = kernels().conv2d(activated, layer.kernel.astype(x.dtype), 1, len(layer.kernel) // 2)
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
    d_features, d_scale, d_shift, d_kernel = kernels().dense_layer_gradient(
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


def _add_to_first(total: Array, values: Array) -> Array:
    """Add [c] to the first c entries of [C], by padding: a GPU would scatter by atomic sums."""
    return total + jnp.pad(values, (0, total.size - values.size))
