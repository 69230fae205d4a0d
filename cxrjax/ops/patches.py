"""Patches of the lungs and windows of feature maps: where they lie, how they are cut. The package's crop arithmetic.

Oh et al. 2020, section II-C. Their loader (`utils/customloader.py`) draws row and column apart, so that a fifth of
its centres lie outside the lungs, and stretches patches cut short by the border; here a centre is a lung pixel and
the border is padded with zeros.
"""

from itertools import product

import jax
import jax.numpy as jnp
from jax import Array, lax


def sample_patch_centers(key: Array, mask: Array, count: int) -> Array:
    """Draw lung pixels, each equally likely, with replacement: the inverse of their distribution in reading order.

    Args:
        key: random key.
        mask: bool [H, W].
        count: how many to draw.

    Returns:
        int32 [count, 2] of (row, column), all inside the mask; the bottom right corner where the mask is empty, which
        the caller has to tell from a centre.

    Examples:
        >>> import cxrjax as cx, jax
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[20:40, 10:30] = True
        >>> centers = cx.ops.sample_patch_centers(jax.random.key(0), mask, 5)
        >>> centers.shape, bool(mask[centers[:, 0], centers[:, 1]].all())
        ((5, 2), True)
    """
    height, width = mask.shape
    up_to_row = jnp.cumsum(_count_in_rows(mask))  # [H] lung pixels in rows 0..r
    rank = jax.random.randint(key, (count,), 0, jnp.maximum(up_to_row[-1], 1))
    row = jnp.minimum(jnp.searchsorted(up_to_row, rank, side="right"), height - 1)
    rank_in_row = rank - jnp.where(row > 0, up_to_row[row - 1], 0)
    up_to_column = jnp.cumsum(mask[row], axis=1, dtype=jnp.int32)  # [count, W]
    column = jnp.minimum((up_to_column <= rank_in_row[:, None]).sum(axis=1), width - 1)
    return jnp.stack([row, column], axis=1).astype(jnp.int32)


def extract_patches(image: Array, centres: Array, size: int) -> Array:
    """Cut squares around the centres out of a zero-padded image.

    Args:
        image: [H, W] or [H, W, C], any number type; lungs only, zero elsewhere.
        centres: int [N, 2] of (row, column) inside the image.
        size: side of a patch, in pixels; even. Its centre is the pixel at (size / 2, size / 2).

    Returns:
        [N, size, size] or [N, size, size, C] of the image's type.

    Examples:
        >>> import cxrjax as cx
        >>> image = np.arange(64).reshape(8, 8)
        >>> cx.ops.extract_patches(image, np.array([[4, 4]]), 2)[0].tolist()
        [[27, 28], [35, 36]]
    """
    beyond, channels = size // 2, image.shape[2:]
    padded = jnp.pad(image, [(beyond, beyond)] * 2 + [(0, 0)] * len(channels))

    def cut(centre: Array) -> Array:
        return lax.dynamic_slice(padded, [*centre, *[0] * len(channels)], (size, size, *channels))

    return jax.vmap(cut)(centres)


def paste(patches: Array, centres: Array, shape: tuple[int, int]) -> Array:
    """Add patches up where they were cut: the transpose of `crop`.

    Args:
        patches: float [N, size, size].
        centres: int [N, 2], as for `crop`.
        shape: height and width of the image.

    Returns:
        float [H, W], the sum over the patches that cover a pixel.
    """
    size = patches.shape[-1]
    margin = size // 2
    canvas = jnp.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), patches.dtype)

    def add(canvas: Array, one: tuple[Array, Array]) -> tuple[Array, None]:
        patch, centre = one
        here = lax.dynamic_slice(canvas, centre, (size, size))
        return lax.dynamic_update_slice(canvas, here + patch, centre), None

    canvas, _ = lax.scan(add, canvas, (patches, centres))
    return canvas[margin : margin + shape[0], margin : margin + shape[1]]


def cut_windows(cells: Array, side: int) -> Array:
    """Every square of cells, moved by one at a time: [h, w, ...] -> [h - side + 1, w - side + 1, side, side, ...]."""
    rows, columns = (length - side + 1 for length in cells.shape[:2])
    shifted = [cells[i : i + rows, j : j + columns] for i, j in product(range(side), repeat=2)]
    return jnp.stack(shifted, axis=2).reshape(rows, columns, side, side, *cells.shape[2:])


def add_windows(windows: Array) -> Array:
    """Add windows up where they were cut: [n, m, side, side] -> [h, w], the transpose of `cut_windows`."""
    last = windows.shape[-1] - 1
    offsets = product(range(last + 1), repeat=2)
    return sum(jnp.pad(windows[:, :, i, j], ((i, last - i), (j, last - j))) for i, j in offsets)


def _count_in_rows(mask: Array) -> Array:
    """How many are true in each row, bool [H, W] -> int32 [H]: four at once, a bit each."""
    height, width = mask.shape
    padded = jnp.pad(mask, ((0, 0), (0, -width % 4))).astype(jnp.uint8).reshape(height, -1, 4)
    return lax.population_count(lax.bitcast_convert_type(padded, jnp.uint32)).sum(axis=1, dtype=jnp.int32)
