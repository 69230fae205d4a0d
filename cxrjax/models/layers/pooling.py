"""Max-pooling, computed as the maximum of shifted images, which every backend fuses.

XLA's windowed maximum takes nine times as long on a CPU (3x3 of 5 x 112 x 112 x 64 floats: 35 ms against 4).
"""

from functools import partial, reduce
from typing import cast

import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.models.layers.windows import pad, strided_slices, window_slices


def max_pool(x: Array, size: int, stride: int, padding: int = 0) -> Array:
    """Compute the maximum of each window, as PyTorch's MaxPool2d.

    If several pixels of a window have the highest value, each gets an equal share of the gradient.

    Args:
        x: float [N, H, W, C].
        size: side of the window in pixels.
        stride: stride in pixels along both axes, at most the size.
        padding: pixels of minus infinity on each side.

    Returns:
        float [N, (H + 2 padding - size) // stride + 1, (W + 2 padding - size) // stride + 1, C].

    Raises:
        ValueError: H or W is smaller than the window, as when a network with many poolings reads a tiny image.
    """
    if min(x.shape[1:3]) + 2 * padding < size:
        raise ValueError(f"{x.shape[1]} x {x.shape[2]} pixels are too few of the input to pool by {size} x {size}")
    return _max_pool(x, size, stride, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: Array, size: int, stride: int, padding: int) -> Array:
    x = pad(x, padding, -jnp.inf)
    rows = reduce(jnp.maximum, strided_slices(x, size, stride, axis=1))
    return reduce(jnp.maximum, strided_slices(rows, size, stride, axis=2))


def _fwd(x: Array, size: int, stride: int, padding: int) -> tuple[Array, tuple[Array, Array]]:
    y = cast(Array, _max_pool(x, size, stride, padding))  # jax.custom_vjp hides the type
    return y, (x, y)


def _bwd(size: int, stride: int, padding: int, residuals: tuple[Array, Array], dy: Array) -> tuple[Array]:
    """Compare each pixel with the maxima of the windows that contain it.

    Pixels with the same offset within their block of stride x stride are handled together, since their windows are too.
    """
    x, y = residuals
    n, height, width, channels = x.shape
    down = -(-height // stride)
    across = -(-width // stride)
    views = window_slices(pad(x, padding, -jnp.inf), size, stride)
    num_maxima = sum((view == y).astype(dy.dtype) for view in views)
    share = pad(dy / num_maxima, size, 0)
    y = pad(y, size, jnp.nan)
    x = jnp.pad(x, ((0, 0), (0, down * stride - height), (0, across * stride - width), (0, 0)))
    x = x.reshape(n, down, stride, across, stride, channels)

    def window_offsets(offset: int) -> range:
        """Return where the windows that contain the pixels at an offset in their blocks begin in the padded result."""
        last, within = divmod(offset + padding, stride)
        return range(size + last - (size - 1 - within) // stride, size + last + 1)

    def gather(row: int, column: int) -> Array:
        pixels = x[:, :, row, :, column]
        windows = [
            (slice(None), slice(i, i + down), slice(j, j + across))
            for i in window_offsets(row)
            for j in window_offsets(column)
        ]
        shares = (jnp.where(pixels == y[window], share[window], 0) for window in windows)
        return sum(shares, start=jnp.zeros((), share.dtype))

    dx = jnp.stack([jnp.stack([gather(i, j) for j in range(stride)], 3) for i in range(stride)], 2)
    return (dx.reshape(n, down * stride, across * stride, channels)[:, :height, :width],)


_max_pool.defvjp(_fwd, _bwd)
