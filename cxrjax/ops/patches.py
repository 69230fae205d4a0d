"""Patches of a radiograph and windows of a feature map: sampling, extraction and pasting.

Oh et al. 2020, section II-C. Their loader (`utils/customloader.py`) draws row and column independently, so that a fifth
of the centers lies outside the lungs, and stretches patches that the border cuts; here every center is a lung pixel and
the border is padded with zeros.
"""

from itertools import product

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Int32, Key, Num, Shaped

from cxrjax.runtime.arrays import AnyArray


def sample_patch_centers(key: Key[Array, ""], mask: Bool[AnyArray, "h w"], count: int) -> Int32[Array, "{count} 2"]:
    """Draw pixels of a mask, each with equal probability, with replacement.

    The cumulative distribution of the pixels in reading order is inverted.

    Args:
        key: random key.
        mask: the pixels to draw from.
        count: number of pixels to draw.

    Returns:
        The (row, column) of each, all inside the mask. If the mask is empty, all are the bottom right corner;
        the caller has to check for that.

    Examples:
        >>> import cxrjax as cx, jax
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[20:40, 10:30] = True
        >>> centers = cx.ops.sample_patch_centers(jax.random.key(0), mask, 5)
        >>> centers.shape, bool(mask[centers[:, 0], centers[:, 1]].all())
        ((5, 2), True)
    """
    height, width = mask.shape
    cumulative_rows = jnp.cumsum(_count_in_rows(mask))  # [h], lung pixels in rows 0..r
    rank = jax.random.randint(key, (count,), 0, jnp.maximum(cumulative_rows[-1], 1))
    row = jnp.minimum(jnp.searchsorted(cumulative_rows, rank, side="right"), height - 1)
    rank_in_row = rank - jnp.where(row > 0, cumulative_rows[row - 1], 0)
    cumulative_columns = jnp.cumsum(mask[row], axis=1, dtype=jnp.int32)  # [count, w]
    column = jnp.minimum((cumulative_columns <= rank_in_row[:, None]).sum(axis=1), width - 1)
    return jnp.stack([row, column], axis=1).astype(jnp.int32)


def extract_patches(
    image: Shaped[AnyArray, "h w *c"], centers: Int[AnyArray, "p 2"], size: int
) -> Shaped[Array, "p {size} {size} *c"]:
    """Extract the squares around given centers from a zero-padded image.

    Args:
        image: an image of any number type, or a mask.
        centers: (row, column) inside the image.
        size: side of a patch in pixels; even. Its center is the pixel at (size / 2, size / 2).

    Returns:
        Patches of the image's type.

    Examples:
        >>> import cxrjax as cx
        >>> image = np.arange(64).reshape(8, 8)
        >>> cx.ops.extract_patches(image, np.array([[4, 4]]), 2)[0].tolist()
        [[27, 28], [35, 36]]
    """
    margin = size // 2
    channels = image.shape[2:]
    padded = jnp.pad(image, [(margin, margin)] * 2 + [(0, 0)] * len(channels))

    def extract(center: Int[Array, "2"]) -> Shaped[Array, "size size *c"]:
        return lax.dynamic_slice(padded, [*center, *[0] * len(channels)], (size, size, *channels))

    return jax.vmap(extract)(jnp.asarray(centers))


def paste(
    patches: Float[AnyArray, "p size size"], centers: Int[AnyArray, "p 2"], shape: tuple[int, ...]
) -> Float[Array, "{shape[0]} {shape[1]}"]:
    """Sum patches at their positions in the image: the transpose of `extract_patches`.

    Args:
        patches: the squares.
        centers: as for `extract_patches`.
        shape: height and width of the image.

    Returns:
        The sum over the patches that cover a pixel.
    """
    size = patches.shape[-1]
    margin = size // 2
    canvas = jnp.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), patches.dtype)

    def add_patch(
        canvas: Float[Array, "h w"], patch_and_center: tuple[Float[Array, "size size"], Int[Array, "2"]]
    ) -> tuple[Float[Array, "h w"], None]:
        patch, center = patch_and_center
        current = lax.dynamic_slice(canvas, center, (size, size))
        return lax.dynamic_update_slice(canvas, current + patch, center), None

    canvas, _ = lax.scan(add_patch, canvas, (jnp.asarray(patches), jnp.asarray(centers)))
    return canvas[margin : margin + shape[0], margin : margin + shape[1]]


def extract_windows(cells: Num[AnyArray, "h w *c"], side: int) -> Num[Array, "h-{side}+1 w-{side}+1 {side} {side} *c"]:
    """Extract all square windows, at a stride of 1."""
    rows = cells.shape[0] - side + 1
    columns = cells.shape[1] - side + 1
    shifted = [cells[i : i + rows, j : j + columns] for i, j in product(range(side), repeat=2)]
    return jnp.stack(shifted, axis=2).reshape(rows, columns, side, side, *cells.shape[2:])


def add_windows(windows: Float[AnyArray, "rows columns side side"]) -> Float[Array, "rows+side-1 columns+side-1"]:
    """Sum windows at their positions: the transpose of `extract_windows`."""
    last = windows.shape[-1] - 1
    offsets = product(range(last + 1), repeat=2)
    padded = (jnp.pad(windows[:, :, i, j], ((i, last - i), (j, last - j))) for i, j in offsets)
    return sum(padded, start=jnp.zeros((), jnp.result_type(windows)))


def _count_in_rows(mask: Bool[AnyArray, "h w"]) -> Int32[Array, "h"]:
    """Count the true pixels in each row, by the bits of words of four pixels."""
    height, width = mask.shape
    padded = jnp.pad(mask, ((0, 0), (0, -width % 4))).astype(jnp.uint8).reshape(height, -1, 4)
    return lax.population_count(lax.bitcast_convert_type(padded, jnp.uint32)).sum(axis=1, dtype=jnp.int32)
