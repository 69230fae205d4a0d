"""Windows of images: padding, and the pixels at each position of all windows."""

import jax.numpy as jnp
from jax import Array, lax


def im2col(x: Array, size: int, stride: int = 1) -> Array:
    """Concatenate the pixels of each window, without padding: [N, H, W, C] -> [N, h, w, size² C]."""
    if size > 3:  # across, then down, takes fewer steps
        across = jnp.concatenate(shift(x, size, stride, 2), axis=-1)
        return jnp.concatenate(shift(across, size, stride, 1), axis=-1)
    return jnp.concatenate(shifted_views(x, size, stride), axis=-1)


def shifted_views(x: Array, size: int, stride: int) -> list[Array]:
    """Return each pixel of a square window, row by row, of all windows: [N, H, W, C] -> [N, h, w, C]."""
    return [view for rows in shift(x, size, stride, 1) for view in shift(rows, size, stride, 2)]


def shift(x: Array, size: int, stride: int, axis: int) -> list[Array]:
    """Return, for each position in a window of `size` pixels along an axis, the pixels there in all windows."""
    span = (x.shape[axis] - size) // stride * stride + 1
    return [lax.slice_in_dim(x, start, start + span, stride, axis) for start in range(size)]


def pad(x: Array, margin: int, value: float = 0) -> Array:
    """Pad images [N, H, W, C] by `margin` pixels of a value on all four sides."""
    return jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), constant_values=value)
