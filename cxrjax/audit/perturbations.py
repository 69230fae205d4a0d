"""What a control shows of radiographs: each takes uint8 [B, S, S] and their lungs bool [B, S, S], and gives uint8.

Grey levels are standardised by the whole picture, so that what is hidden still moves the levels of what is shown; a
control that hides a part therefore matches the levels of what it shows anew.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

MARGIN = 0.05  # of the side, around the lungs; what a mask misses lies within it. Ours
BORDER = 0.1  # of the side, at each edge; where letters, frames and collimators are. Ours
RESOLUTION = 256  # pixels a side, the least of the usual collections' (tuberculosis, Rahman et al. 2020)
MARK = 0.08  # of the side: two or three centimetres, as a lead letter. Ours
CORNER = 0.03  # of the side, between the mark and the upper left corner

Alteration = Callable[[Array, Array], Array]


@jax.jit
def mask_out_lungs(images: Array, lungs: Array) -> Array:
    """The background alone: a box around the lungs, and a margin, is black.

    A box and not the lungs' outline, which consolidation changes. Where there are no lungs, all is black.
    """
    return match_levels(images, ~jax.vmap(bounding_box)(lungs))


@jax.jit
def box_only(images: Array, lungs: Array) -> Array:
    """Return the box alone that `hide_lungs` blackens: black on white, and nothing of the picture.

    Its size and place are the lungs', and where there are no lungs all is black: both may tell of the patient's age or
    of a segmenter that fails, so that the background is judged beside it.
    """
    return jnp.where(jax.vmap(bounding_box)(lungs), 0, 255).astype(jnp.uint8)


@jax.jit
def lungs_only(images: Array, lungs: Array) -> Array:
    """The lungs alone; all else is black."""
    return match_levels(images, lungs)


@jax.jit
def border_only(images: Array, lungs: Array) -> Array:
    """The outer tenth alone; the middle is black."""
    near = jnp.minimum(*jnp.ogrid[: images.shape[1], : images.shape[2]])
    near = jnp.minimum(near, near[::-1, ::-1]) < BORDER * images.shape[1]
    return match_levels(images, jnp.broadcast_to(near, images.shape))


@jax.jit
def downsample_resolution(images: Array, lungs: Array) -> Array:
    """All through `RESOLUTION` pixels a side, so that none is sharper than the coarsest collection."""
    side = min(RESOLUTION, images.shape[1])
    coarse = jax.image.resize(images.astype(jnp.float32), (len(images), side, side), "linear")
    return jnp.clip(jnp.round(jax.image.resize(coarse, images.shape, "linear")), 0, 255).astype(jnp.uint8)


@jax.jit
def match_histogram(images: Array, lungs: Array, quantiles: Array) -> Array:
    """The same histogram for all, that of `quantiles`."""
    return match_levels(images, jnp.ones(images.shape, bool), quantiles)


def pool_levels(images: np.ndarray) -> np.ndarray:
    """The quantiles float32 [256], at even shares from 0 to 1, of the grey levels of all pictures uint8 [n, S, S]."""
    counts = sum(np.bincount(image.ravel(), minlength=256) for image in images)
    middle = (counts.cumsum() - counts / 2) / counts.sum()
    return np.interp(np.linspace(0, 1, 256), middle[counts > 0], np.flatnonzero(counts)).astype(np.float32)


@partial(jax.jit, static_argnames="inside")
def add_marker(images: Array, lungs: Array, inside: bool) -> Array:
    """A white square with a black rim in the upper left corner, or in the middle of the lungs.

    The middle is the lung pixel nearest to the mean of those in the picture's left half (of any, if there are none);
    a radiograph without lungs gets no mark there.
    """
    return jax.vmap(partial(_mark, inside=inside))(images, lungs)


def match_levels(images: Array, shown: Array, quantiles: Array | None = None) -> Array:
    """Give the pixels that are shown, bool [B, S, S], the same histogram in all pictures, and blacken the others.

    A pixel's level is that of `quantiles` (of `pool_levels`) at its middle rank among those shown; evenly from 1 to 255
    where none are given. Pixels of equal level stay equal.
    """
    wanted = jnp.linspace(1, 255, 256) if quantiles is None else quantiles

    def match(image: Array, there: Array) -> Array:
        counts = jnp.zeros(256).at[image.ravel()].add(there.ravel())
        rank = (jnp.cumsum(counts) - counts / 2) / jnp.maximum(counts.sum(), 1)
        levels = jnp.interp(rank, jnp.linspace(0, 1, 256), wanted)
        return jnp.where(there, jnp.round(levels)[image], 0).astype(jnp.uint8)

    return jax.vmap(match)(images, shown)


def bounding_box(lungs: Array) -> Array:
    """The smallest box around a mask bool [S, S], and `MARGIN` on each side; of an empty mask, the whole picture."""

    def span(line: Array) -> Array:
        place, margin = jnp.arange(line.size), MARGIN * line.size
        first, last = jnp.argmax(line), line.size - 1 - jnp.argmax(line[::-1])
        return (place >= first - margin) & (place <= last + margin)

    return (span(lungs.any(1))[:, None] & span(lungs.any(0))) | ~lungs.any()


def marker_box(lungs: Array, inside: bool) -> tuple[Array, int]:
    """Row and column int [2] of a mark's upper left pixel, and its side, on a picture with the lungs bool [S, S]."""
    size = lungs.shape[0]
    side = max(3, round(MARK * size))
    if not inside:
        return jnp.full(2, round(CORNER * size)), side
    left = lungs & (jnp.arange(size) < size // 2)
    of = jnp.where(left.any(), left, lungs)
    rows, columns = jnp.mgrid[:size, :size]
    total = jnp.maximum(of.sum(), 1)
    away = (rows - (rows * of).sum() / total) ** 2 + (columns - (columns * of).sum() / total) ** 2
    middle = jnp.argmin(jnp.where(of, away, jnp.inf))
    return jnp.clip(jnp.array([middle // size, middle % size]) - side // 2, 0, size - side), side


def _mark(image: Array, lungs: Array, inside: bool) -> Array:
    (row, column), side = marker_box(lungs, inside)
    rows, columns = (jnp.arange(image.shape[0]) - row)[:, None], jnp.arange(image.shape[0]) - column
    within = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    core = (rows > 0) & (rows < side - 1) & (columns > 0) & (columns < side - 1)
    there = within & (lungs.any() | (not inside))
    return jnp.where(there, jnp.where(core, 255, 0), image).astype(jnp.uint8)
