"""2D convolution on a CPU by the algorithm that is fastest for the shapes, forward and backward.

XLA's is the fastest forward algorithm for few features and for strides, but not for many features, nor for most
gradients. The limits below were measured on two x86-64 cores (`benchmarks/convolutions.py`).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models.cpu import winograd
from cxrjax.models.layers.precision import accumulator_dtype
from cxrjax.models.layers.windows import im2col, pad
from cxrjax.models.layers.xla import conv_xla

# Winograd's algorithm needs at least WIDE input and output features, and images of at least SMALLEST_TILED pixels per
# side. At 14² it saves a fifth to a third of the time. At 7², where a third of each row of tiles lies beyond the
# border, it saves time only if the kernel is already transformed.
WIDE = 32
SMALLEST_TILED = 12
SMALLEST_TILED_PREPARED = 7
# With at most this many features, as in the layers of a dense block, unrolling the result takes fewer columns than
# unrolling the input.
THIN = 32
# With at most THIN features, `conv_tap_matmul` is the fastest from this many channels and up to this image width.
FEWEST_TAPPED = 128
LARGEST_TAPPED = 128
# A larger column buffer costs more in page faults than one matrix product saves.
LARGEST_COLUMN_BUFFER_BYTES = 32 * 2**20


def conv2d(x: Array, kernel: Array, stride: int, padding: int, prepared: Array | None = None) -> Array:
    """Compute PyTorch's Conv2d (a cross-correlation), with equal zero padding on all four sides.

    Args:
        x: float [N, H, W, C].
        kernel: float [k, k, C, F].
        stride: stride in pixels along both axes.
        padding: rows and columns of zeros on each side.
        prepared: result of `transform_kernel`, for a kernel that many calls share; no gradient flows through it.

    Returns:
        float [N, (H + 2 padding - k) // stride + 1, (W + 2 padding - k) // stride + 1, F].
    """
    if prepared is not None and _suits_winograd(x, kernel, stride, padding, SMALLEST_TILED_PREPARED):
        return winograd.winograd_conv(x, prepared)
    return _convolve(x, kernel, stride, padding)


def transform_kernel(kernel: Array) -> Array | None:
    """Transform a kernel [k, k, C, F] for Winograd's algorithm; None where `conv2d` does not use it."""
    return winograd.transform_kernel(kernel) if _is_wide(kernel) else None


def conv_im2col(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Compute `conv2d` as one matrix product with the unrolled columns of the input (im2col)."""
    size, _, channels, features = kernel.shape
    return im2col(pad(x, padding), size, stride) @ kernel.reshape(size**2 * channels, features)


def conv_winograd(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Compute `conv2d` of a 3x3 kernel with stride and padding 1 by Winograd's algorithm."""
    del stride, padding
    return winograd.winograd_conv(x, winograd.transform_kernel(kernel))


def conv_tap_matmul(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Compute `conv2d` of stride 1 as one matrix product with all taps of the kernel and a sum of shifted results."""
    del stride
    size, _, channels, features = kernel.shape
    taps = x @ kernel.transpose(2, 0, 1, 3).reshape(channels, size**2 * features)
    rows = _shift_and_add(taps.reshape(*x.shape[:3], size, size * features), padding, axis=1)
    return _shift_and_add(rows.reshape(*rows.shape[:3], size, features), padding, axis=2)


def kernel_gradient(x: Array, dy: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Compute the gradient of a kernel.

    Args:
        x: float [N, H, W, C], the input of the convolution.
        dy: float [N, h, w, F], the gradient of its result.
        kernel: float [k, k, C, F].
        stride: stride of the convolution.
        padding: padding of the convolution.

    Returns:
        float [k, k, C, F].
    """
    size, _, _, features = kernel.shape
    if size == 1:
        return jax.vjp(lambda kernel: conv_im2col(x, kernel, stride, padding), kernel)[1](dy)[0]
    if _suits_winograd(x, kernel, stride, padding):
        return winograd.kernel_gradient(x, dy)
    if stride == 1 and features <= THIN:
        return kernel_gradient_by_taps(x, dy, size, padding)
    return kernel_gradient_by_columns(x, dy, size, stride, padding)


def kernel_gradient_by_taps(x: Array, dy: Array, size: int, padding: int) -> Array:
    """Compute the gradient of a kernel [size, size, C, F] at stride 1 from the unrolled gradient of the result.

    The images are looped over, since XLA would otherwise fuse the computation of the result's gradient into each of its
    columns.
    """
    channels = x.shape[-1]
    features = dy.shape[-1]

    def add_image(total: Array, image: tuple[Array, Array]) -> tuple[Array, None]:
        x, dy = image
        columns = im2col(pad(dy[None], size - 1 - padding), size)  # the last tap first
        return total + _multiply(x.reshape(-1, channels).T, columns.reshape(-1, size**2 * features)), None

    total, _ = lax.scan(add_image, jnp.zeros((channels, size**2 * features), accumulator_dtype(dy)), (x, dy))
    taps = total.astype(dy.dtype).reshape(channels, size, size, features)
    return taps[:, ::-1, ::-1].transpose(1, 2, 0, 3)


def kernel_gradient_by_columns(x: Array, dy: Array, size: int, stride: int, padding: int) -> Array:
    """Compute the gradient of a kernel [size, size, C, F] from the unrolled input.

    As many images are unrolled at once as fit in LARGEST_COLUMN_BUFFER_BYTES and divide the batch.
    """
    channels = x.shape[-1]
    features = dy.shape[-1]
    column_bytes = size**2 * channels * math.prod(dy.shape[1:3]) * x.dtype.itemsize  # of one image
    max_images = max(1, LARGEST_COLUMN_BUFFER_BYTES // column_bytes)
    num_images = next(n for n in range(min(max_images, len(x)), 0, -1) if len(x) % n == 0)

    def add_images(total: Array, images: tuple[Array, Array]) -> tuple[Array, None]:
        x, dy = images
        columns = im2col(pad(x, padding), size, stride).reshape(-1, size**2 * channels)
        return total + _multiply(columns.T, dy.reshape(-1, features)), None

    groups = (x.reshape(-1, num_images, *x.shape[1:]), dy.reshape(-1, num_images, *dy.shape[1:]))
    total, _ = lax.scan(add_images, jnp.zeros((size**2 * channels, features), accumulator_dtype(dy)), groups)
    return total.astype(dy.dtype).reshape(size, size, channels, features)


def _multiply(a: Array, b: Array) -> Array:
    """Return the product of two matrices in the type in which such products are summed."""
    return jnp.matmul(a, b, preferred_element_type=accumulator_dtype(b))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    if _suits_winograd(x, kernel, stride, padding):
        return conv_winograd(x, kernel, stride, padding)
    return _fastest_direct(x, kernel, stride)(x, kernel, stride, padding)


def _fwd(x: Array, kernel: Array, stride: int, padding: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, stride, padding), (x, kernel)


def _bwd(stride: int, padding: int, residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = residuals
    size, _, _, features = kernel.shape
    if stride == 1 and 0 < padding < size:
        # The gradient of the input is the gradient of the result convolved with the kernel rotated by 180°.
        rotated = kernel[::-1, ::-1].swapaxes(2, 3)
        conv = conv_xla if features <= THIN else _convolve
        dx = cast(Array, conv(dy, rotated, 1, size - 1 - padding))  # jax.custom_vjp hides the type
    else:
        dx = jax.vjp(lambda x: _fastest_direct(x, kernel, stride)(x, kernel, stride, padding), x)[1](dy)[0]
    return dx, kernel_gradient(x, dy, kernel, stride, padding)


_convolve.defvjp(_fwd, _bwd)


def _is_wide(kernel: Array) -> bool:
    return kernel.shape[:-2] == (3, 3) and min(kernel.shape[2:]) >= WIDE and kernel.dtype == jnp.float32


def _suits_winograd(x: Array, kernel: Array, stride: int, padding: int, smallest: int = SMALLEST_TILED) -> bool:
    return stride == padding == 1 and _is_wide(kernel) and min(x.shape[1:3]) >= smallest


def _fastest_direct(x: Array, kernel: Array, stride: int) -> Callable[[Array, Array, int, int], Array]:
    """Return the fastest algorithm on a CPU where Winograd's is not used."""
    size, _, channels, features = kernel.shape
    if size == 1:
        return conv_im2col
    if features <= THIN:
        use_taps = stride == 1 and channels >= FEWEST_TAPPED and x.shape[2] <= LARGEST_TAPPED
        return conv_tap_matmul if use_taps else conv_xla
    n, height, width, _ = x.shape
    column_bytes = n * (height // stride) * (width // stride) * size**2 * channels * x.dtype.itemsize
    return conv_im2col if column_bytes <= LARGEST_COLUMN_BUFFER_BYTES else conv_xla


def _shift_and_add(taps: Array, padding: int, axis: int) -> Array:
    """Sum the taps of each pixel's neighbors along an axis, padded along it: [N, H, W, size, F] -> [N, H, W, F]."""
    size = taps.shape[3]
    length = taps.shape[axis] + 2 * padding - size + 1
    taps = jnp.pad(taps, [(padding, padding) if i == axis else (0, 0) for i in range(5)])
    shifted = (lax.slice_in_dim(taps[..., i, :], i, i + length, axis=axis) for i in range(size))
    return sum(shifted, start=jnp.zeros((), taps.dtype))
