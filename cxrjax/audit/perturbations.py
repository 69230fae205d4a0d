"""Perturbations of images uint8 [B, S, S] with lung masks bool [B, S, S], and the boxes and gray levels they need.

Standardization depends on the whole image, so that a hidden region still influences the gray levels of the visible
one. Therefore, perturbations that hide a region equalize the histogram of the visible pixels again.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

MARGIN = 0.05  # of the side, around the lungs; contains what a lung mask misses. Ours
BORDER = 0.1  # of the side, at each edge; contains letters, frames and collimators. Ours
RESOLUTION = 256  # pixels per side, the lowest of the usual collections (tuberculosis, Rahman et al. 2020)
MARK = 0.08  # side of a marker, of the image side: two or three centimeters, as a lead letter. Ours
CORNER = 0.03  # of the side, between the marker and the upper left corner

# Images uint8 [B, S, S], lung masks bool [B, S, S] -> images uint8 [B, S, S]
Perturbation = Callable[[Array | np.ndarray, Array | np.ndarray], Array]


@jax.jit
def mask_out_lungs(images: Array, lungs: Array) -> Array:
    """Return the background alone: a box around the lungs, with a margin, is black.

    A box is used instead of the outline of the lungs, which consolidation changes. Without lungs, the image is black.
    """
    return match_levels(images, ~jax.vmap(bounding_box)(lungs))


@jax.jit
def box_only(lungs: Array) -> Array:
    """Return the box alone that `mask_out_lungs` blackens: uint8 [B, S, S], black on white, independent of the images.

    Its size and position are those of the lungs, and without lungs the image is black. Both may depend on the patient's
    age or on failures of the segmenter, so that the background is compared with the box.
    """
    return jnp.where(jax.vmap(bounding_box)(lungs), 0, 255).astype(jnp.uint8)


@jax.jit
def lungs_only(images: Array, lungs: Array) -> Array:
    """Return the lungs alone; all other pixels are black."""
    return match_levels(images, lungs)


@jax.jit
def border_only(images: Array, lungs: Array) -> Array:
    """Return a frame as wide as a tenth of the side; the center is black."""
    distance = jnp.minimum(*jnp.ogrid[: images.shape[1], : images.shape[2]])
    border = jnp.minimum(distance, distance[::-1, ::-1]) < BORDER * images.shape[1]
    return match_levels(images, jnp.broadcast_to(border, images.shape))


@jax.jit
def downsample_resolution(images: Array) -> Array:
    """Downsample to `RESOLUTION` pixels per side and back, so that no image is sharper than the coarsest collection."""
    side = min(RESOLUTION, images.shape[1])
    coarse = jax.image.resize(images.astype(jnp.float32), (len(images), side, side), "linear")
    return jnp.clip(jnp.round(jax.image.resize(coarse, images.shape, "linear")), 0, 255).astype(jnp.uint8)


@jax.jit
def match_histogram(images: Array, quantiles: Array) -> Array:
    """Give all images the same histogram, that of `quantiles` (see `pool_levels`)."""
    return match_levels(images, jnp.ones(images.shape, bool), quantiles)


def pool_levels(images: np.ndarray) -> np.ndarray:
    """Return the quantiles float32 [256], evenly spaced in 0..1, of the gray levels of all images uint8 [n, S, S]."""
    histograms = (np.bincount(image.ravel(), minlength=256) for image in images)
    counts = sum(histograms, start=np.zeros(256, np.intp))
    mid_ranks = (counts.cumsum() - counts / 2) / counts.sum()
    return np.interp(np.linspace(0, 1, 256), mid_ranks[counts > 0], np.flatnonzero(counts)).astype(np.float32)


@partial(jax.jit, static_argnames="inside")
def add_marker(images: Array, lungs: Array, inside: bool) -> Array:
    """Add a white square with a black rim in the upper left corner, or inside the lungs.

    Inside, its center is the lung pixel nearest to the mean position of the lung pixels in the left half of the image
    (of all lung pixels, if there are none); an image without lungs gets no marker.
    """
    return jax.vmap(partial(_add_marker, inside=inside))(images, lungs)


def match_levels(images: Array, visible: Array, quantiles: Array | None = None) -> Array:
    """Give the visible pixels, bool [B, S, S], the same histogram in all images, and blacken the others.

    The new level of a pixel is that of `quantiles` (of `pool_levels`) at its mid-rank among the visible pixels; evenly
    from 1 to 255 without quantiles. Pixels of equal level stay equal.
    """
    target = jnp.linspace(1, 255, 256) if quantiles is None else quantiles

    def match(image: Array, mask: Array) -> Array:
        counts = jnp.zeros(256, jnp.int32).at[image.ravel()].add(mask.ravel().astype(jnp.int32))
        mid_ranks = (jnp.cumsum(counts) - counts / 2) / jnp.maximum(counts.sum(), 1)
        levels = jnp.interp(mid_ranks, jnp.linspace(0, 1, 256), target)
        return jnp.where(mask, jnp.round(levels)[image], 0).astype(jnp.uint8)

    return jax.vmap(match)(images, visible)


def bounding_box(lungs: Array) -> Array:
    """Return the bounding box of a mask bool [S, S], extended by `MARGIN` on each side, as a mask bool [S, S].

    For an empty mask, it is the whole image.
    """

    def span(profile: Array) -> Array:
        position = jnp.arange(profile.size)
        margin = MARGIN * profile.size
        start = jnp.argmax(profile)
        end = profile.size - 1 - jnp.argmax(profile[::-1])
        return (position >= start - margin) & (position <= end + margin)

    return (span(lungs.any(1))[:, None] & span(lungs.any(0))) | ~lungs.any()


def marker_box(lungs: Array, inside: bool) -> tuple[Array, int]:
    """Return row and column int [2] of the upper left pixel of a marker, and its side in pixels.

    Args:
        lungs: bool [S, S], lung mask of the image.
        inside: whether the marker lies in the lungs, or in the upper left corner.
    """
    size = lungs.shape[0]
    side = max(3, round(MARK * size))
    if not inside:
        return jnp.full(2, round(CORNER * size)), side
    left = lungs & (jnp.arange(size) < size // 2)
    mask = jnp.where(left.any(), left, lungs)
    rows, columns = jnp.mgrid[:size, :size]
    total = jnp.maximum(mask.sum(), 1)
    mean_row = (rows * mask).sum(dtype=jnp.float32) / total
    mean_column = (columns * mask).sum(dtype=jnp.float32) / total
    square_distance = (rows - mean_row) ** 2 + (columns - mean_column) ** 2
    center = jnp.argmin(jnp.where(mask, square_distance, jnp.inf))
    return jnp.clip(jnp.array([center // size, center % size]) - side // 2, 0, size - side), side


def _add_marker(image: Array, lungs: Array, inside: bool) -> Array:
    (row, column), side = marker_box(lungs, inside)
    rows = (jnp.arange(image.shape[0]) - row)[:, None]
    columns = jnp.arange(image.shape[0]) - column
    square = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    core = (rows > 0) & (rows < side - 1) & (columns > 0) & (columns < side - 1)
    marker = square & (lungs.any() | (not inside))
    return jnp.where(marker, jnp.where(core, 255, 0), image).astype(jnp.uint8)
