"""The layers that convolve; their weights are the same in every form of the sum."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError
from jax import Array, lax

from cxrjax.models import initializers
from cxrjax.models.cpu.conv2d import conv2d, exact, kernel_gradient
from cxrjax.runtime.platform import is_for_cpu


@jax.custom_vjp
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
    part = jnp.matmul(x, taps, precision=exact(x.dtype)).reshape(n, h, w, size, size, features)
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


def _fwd(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return upsample(x, kernel), (x, kernel)


def _bwd(remembered: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    """By the strided convolution whose transpose `upsample` is."""
    x, kernel = remembered
    turned = kernel.swapaxes(2, 3)
    return conv2d(dy, turned, 2, 0), kernel_gradient(dy, x, turned, 2, 0).swapaxes(2, 3)


upsample.defvjp(_fwd, _bwd)


class Gray(NamedTuple):
    """Pictures whose channels are all made of one grey level: channel c is `scale[c] * level + shift[c]`."""

    levels: Array  # float [N, H, W, 1]
    scale: Array  # float [C]
    shift: Array | None  # float [C], or None for zeros

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, H, W, C] as of the pictures themselves."""
        return (*self.levels.shape[:3], len(self.scale))


class Conv(nn.Module):
    """Square convolution, padded to keep the size; parameters `kernel` [k, k, C, F] and, where wanted, `bias` [F].

    The padding is the same on all four sides, k // 2 unless another is given: zeros beside the channels. Of `Grey` they
    are not made: the kernel is summed for the one level, which is a third of the work on three channels.
    """

    features: int
    size: int
    stride: int = 1
    padding: int | None = None
    use_bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array | Gray) -> Array:
        """float [N, H, W, C] -> [N, h, w, F]."""
        channels = len(x.scale) if isinstance(x, Gray) else x.shape[-1]
        shape = (self.size, self.size, channels, self.features)
        kernel = _kernel(self, shape, initializers.current().conv)
        if isinstance(x, Gray):
            y = self._convolve(x.levels, _sum_channels(kernel, x.scale))
            if x.shift is not None:  # the same for all pictures; less only where the padding begins
                y = _add_to_each(y, self._convolve(jnp.ones_like(x.levels[:1]), _sum_channels(kernel, x.shift)))
        else:
            y = self._convolve(x, kernel, self.get_variable("prepared", "kernel"))  # by `registry.prepare`, or None
        if self.use_bias:
            draw_bias = initializers.current().conv_bias(self.size**2 * channels)
            y += self.param("bias", draw_bias, (self.features,)).astype(self.dtype)
        return y

    def _convolve(self, x: Array, kernel: Array, prepared: Array | None = None) -> Array:
        padding = self.size // 2 if self.padding is None else self.padding
        return conv2d(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, padding, prepared)


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
    """A module's kernel, drawn if it is not there.

    Of one that is there flax's `param` traces how it would be drawn, to compare shapes: for a network, a second.
    """
    kernel = module.get_variable("params", "kernel")
    if kernel is None:
        return module.param("kernel", draw, shape)
    if kernel.shape != shape:
        raise ScopeParamShapeError("kernel", "/".join(module.path), kernel.shape, shape)
    return kernel


def _sum_channels(kernel: Array, weights: Array) -> Array:
    """A kernel [k, k, C, F] for one channel in place of C, which are this one times their weights: [k, k, 1, F]."""
    return jnp.einsum("ijcf,c->ijf", kernel, weights, precision=exact(kernel.dtype))[:, :, None]


@jax.custom_vjp
def _add_to_each(pictures: Array, one: Array) -> Array:
    """[N, h, w, F] + [1, h, w, F]."""
    return pictures + one


def _add_fwd(pictures: Array, one: Array) -> tuple[Array, None]:
    return pictures + one, None


def _add_bwd(_: None, dy: Array) -> tuple[Array, Array]:
    """By a product on a CPU, where XLA's sum over the first axis takes thirty times as long."""
    if not is_for_cpu():
        return dy, dy.sum(0, keepdims=True)
    return dy, (jnp.ones(len(dy), dy.dtype) @ dy.reshape(len(dy), -1)).reshape(1, *dy.shape[1:])


_add_to_each.defvjp(_add_fwd, _add_bwd)
