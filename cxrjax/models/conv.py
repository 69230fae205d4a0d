"""The one convolution of the package: its form is chosen by backend, its weights are the same in every form.

On GPU and TPU it is `lax.conv_general_dilated`. On CPU, XLA's convolution is quick forwards but its gradients (above
all that of a wide, strided stem) are not, so a convolution that is wide enough, and whose unrolled
columns fit the cache, becomes one matrix product.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

# Measured on two x86-64 cores, forwards and backwards together: above this size the column buffer costs more in page
# faults than the product saves (16 x 14 x 14 x 1152 floats are quicker as a product by a fifth, 16 x 28 x 28 x 576
# slower), and below this many features a product is too thin to be quick (4 x 32 x 32 x 192 to 12 features: 34 ms, as a
# convolution 6 ms).
LARGEST_COLUMN_BUFFER_BYTES = 16 * 2**20
FEWEST_FEATURES = 32

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def convolve(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Correlate as PyTorch's Conv2d does, with the same padding on all four sides.

    Args:
        x: float [N, H, W, C].
        kernel: float [kh, kw, C, F].
        stride: in pixels, both axes.
        padding: rows and columns of zeros on each side.

    Returns:
        float [N, (H + 2 padding - kh) // stride + 1, (W + 2 padding - kw) // stride + 1, F].
    """
    worthwhile = kernel.shape[-1] >= FEWEST_FEATURES and _column_bytes(x, kernel, stride) <= LARGEST_COLUMN_BUFFER_BYTES
    if jax.default_backend() == "cpu" and worthwhile:
        return convolve_by_product(x, kernel, stride, padding)
    return convolve_by_library(x, kernel, stride, padding)


def convolve_by_library(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`convolve` as XLA's own convolution."""
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=_DIMENSIONS
    )


def convolve_by_product(x: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`convolve` as one matrix product over unrolled columns (im2col)."""
    height, width, channels, features = kernel.shape
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = (x.shape[1] - height) // stride + 1
    columns = (x.shape[2] - width) // stride + 1
    shifted = [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(height)
        for j in range(width)
    ]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(height * width * channels, features)


def upsample(x: Array, kernel: Array) -> Array:
    """Transposed convolution with stride 2 and no padding, as PyTorch's ConvTranspose2d.

    Written as one product and, where the kernel's taps overlap, four interleaved sums, since a convolution of an input
    with holes multiplies mostly zeros.

    Args:
        x: float [N, H, W, C].
        kernel: float [k, k, C, F], k being 2 or 3; `kernel[i, j]` is what an input pixel adds at
            (2 row + i, 2 column + j).

    Returns:
        float [N, 2 H + k - 2, 2 W + k - 2, F].
    """
    n, h, w, channels = x.shape
    size, _, _, features = kernel.shape
    taps = jnp.transpose(kernel, (2, 0, 1, 3)).reshape(channels, size * size * features)
    part = (x @ taps).reshape(n, h, w, size, size, features)
    if size == 2:
        return part.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, features)

    def interleave(first: Array, middle: Array, last: Array, axis: int) -> Array:
        """Positions 2i take `first` of i and `last` of i - 1; positions 2i + 1 take `middle` of i."""
        before = [(0, 0)] * first.ndim
        after = list(before)
        before[axis], after[axis] = (1, 0), (0, 1)
        even = jnp.pad(first, after) + jnp.pad(last, before)
        odd = jnp.pad(middle, after)
        merged = jnp.stack([even, odd], axis=axis + 1)
        shape = list(even.shape)
        shape[axis] *= 2
        return lax.slice_in_dim(merged.reshape(shape), 0, shape[axis] - 1, axis=axis)

    across = interleave(part[..., 0, :], part[..., 1, :], part[..., 2, :], axis=2)  # [N, H, 2 W + 1, 3, F]
    return interleave(across[..., 0, :], across[..., 1, :], across[..., 2, :], axis=1)


class Conv(nn.Module):
    """Square convolution, padded to keep the size; parameters `kernel` [k, k, C, F] and, where wanted, `bias` [F].

    The padding is the same on all four sides, k // 2 unless another is given.
    """

    features: int
    size: int
    stride: int = 1
    padding: int | None = None
    use_bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        padding = self.size // 2 if self.padding is None else self.padding
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, padding)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


class Upsample(nn.Module):
    """Transposed convolution, stride 2, no padding; parameters `kernel` [k, k, C, F], k 2 or 3, and `bias` [F]."""

    features: int
    size: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return upsample(x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(self.dtype)


def _column_bytes(x: Array, kernel: Array, stride: int) -> int:
    height, width, channels, _ = kernel.shape
    if height == width == 1:  # the input is its own column buffer
        return 0
    n, rows, columns, _ = x.shape
    return n * (rows // stride) * (columns // stride) * height * width * channels * x.dtype.itemsize
