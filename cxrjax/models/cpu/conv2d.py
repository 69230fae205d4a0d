"""The one convolution of the package: one sum, whose form is chosen by platform and shape, forwards and backwards.

On GPU and TPU it is XLA's own, and of the first layer of a network, whose few channels leave their matrix units idle,
XLA's own of blocks of pixels. On CPU XLA's own is the quickest form of thin and of strided convolutions forwards, but
not of wide ones, nor of most gradients; which is quickest where was measured on two x86-64 cores
(`benchmarks/convolutions.py`).
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models.cpu import winograd
from cxrjax.runtime.platform import is_for_accelerator, is_for_cpu

# Fewest features on both sides, and the smallest picture, for which Winograd's transforms are worth the products they
# save: at 14² by a fifth to a third; at 7², where a third of each row of tiles lies beyond the border, only with a
# kernel that is transformed already.
WIDE, SMALLEST_TILED, SMALLEST_TILED_PREPARED = 32, 12, 7
# Up to this many features, as the layers of a dense block have, the result unrolls into fewer columns than the input.
THIN = 32
# Taps in memory are worth a thin product from this many channels and up to this many pixels across.
FEWEST_TAPPED, LARGEST_TAPPED = 128, 128
# Above this size a column buffer costs more in page faults than one product saves.
LARGEST_COLUMN_BUFFER_BYTES = 32 * 2**20
# Up to this many channels a strided convolution on an accelerator reads blocks of pixels: matrix units take eight or
# sixteen channels at once, and XLA fills one channel up to eight only where that hardly adds to what is moved.
FEWEST_FOR_MATRIX_UNITS = 4

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def conv2d(x: Array, kernel: Array, stride: int, padding: int, prepared: Array | None = None) -> Array:
    """Correlate as PyTorch's Conv2d does, with the same padding on all four sides.

    Args:
        x: float [N, H, W, C].
        kernel: float [k, k, C, F].
        stride: in pixels, both axes.
        padding: rows and columns of zeros on each side.
        prepared: of `prepare`, for a kernel that many calls share; no gradient goes through it.

    Returns:
        float [N, (H + 2 padding - k) // stride + 1, (W + 2 padding - k) // stride + 1, F].
    """
    if not is_for_cpu():
        blocked = is_for_accelerator() and stride > 1 and x.shape[-1] <= FEWEST_FOR_MATRIX_UNITS
        return (conv_blocks if blocked else conv_xla)(x, kernel, stride, padding)
    if prepared is not None and _tiles(x, kernel, stride, padding, SMALLEST_TILED_PREPARED):
        return winograd.winograd_conv(x, prepared)
    return _convolve(x, kernel, stride, padding)


def precompute_kernels(kernel: Array) -> Array | None:
    """What of a kernel [k, k, C, F] `convolve` would else make anew at every call, or None."""
    return winograd.transform_kernel(kernel) if is_for_cpu() and _is_wide(kernel) else None


def exact(dtype: jnp.dtype) -> lax.Precision | None:
    """Return the precision at which products of float32 are float32 on every platform.

    By default an NVIDIA GPU rounds what it multiplies to TF32, and a TPU to bfloat16. Of any other type, None: the
    default is its own precision.
    """
    return lax.Precision.HIGHEST if dtype == jnp.float32 else None


def sum_type(x: Array) -> jnp.dtype:
    """Return the type of sums over images: at least float32, or the sum of bfloat16 would lose what is added last."""
    return jnp.promote_types(x.dtype, jnp.float32)


def conv_xla(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`convolve` as XLA's own convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=_DIMENSIONS,
        precision=exact(x.dtype),
    )


def conv_blocks(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`convolve` as XLA's own convolution of stride 1, of blocks of stride x stride pixels as one of more channels."""
    n, height, width, channels = x.shape
    size, _, _, features = kernel.shape
    blocks = -(-size // stride)  # that a window reaches over, on either axis
    seen = [(length + 2 * padding - size) // stride + blocks for length in (height, width)]
    ends = [stride * count - padding - length for count, length in zip(seen, (height, width), strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((padding, end, 0) for end in ends), (0, 0, 0)])
    x = x.reshape(n, seen[0], stride, seen[1], stride, channels).transpose(0, 1, 3, 2, 4, 5)
    rest = blocks * stride - size
    kernel = jnp.pad(kernel, ((0, rest), (0, rest), (0, 0), (0, 0)))
    kernel = kernel.reshape(blocks, stride, blocks, stride, channels, features).transpose(0, 2, 1, 3, 4, 5)
    deep = stride**2 * channels
    return conv_xla(x.reshape(n, *seen, deep), kernel.reshape(blocks, blocks, deep, features), 1, 0)


def conv_im2col(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`convolve` as one matrix product of the input's unrolled columns (im2col)."""
    size, _, channels, features = kernel.shape
    return im2col(pad(x, padding), size, stride) @ kernel.reshape(size**2 * channels, features)


def conv_winograd(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`convolve` with a 3x3 kernel, stride and padding 1, by Winograd's tiles."""
    del stride, padding
    return winograd.winograd_conv(x, winograd.transform_kernel(kernel))


def conv_tap_matmul(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`convolve` of stride 1 as one matrix product, to every tap of every feature, and sums of those shifted."""
    del stride
    size, _, channels, features = kernel.shape
    taps = x @ kernel.transpose(2, 0, 1, 3).reshape(channels, size**2 * features)
    rows = _shift_and_add(taps.reshape(*x.shape[:3], size, size * features), padding, axis=1)
    return _shift_and_add(rows.reshape(*rows.shape[:3], size, features), padding, axis=2)


def kernel_gradient(x: Array, dy: Array, kernel: Array, stride: int, padding: int) -> Array:
    """The gradient of a kernel [k, k, C, F] from what was convolved, [N, H, W, C], and the result's, [N, h, w, F]."""
    size, _, _, features = kernel.shape
    if not is_for_cpu() or size == 1:
        form = conv_im2col if size == 1 else conv_xla
        return jax.vjp(lambda kernel: form(x, kernel, stride, padding), kernel)[1](dy)[0]
    if _tiles(x, kernel, stride, padding):
        return winograd.kernel_gradient(x, dy)
    if stride == 1 and features <= THIN:
        return kernel_gradient_by_taps(x, dy, size, padding)
    return kernel_gradient_by_columns(x, dy, size, stride, padding)


def kernel_gradient_by_taps(x: Array, dy: Array, size: int, padding: int) -> Array:
    """The gradient of a kernel [size, size, C, F] at stride 1, by products with the result's gradient, unrolled.

    One image after another: XLA fuses all that a gradient is the sum of into each of its columns, unless a loop begins
    there.
    """
    channels, features = x.shape[-1], dy.shape[-1]

    def add(total: Array, one: tuple[Array, Array]) -> tuple[Array, None]:
        x, dy = one
        columns = im2col(pad(dy[None], size - 1 - padding), size)  # the last tap first
        return total + _multiply(x.reshape(-1, channels).T, columns.reshape(-1, size**2 * features)), None

    total, _ = lax.scan(add, jnp.zeros((channels, size**2 * features), sum_type(dy)), (x, dy))
    taps = total.astype(dy.dtype).reshape(channels, size, size, features)
    return taps[:, ::-1, ::-1].transpose(1, 2, 0, 3)


def kernel_gradient_by_columns(x: Array, dy: Array, size: int, stride: int, padding: int) -> Array:
    """The gradient of a kernel [size, size, C, F] by products with the input, unrolled, as many images as fit."""
    channels, features = x.shape[-1], dy.shape[-1]
    column_bytes = size**2 * channels * math.prod(dy.shape[1:3]) * x.dtype.itemsize  # of one image
    fitting = max(1, LARGEST_COLUMN_BUFFER_BYTES // column_bytes)
    at_once = next(n for n in range(min(fitting, len(x)), 0, -1) if len(x) % n == 0)

    def add(total: Array, some: tuple[Array, Array]) -> tuple[Array, None]:
        x, dy = some
        columns = im2col(pad(x, padding), size, stride).reshape(-1, size**2 * channels)
        return total + _multiply(columns.T, dy.reshape(-1, features)), None

    parts = tuple(a.reshape(-1, at_once, *a.shape[1:]) for a in (x, dy))
    total, _ = lax.scan(add, jnp.zeros((size**2 * channels, features), sum_type(dy)), parts)
    return total.astype(dy.dtype).reshape(size, size, channels, features)


def _multiply(a: Array, b: Array) -> Array:
    """Return the product of two matrices in the type that many such are added up in."""
    return jnp.matmul(a, b, preferred_element_type=sum_type(b))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    if _tiles(x, kernel, stride, padding):
        return conv_winograd(x, kernel, stride, padding)
    return _form(x, kernel, stride)(x, kernel, stride, padding)


def _fwd(x: Array, kernel: Array, stride: int, padding: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, stride, padding), (x, kernel)


def _bwd(stride: int, padding: int, remembered: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = remembered
    size, _, _, features = kernel.shape
    if stride == 1 and 0 < padding < size:
        # The gradient of the input is the gradient of the result convolved with the kernel turned about.
        turned = kernel[::-1, ::-1].swapaxes(2, 3)
        convolve_back = conv_xla if features <= THIN else _convolve
        dx = convolve_back(dy, turned, 1, size - 1 - padding)
    else:
        dx = jax.vjp(lambda x: _form(x, kernel, stride)(x, kernel, stride, padding), x)[1](dy)[0]
    return dx, kernel_gradient(x, dy, kernel, stride, padding)


_convolve.defvjp(_fwd, _bwd)


def _is_wide(kernel: Array) -> bool:
    return kernel.shape[:-2] == (3, 3) and min(kernel.shape[2:]) >= WIDE and kernel.dtype == jnp.float32


def _tiles(x: Array, kernel: Array, stride: int, padding: int, smallest: int = SMALLEST_TILED) -> bool:
    return stride == padding == 1 and _is_wide(kernel) and min(x.shape[1:3]) >= smallest


def _form(x: Array, kernel: Array, stride: int) -> Callable[[Array, Array, int, int], Array]:
    """The quickest form of what is not tiled."""
    size, _, channels, features = kernel.shape
    if size == 1:
        return conv_im2col
    if features <= THIN:
        tapped = stride == 1 and channels >= FEWEST_TAPPED and x.shape[2] <= LARGEST_TAPPED
        return conv_tap_matmul if tapped else conv_xla
    n, height, width, _ = x.shape
    column_bytes = n * (height // stride) * (width // stride) * size**2 * channels * x.dtype.itemsize
    return conv_im2col if column_bytes <= LARGEST_COLUMN_BUFFER_BYTES else conv_xla


def im2col(x: Array, size: int, stride: int = 1) -> Array:
    """What a kernel sees of each place, in one row: [N, H, W, C] -> [N, h, w, size² C], nothing padded."""
    if size > 3:  # first across and then down are fewer steps
        across = jnp.concatenate(shift(x, size, stride, 2), axis=-1)
        return jnp.concatenate(shift(across, size, stride, 1), axis=-1)
    return jnp.concatenate(shifted_views(x, size, stride), axis=-1)


def shifted_views(x: Array, size: int, stride: int) -> list[Array]:
    """`shift` along both axes of pictures [N, H, W, C]: each pixel of all square windows, row by row."""
    return [part for rows in shift(x, size, stride, 1) for part in shift(rows, size, stride, 2)]


def shift(x: Array, size: int, stride: int, axis: int) -> list[Array]:
    """The first pixels of all windows of a size along an axis, the second ones, and so on."""
    span = (x.shape[axis] - size) // stride * stride + 1
    return [lax.slice_in_dim(x, start, start + span, stride, axis) for start in range(size)]


def pad(x: Array, margin: int, value: float = 0) -> Array:
    """Pictures [N, H, W, C] with so many more pixels of a value on all four sides."""
    return jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), constant_values=value)


def _shift_and_add(taps: Array, padding: int, axis: int) -> Array:
    """Each place gathers its neighbours' taps along an axis: [N, H, W, size, F] -> [N, H, W, F], padded along it."""
    size, length = taps.shape[3], taps.shape[axis] + 2 * padding - taps.shape[3] + 1
    taps = jnp.pad(taps, [(padding, padding) if i == axis else (0, 0) for i in range(5)])
    return sum(lax.slice_in_dim(taps[..., i, :], i, i + length, axis=axis) for i in range(size))
