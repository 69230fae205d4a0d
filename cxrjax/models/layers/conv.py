"""Convolution layers; their parameters do not depend on the algorithm that computes them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError
from jax import Array, lax

from cxrjax.models import initializers
from cxrjax.models.cpu.switch import kernels
from cxrjax.models.layers.precision import float32_precision


@jax.custom_vjp
def upsample(x: Array, kernel: Array) -> Array:
    """Compute a transposed convolution with stride 2 and no padding, as PyTorch's ConvTranspose2d.

    It is one matrix product and, where the taps of the kernel overlap, four interleaved sums, since a convolution of a
    dilated input multiplies mostly zeros.

    Args:
        x: float [N, H, W, C].
        kernel: float [k, k, C, F], k being 2 or 3; an input pixel at (row, column) times `kernel[i, j]` is added to the
            result at (2 row + i, 2 column + j).

    Returns:
        float [N, 2 H + k - 2, 2 W + k - 2, F].
    """
    n, h, w, channels = x.shape
    size, _, _, features = kernel.shape
    taps = jnp.transpose(kernel, (2, 0, 1, 3)).reshape(channels, size * size * features)
    products = jnp.matmul(x, taps, precision=float32_precision(x.dtype)).reshape(n, h, w, size, size, features)
    if size == 2:
        return products.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, features)

    def interleave(first: Array, middle: Array, last: Array, axis: int) -> Array:
        """Sum `first` of i and `last` of i - 1 at position 2 i, and put `middle` of i at position 2 i + 1."""
        before = [(0, 0)] * first.ndim
        before[axis] = (1, 0)
        after = [(0, 0)] * first.ndim
        after[axis] = (0, 1)
        even = jnp.pad(first, after) + jnp.pad(last, before)
        odd = jnp.pad(middle, after)
        merged = jnp.stack([even, odd], axis=axis + 1)
        shape = list(even.shape)
        shape[axis] *= 2
        return lax.slice_in_dim(merged.reshape(shape), 0, shape[axis] - 1, axis=axis)

    across = interleave(products[..., 0, :], products[..., 1, :], products[..., 2, :], axis=2)  # [N, H, 2 W + 1, 3, F]
    return interleave(across[..., 0, :], across[..., 1, :], across[..., 2, :], axis=1)  # [N, 2 H + 1, 2 W + 1, F]


def _fwd(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return upsample(x, kernel), (x, kernel)


def _bwd(residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """Compute the gradients by the strided convolution whose transpose `upsample` is."""
    x, kernel = residuals
    swapped = kernel.swapaxes(2, 3)
    dx = kernels().conv2d(dy, swapped, 2, 0)
    d_kernel = kernels().kernel_gradient(dy, x, swapped, 2, 0).swapaxes(2, 3)
    return dx, d_kernel


upsample.defvjp(_fwd, _bwd)


class Conv(nn.Module):
    """Square convolution, padded to keep the size; parameters `kernel` [k, k, C, F] and, with `use_bias`, `bias` [F].

    The zero padding is the same on all four sides, by default k // 2.
    """

    features: int
    size: int
    stride: int = 1
    padding: int | None = None
    use_bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolve: float [N, H, W, C] -> [N, h, w, F]."""
        channels = x.shape[-1]
        kernel = _kernel(self, (self.size, self.size, channels, self.features), initializers.current().conv)
        prepared = self.get_variable("prepared", "kernel")  # of `registry.precompute_kernels`, or None
        padding = self.size // 2 if self.padding is None else self.padding
        y = kernels().conv2d(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, padding, prepared)
        if self.use_bias:
            draw_bias = initializers.current().conv_bias(self.size**2 * channels)
            y += self.param("bias", draw_bias, (self.features,)).astype(self.dtype)
        return y


class Upsample(nn.Module):
    """Transposed convolution, stride 2, no padding; parameters `kernel` [k, k, C, F], k 2 or 3, and `bias` [F]."""

    features: int
    size: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = _kernel(self, shape, initializers.current().transposed)
        bias = self.param("bias", initializers.current().conv_bias(self.size**2 * self.features), (self.features,))
        return upsample(x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(self.dtype)


def _kernel(module: nn.Module, shape: tuple[int, ...], draw: initializers.Draw) -> Array:
    """Return a module's kernel; draw it if the module is being initialized.

    Flax's `param` would trace the initializer of an existing kernel to compare shapes, which takes a second per
    network.
    """
    kernel = module.get_variable("params", "kernel")
    if kernel is None:
        return module.param("kernel", draw, shape)
    if kernel.shape != shape:
        raise ScopeParamShapeError("kernel", "/".join(module.path), kernel.shape, shape)
    return kernel
