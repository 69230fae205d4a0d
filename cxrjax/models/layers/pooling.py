"""Max-pooling, written as the maximum of shifted pictures, which every backend fuses.

XLA's own windowed maximum takes nine times as long on a CPU (3x3 of 5 x 112 x 112 x 64 floats: 35 ms against 4).
"""

from functools import partial, reduce

import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.models.cpu.conv2d import pad, shift, shifted_views


def max_pool(x: Array, size: int, stride: int, padding: int = 0) -> Array:
    """The highest value of each window, as PyTorch's MaxPool2d.

    Where several pixels of a window are the highest, each gets an equal share of the gradient.

    Args:
        x: float [N, H, W, C].
        size: side of the window, pixels.
        stride: in pixels, both axes; at most the size.
        padding: pixels beyond each side, which are never the highest.

    Returns:
        float [N, (H + 2 padding - size) // stride + 1, (W + 2 padding - size) // stride + 1, C].

    Raises:
        ValueError: H or W is smaller than the window, as in a network of many poolings given a tiny picture.
    """
    if min(x.shape[1:3]) + 2 * padding < size:
        raise ValueError(f"{x.shape[1]} x {x.shape[2]} pixels are too few of the input to pool by {size} x {size}")
    return _max_pool(x, size, stride, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: Array, size: int, stride: int, padding: int) -> Array:
    x = pad(x, padding, -jnp.inf)
    return reduce(jnp.maximum, shift(reduce(jnp.maximum, shift(x, size, stride, axis=1)), size, stride, axis=2))


def _fwd(x: Array, size: int, stride: int, padding: int) -> tuple[Array, tuple[Array, Array]]:
    y = _max_pool(x, size, stride, padding)
    return y, (x, y)


def _bwd(size: int, stride: int, padding: int, remembered: tuple[Array, Array], dy: Array) -> tuple[Array]:
    """Each pixel is compared with its windows: those that hold pixels in the same place of a stride are in a row."""
    x, y = remembered
    n, height, width, channels = x.shape
    down, across = -(-height // stride), -(-width // stride)
    seen = shifted_views(pad(x, padding, -jnp.inf), size, stride)
    share = pad(dy / sum((part == y).astype(dy.dtype) for part in seen), size, 0)
    y = pad(y, size, jnp.nan)
    x = jnp.pad(x, ((0, 0), (0, down * stride - height), (0, across * stride - width), (0, 0)))
    x = x.reshape(n, down, stride, across, stride, channels)

    def holding(place: int) -> range:
        """How far before or after the stride itself lie the windows that hold this place of a stride."""
        last, within = divmod(place + padding, stride)
        return range(size + last - (size - 1 - within) // stride, size + last + 1)

    def gather(row: int, column: int) -> Array:
        windows = [
            (slice(None), slice(i, i + down), slice(j, j + across)) for i in holding(row) for j in holding(column)
        ]
        return sum(jnp.where(x[:, :, row, :, column] == y[some], share[some], 0) for some in windows)

    dx = jnp.stack([jnp.stack([gather(i, j) for j in range(stride)], 3) for i in range(stride)], 2)
    return (dx.reshape(n, down * stride, across * stride, channels)[:, :height, :width],)


_max_pool.defvjp(_fwd, _bwd)
