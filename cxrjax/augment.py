"""Random changes of a picture in training, on the accelerator, by key."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.ndimage import map_coordinates


class Augmentation(NamedTuple):
    """How far a picture may change; all zero changes nothing."""

    rotation: float  # degrees, either way
    zoom: float  # share of the size, either way
    shift: float  # share of the size, either way
    contrast: float  # share of the grey range, either way, about the middle
    brightness: float  # share of the grey range, either way
    crop: float  # share of the side: a window less by it, anywhere in the picture, is enlarged to the whole
    flip: float  # probability of left for right; not for structure maps, whose lungs have sides
    upend: float  # probability of upside down


def draw_affine(key: Array, settings: Augmentation) -> Array:
    """A random map from output to input coordinates, both in units of the size with 0 in the middle: float [2, 3]."""
    angle, zoom, down, right, flip, upend, lower, further = jax.random.uniform(key, (8,), minval=-1, maxval=1)
    angle = jnp.deg2rad(settings.rotation) * angle
    scale = (1 + settings.zoom * zoom) * (1 - settings.crop)
    mirror = jnp.where((flip + 1) / 2 < settings.flip, -1.0, 1.0)
    turn = jnp.where((upend + 1) / 2 < settings.upend, -1.0, 1.0)
    cos, sin = jnp.cos(angle) * scale, jnp.sin(angle) * scale
    rows = settings.shift * down + settings.crop / 2 * lower
    columns = settings.shift * right + settings.crop / 2 * further
    return jnp.array([[cos * turn, -sin * mirror, rows], [sin * turn, cos * mirror, columns]])


def warp(image: Array, affine: Array, order: int) -> Array:
    """Resample [S, S] of any number type by `draw_affine`'s map; order 1 is linear, 0 nearest; zero outside.

    Every channel of [S, S, C] alike.
    """
    size = image.shape[0]
    axis = (jnp.arange(size) + 0.5) / size - 0.5
    rows, columns = jnp.meshgrid(axis, axis, indexing="ij")
    # At the default precision an accelerator would round where pixels lie, by parts of one.
    at = jnp.einsum("ij,jrc->irc", affine, jnp.stack([rows, columns, jnp.ones_like(rows)]), precision="highest")
    resample = partial(map_coordinates, coordinates=list((at + 0.5) * size - 0.5), order=order, mode="constant")
    return resample(image) if image.ndim == 2 else jax.vmap(resample, -1, -1)(image)


def change_grey(key: Array, image: Array, settings: Augmentation) -> Array:
    """Stretch and shift the grey levels of a float image in 0..1; a level of exactly 0 (nothing there) stays 0."""
    contrast, brightness = jax.random.uniform(key, (2,), minval=-1, maxval=1)
    changed = (image - 0.5) * (1 + settings.contrast * contrast) + 0.5 + settings.brightness * brightness
    return jnp.where(image > 0, jnp.clip(changed, 0, 1), 0)


def augment_pair(key: Array, image: Array, mask: Array, settings: Augmentation) -> tuple[Array, Array]:
    """One random change of an image float [S, S] in 0..1 and its label map [S, S]; of grey, to the image alone."""
    place, grey = jax.random.split(key)
    affine = draw_affine(place, settings)
    return change_grey(grey, warp(image, affine, 1), settings), warp(mask, affine, 0)


def augment_patch(key: Array, patch: Array, settings: Augmentation) -> Array:
    """A random change of a patch, float [S, S] or [S, S, C] in 0..1; every channel changes alike."""
    place, grey = jax.random.split(key)
    return change_grey(grey, warp(patch, draw_affine(place, settings), 1), settings)
