"""Kernels of the layers on GPU and TPU: XLA's convolution and its gradients.

The first layer of a network has too few channels to fill the matrix units of an accelerator; there it is XLA's
convolution over blocks of pixels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models.layers.precision import accumulator_dtype, float32_precision

# With at most this many channels, a strided convolution on an accelerator reads blocks of pixels: matrix units take
# eight or sixteen channels at once, and XLA pads one channel to eight only if that hardly increases memory traffic.
FEWEST_FOR_MATRIX_UNITS = 4

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def conv_xla(x: Array, kernel: Array, stride: int, padding: int, prepared: Array | None = None) -> Array:
    """Compute PyTorch's Conv2d (a cross-correlation) as XLA's convolution.

    Args:
        x: float [N, H, W, C].
        kernel: float [k, k, C, F].
        stride: stride in pixels along both axes.
        padding: rows and columns of zeros on each of the four sides.
        prepared: not used; a transformed kernel of `cxrjax.models.cpu.conv2d`.

    Returns:
        float [N, (H + 2 padding - k) // stride + 1, (W + 2 padding - k) // stride + 1, F].
    """
    del prepared
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=_DIMENSIONS,
        precision=float32_precision(x.dtype),
    )


def conv_accelerator(x: Array, kernel: Array, stride: int, padding: int, prepared: Array | None = None) -> Array:
    """Compute `conv_xla` in the form that fills the matrix units of an accelerator."""
    del prepared
    use_blocks = stride > 1 and x.shape[-1] <= FEWEST_FOR_MATRIX_UNITS
    return (conv_blocks if use_blocks else conv_xla)(x, kernel, stride, padding)


def conv_blocks(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Compute `conv_xla` as a convolution of stride 1, each block of stride x stride pixels being one pixel."""
    n, height, width, channels = x.shape
    size, _, _, features = kernel.shape
    kernel_blocks = -(-size // stride)  # blocks that the kernel covers along each axis
    blocks_down = (height + 2 * padding - size) // stride + kernel_blocks
    blocks_across = (width + 2 * padding - size) // stride + kernel_blocks
    bottom = stride * blocks_down - padding - height
    right = stride * blocks_across - padding - width
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (padding, bottom, 0), (padding, right, 0), (0, 0, 0)])
    x = x.reshape(n, blocks_down, stride, blocks_across, stride, channels).transpose(0, 1, 3, 2, 4, 5)
    extra = kernel_blocks * stride - size
    kernel = jnp.pad(kernel, ((0, extra), (0, extra), (0, 0), (0, 0)))
    kernel = kernel.reshape(kernel_blocks, stride, kernel_blocks, stride, channels, features)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    block_channels = stride**2 * channels
    x = x.reshape(n, blocks_down, blocks_across, block_channels)
    return conv_xla(x, kernel.reshape(kernel_blocks, kernel_blocks, block_channels, features), 1, 0)


def kernel_gradient(x: Array, dy: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Compute the gradient of a convolution's kernel.

    Args:
        x: float [N, H, W, C], the input of the convolution.
        dy: float [N, h, w, F], the gradient of its result.
        kernel: float [k, k, C, F].
        stride: stride of the convolution.
        padding: padding of the convolution.

    Returns:
        float [k, k, C, F].
    """
    return jax.vjp(lambda kernel: conv_xla(x, kernel, stride, padding), kernel)[1](dy)[0]


def dense_layer_gradient(
    features: Array, d_features: Array, scale: Array, shift: Array, kernel: Array, dy: Array
) -> tuple[Array, Array, Array, Array]:
    """Propagate a gradient through one layer of a dense block: a norm, a ReLU and a convolution.

    Args:
        features: [N, h, w, C]; the layer reads the first c.
        d_features: [N, h, w, C], the gradients accumulated so far.
        scale: [c], of the norm.
        shift: [c], of the norm.
        kernel: [k, k, c, f].
        dy: [N, h, w, f], the gradient of the convolution's result.

    Returns:
        `d_features` with the gradient of the layer's input added, and the gradients of scale, shift and kernel.
    """
    channels = kernel.shape[2]
    dtype = accumulator_dtype(features)
    x = features[..., :channels]
    normalized = x * scale + shift

    def correlate(activated: Array, kernel: Array) -> Array:
        return conv_xla(activated, kernel.astype(x.dtype), 1, len(kernel) // 2)

    d_activated, d_kernel = jax.vjp(correlate, nn.relu(normalized).astype(x.dtype), kernel)[1](dy)
    d_normalized = jnp.where(normalized > 0, d_activated, 0)
    d_scale = (d_normalized * x).sum((0, 1, 2), dtype=dtype)
    d_shift = d_normalized.sum((0, 1, 2), dtype=dtype)
    new = d_features[..., :channels] + (d_normalized * scale).astype(x.dtype)
    return lax.dynamic_update_slice_in_dim(d_features, new, 0, axis=-1), d_scale, d_shift, d_kernel
