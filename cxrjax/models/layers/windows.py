"""Windows of images: padding, and the pixels at each position of all windows."""

import jax.numpy as jnp
from jax import Array, lax


def im2col(x: Array, size: int, stride: int = 1) -> Array:
    """Concatenate the pixels of each window, without padding: [N, H, W, C] -> [N, h, w, size² C].

    Pixels are in the order (row, column, channel), as of a kernel [size, size, C, K];
    `lax.conv_general_dilated_patches` puts the channel first. h is (H - size) // stride + 1.
    """
    if size > 3:  # across, then down: 2 size slices in place of size²
        across = jnp.concatenate(strided_slices(x, size, stride, 2), axis=-1)
        return jnp.concatenate(strided_slices(across, size, stride, 1), axis=-1)
    return jnp.concatenate(window_slices(x, size, stride), axis=-1)


def window_slices(x: Array, size: int, stride: int) -> list[Array]:
    """Return the pixels at each position of a square window, row by row: size² strided slices [N, h, w, C]."""
    return [view for rows in strided_slices(x, size, stride, 1) for view in strided_slices(rows, size, stride, 2)]


def strided_slices(x: Array, size: int, stride: int, axis: int) -> list[Array]:
    """Return, for each position in a window of `size` pixels along an axis, the pixels there in all windows."""
    span = (x.shape[axis] - size) // stride * stride + 1
    return [lax.slice_in_dim(x, start, start + span, stride, axis) for start in range(size)]


def pad(x: Array, margin: int, value: float = 0) -> Array:
    """Pad images [N, H, W, C] by `margin` pixels of a value on all four sides."""
    return jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), constant_values=value)
