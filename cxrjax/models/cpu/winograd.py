"""The 3x3 convolution by a quarter of the products: F(4x4, 3x3) of Lavin & Gray 2016, "Fast algorithms for CNNs".

A tile of 6x6 pixels, transformed, times the kernel, transformed, is 4x4 pixels of the result, transformed: 36 products
where the sum over nine taps has 144. Over all tiles these are 36 matrix products. The points are 0, 1, -1, 2, -2 and
infinity; the error is about ten times that of the plain sum (1e-5 of the largest value in float32).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

TILE = 4  # pixels, side of what a tile adds to the result
_SEEN = 6  # pixels, side of what a tile sees

_KERNEL = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6))
_KERNEL += ((1 / 24, -1 / 12, 1 / 6), (0, 0, 1))
_INPUT = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0))
_INPUT += ((0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
_OUTPUT_TURNED = tuple(zip(*_OUTPUT, strict=True))


def transform_kernel(kernel: Array) -> Array:
    """A kernel float [3, 3, C, F] as `convolve` wants it: [36, C, F], across before down."""
    rows = _transform(_KERNEL, list(kernel))  # [6, 3, C, F]
    return _transform(_KERNEL, [rows[:, j] for j in range(3)]).reshape(_SEEN**2, *kernel.shape[2:])


def winograd_conv(x: Array, transformed: Array) -> Array:
    """Correlate with a 3x3 kernel, stride 1, padded by one pixel of zeros.

    Args:
        x: float [N, H, W, C].
        transformed: [36, C, F], of `transform`.

    Returns:
        float [N, H, W, F].
    """
    n, height, width, _ = x.shape
    down, across = _count_tiles(height), _count_tiles(width)
    products = lax.dot_general(_input_tiles(x), transformed, (((2,), (1,)), ((0,), (0,))))
    products = products.reshape(_SEEN, _SEEN, n, down, across, -1)
    columns = _transform(_OUTPUT, list(products))  # [4, 6, N, down, across, F]
    y = _transform(_OUTPUT, [columns[:, j] for j in range(_SEEN)])  # [4, 4, N, down, across, F], down before across
    y = y.transpose(2, 3, 0, 4, 1, 5)
    return y.reshape(n, TILE * down, TILE * across, -1)[:, :height, :width]


def kernel_gradient(x: Array, dy: Array) -> Array:
    """The gradient of a kernel [3, 3, C, F] from what was convolved, [N, H, W, C], and the result's, [N, H, W, F]."""
    transformed = lax.dot_general(_input_tiles(x), _output_tiles(dy), (((1,), (1,)), ((0,), (0,))))  # [36, C, F]
    kernel = jax.ShapeDtypeStruct((3, 3, x.shape[-1], dy.shape[-1]), dy.dtype)
    return jax.linear_transpose(transform_kernel, kernel)(transformed)[0]


def _output_tiles(dy: Array) -> Array:
    """What every tile has added to the result, transformed: [N, H, W, F] -> [36, N down across, F]."""
    n, height, width, features = dy.shape
    down, across = _count_tiles(height), _count_tiles(width)
    dy = jnp.pad(dy, ((0, 0), (0, TILE * down - height), (0, TILE * across - width), (0, 0)))
    dy = dy.reshape(n, down, TILE, across, TILE, features)
    rows = _transform(_OUTPUT_TURNED, [dy[:, :, i] for i in range(TILE)])  # [6, N, down, across, 4, F]
    return _transform(_OUTPUT_TURNED, [rows[:, :, :, :, j] for j in range(TILE)]).reshape(_SEEN**2, -1, features)


def _count_tiles(pixels: int) -> int:
    return -(-pixels // TILE)


def _input_tiles(x: Array) -> Array:
    """What every tile sees, transformed: [N, H, W, C] -> [36, N down across, C], across before down."""
    _, height, width, channels = x.shape
    down, across = TILE * _count_tiles(height), TILE * _count_tiles(width)
    x = jnp.pad(x, ((0, 0), (1, down + 1 - height), (1, across + 1 - width), (0, 0)))
    rows = _transform(_INPUT, [x[:, i : i + down - 3 : TILE] for i in range(_SEEN)])  # [6, N, down, W, C]
    tiles = _transform(_INPUT, [rows[:, :, :, j : j + across - 3 : TILE] for j in range(_SEEN)])
    return tiles.reshape(_SEEN**2, -1, channels)


def _transform(matrix: Sequence[Sequence[float]], parts: Sequence[Array]) -> Array:
    """The product of a matrix and a column of arrays, the rows along a new first axis."""
    return jnp.stack([sum(float(c) * part for c, part in zip(row, parts, strict=True) if c) for row in matrix])
