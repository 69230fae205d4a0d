"""3x3 convolution with a quarter of the products: F(4x4, 3x3) of Lavin & Gray 2016, "Fast algorithms for CNNs".

The transform of a tile of 6x6 input pixels times the transform of the kernel is the transform of 4x4 pixels of the
result. This takes 36 products, where the sum over nine taps takes 144. Over all tiles these are 36 matrix products. The
interpolation points are 0, 1, -1, 2, -2 and infinity; the error is about ten times that of the direct sum (1e-5 of the
largest value in float32).
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

KernelArray = TypeVar("KernelArray", Array, np.ndarray)  # NumPy transforms a kernel without compiling a program

TILE = 4  # side in pixels of a tile of the result
_INPUT_TILE = 6  # side in pixels of the input of a tile

_KERNEL = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6))
_KERNEL += ((1 / 24, -1 / 12, 1 / 6), (0, 0, 1))
# Transform of both axes of a kernel: [(column, row) of the transformed kernel, (row, column) of the kernel].
_KERNEL_PRODUCT = np.einsum("ci,rj->crji", _KERNEL, _KERNEL).reshape(36, 9)
_INPUT = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0))
_INPUT += ((0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
_OUTPUT_TRANSPOSED = tuple(zip(*_OUTPUT, strict=True))


def transform_kernel(kernel: KernelArray) -> KernelArray:
    """Transform a kernel float [3, 3, C, F] for `winograd_conv`: [36, C, F], columns before rows."""
    _, _, channels, features = kernel.shape
    return (_KERNEL_PRODUCT.astype(kernel.dtype) @ kernel.reshape(9, -1)).reshape(-1, channels, features)


def winograd_conv(x: Array, transformed: Array) -> Array:
    """Correlate with a 3x3 kernel, with stride 1 and one pixel of zero padding.

    Args:
        x: float [N, H, W, C].
        transformed: [36, C, F], the kernel after `transform_kernel`.

    Returns:
        float [N, H, W, F].
    """
    n, height, width, _ = x.shape
    down = _count_tiles(height)
    across = _count_tiles(width)
    products = lax.dot_general(_input_tiles(x), transformed, (((2,), (1,)), ((0,), (0,))))
    products = products.reshape(_INPUT_TILE, _INPUT_TILE, n, down, across, -1)
    columns = _transform(_OUTPUT, list(products))  # [4, 6, N, down, across, F]
    y = _transform(
        _OUTPUT, [columns[:, j] for j in range(_INPUT_TILE)]
    )  # [4, 4, N, down, across, F], rows before columns
    y = y.transpose(2, 3, 0, 4, 1, 5)
    return y.reshape(n, TILE * down, TILE * across, -1)[:, :height, :width]


def kernel_gradient(x: Array, dy: Array) -> Array:
    """Compute the gradient of a kernel [3, 3, C, F] from the input, [N, H, W, C], and dy, [N, H, W, F]."""
    transformed = lax.dot_general(_input_tiles(x), _output_tiles(dy), (((1,), (1,)), ((0,), (0,))))  # [36, C, F]
    kernel = jax.ShapeDtypeStruct((3, 3, x.shape[-1], dy.shape[-1]), dy.dtype)
    return jax.linear_transpose(transform_kernel, kernel)(transformed)[0]


def _output_tiles(dy: Array) -> Array:
    """Transform every tile of the result's gradient: [N, H, W, F] -> [36, N down across, F]."""
    n, height, width, features = dy.shape
    down = _count_tiles(height)
    across = _count_tiles(width)
    dy = jnp.pad(dy, ((0, 0), (0, TILE * down - height), (0, TILE * across - width), (0, 0)))
    dy = dy.reshape(n, down, TILE, across, TILE, features)
    rows = _transform(_OUTPUT_TRANSPOSED, [dy[:, :, i] for i in range(TILE)])  # [6, N, down, across, 4, F]
    tiles = _transform(_OUTPUT_TRANSPOSED, [rows[:, :, :, :, j] for j in range(TILE)])  # [6, 6, N, down, across, F]
    return tiles.reshape(_INPUT_TILE**2, -1, features)


def _count_tiles(pixels: int) -> int:
    return -(-pixels // TILE)


def _input_tiles(x: Array) -> Array:
    """Transform the input of every tile: [N, H, W, C] -> [36, N down across, C], columns before rows."""
    _, height, width, channels = x.shape
    padded_height = TILE * _count_tiles(height)
    padded_width = TILE * _count_tiles(width)
    x = jnp.pad(x, ((0, 0), (1, padded_height + 1 - height), (1, padded_width + 1 - width), (0, 0)))
    rows = _transform(
        _INPUT, [x[:, i : i + padded_height - 3 : TILE] for i in range(_INPUT_TILE)]
    )  # [6, N, down, W, C]
    tiles = _transform(_INPUT, [rows[:, :, :, j : j + padded_width - 3 : TILE] for j in range(_INPUT_TILE)])
    return tiles.reshape(_INPUT_TILE**2, -1, channels)


def _transform(matrix: Sequence[Sequence[float]], parts: Sequence[Array]) -> Array:
    """Multiply a matrix by a column of arrays; the rows of the product are along a new first axis."""
    return jnp.stack([sum(float(c) * part for c, part in zip(row, parts, strict=True) if c) for row in matrix])
