"""Random changes of a picture in training, on the accelerator, by key."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.ndimage import map_coordinates

_ALWAYS = -1  # the kind of a draw that `Augmentation.each` does not concern


class AugmentationConfig(NamedTuple):
    """How far a picture may change; with the defaults, all zero changes nothing."""

    rotation: float  # degrees, either way
    zoom: float  # share of the size, either way
    shift: float  # share of the size, either way
    contrast: float  # share of the grey range, either way, about `contrast_about`
    brightness: float  # share of the grey range, either way
    crop: float  # share of the side: a window less by it, anywhere in the picture, is enlarged to the whole
    flip: float  # probability of left for right; not for structure maps, whose lungs have sides
    upend: float  # probability of upside down
    each: float = 1.0  # probability of each of rotation, zoom, shift, contrast and brightness, drawn on its own
    dihedral: float = 0.0  # probability of one of the 8 symmetries of the square, each equally likely
    contrast_about: str = "middle"  # of the grey range; or "mean": of each channel of the picture


def draw_affine(key: Array, settings: AugmentationConfig) -> Array:
    """A random map from output to input coordinates, both in units of the size with 0 in the middle: float [2, 3]."""
    if settings.dihedral:
        key, symmetry = jax.random.split(key)
    draws = _draw(key, (0, 1, 2, 2, *[_ALWAYS] * 4), settings.each)
    angle, zoom, down, right, flip, upend, lower, further = draws
    angle = jnp.deg2rad(settings.rotation) * angle
    scale = (1 + settings.zoom * zoom) * (1 - settings.crop)
    mirror = jnp.where((flip + 1) / 2 < settings.flip, -1.0, 1.0)
    turn = jnp.where((upend + 1) / 2 < settings.upend, -1.0, 1.0)
    cos, sin = jnp.cos(angle) * scale, jnp.sin(angle) * scale
    rows = settings.shift * down + settings.crop / 2 * lower
    columns = settings.shift * right + settings.crop / 2 * further
    affine = jnp.array([[cos * turn, -sin * mirror, rows], [sin * turn, cos * mirror, columns]])
    return _apply_symmetry(symmetry, affine, settings.dihedral) if settings.dihedral else affine


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


def adjust_gray(key: Array, image: Array, middle: Array | float, settings: AugmentationConfig) -> Array:
    """Stretch and shift the grey levels of an image; a level of exactly 0 (nothing there) stays 0.

    Args:
        key: random key.
        image: float [S, S] or [S, S, C] in 0..1.
        middle: the level about which contrast stretches; see `find_middle`.
        settings: see Augmentation.

    Returns:
        float in 0..1, of the image's shape.
    """
    contrast, brightness = _draw(key, (0, 1), settings.each)
    changed = (image - middle) * (1 + settings.contrast * contrast) + middle + settings.brightness * brightness
    return jnp.where(image > 0, jnp.clip(changed, 0, 1), 0)


def find_middle(image: Array, settings: AugmentationConfig) -> Array | float:
    """Return the grey level about which contrast stretches an image float [S, S] or [S, S, C] in 0..1.

    The mean is that of each channel before the picture is moved, so that the black that comes in from outside does not
    count; Keras, which fills with reflections, takes it after rotation and zoom.

    Raises:
        ValueError: `settings.contrast_about` is unknown.
    """
    if settings.contrast_about not in ("middle", "mean"):
        raise ValueError(f"no augmentation.contrast_about called {settings.contrast_about!r}; there are middle, mean")
    return image.mean((0, 1)) if settings.contrast_about == "mean" else 0.5


def augment_pair(
    key: Array, image: Array, mask: Array, settings: AugmentationConfig, chosen: Array | bool = True
) -> tuple[Array, Array]:
    """Change an image and its label map at random, both by the same map; the grey levels of the image alone.

    Args:
        key: random key.
        image: float [S, S] in 0..1.
        mask: labels [S, S].
        settings: see Augmentation.
        chosen: whether they are changed at all; False returns them as they are.

    Returns:
        The image and the label map.
    """
    place, grey = jax.random.split(key)
    affine = draw_affine(place, settings)
    changed = adjust_gray(grey, warp(image, affine, 1), find_middle(image, settings), settings)
    return _choose(chosen, changed, image), _choose(chosen, warp(mask, affine, 0), mask)


def augment_patch(key: Array, patch: Array, settings: AugmentationConfig, chosen: Array | bool = True) -> Array:
    """Change a patch at random, float [S, S] or [S, S, C] in 0..1, every channel alike; as it is if not `chosen`.

    Examples:
        >>> import cxrjax as cx, jax
        >>> none = cx.ops.AugmentationConfig(0, 0, 0, 0, 0, 0, 0, 0)
        >>> config = none._replace(contrast=0.2, brightness=0.1)
        >>> cx.ops.augment_patch(jax.random.key(0), np.full((32, 32), 0.5, np.float32), config).shape
        (32, 32)
    """
    place, grey = jax.random.split(key)
    moved = warp(patch, draw_affine(place, settings), 1)
    return _choose(chosen, adjust_gray(grey, moved, find_middle(patch, settings), settings), patch)


def _choose(chosen: Array | bool, changed: Array, plain: Array) -> Array:
    """Return one of two arrays; of a bool that Python knows, nothing is compiled."""
    if isinstance(chosen, bool):
        return changed if chosen else plain
    return jnp.where(chosen, changed, plain)


def _draw(key: Array, kinds: Sequence[int], each: float) -> Array:
    """Draw numbers in -1..1 that say how far a picture changes; 0 is not at all.

    Args:
        key: random key.
        kinds: the kind of change of each number, from 0, or _ALWAYS.
        each: probability of each kind; the draws of a kind that does not occur are 0.

    Returns:
        float [len(kinds)].
    """
    if each == 1:
        return jax.random.uniform(key, (len(kinds),), minval=-1, maxval=1)
    key, choice = jax.random.split(key)
    occurs = jax.random.uniform(choice, (max(kinds) + 1,)) < each
    draws = jax.random.uniform(key, (len(kinds),), minval=-1, maxval=1)
    return jnp.where(jnp.append(occurs, True)[jnp.array(kinds)], draws, 0)


def _apply_symmetry(key: Array, affine: Array, probability: float) -> Array:
    """Turn or mirror the output of a map float [2, 3] by a random symmetry of the square, with a probability."""
    occurs, which = jax.random.split(key)
    down, right, swapped = jax.random.bernoulli(which, shape=(3,)) & (jax.random.uniform(occurs) < probability)
    linear = affine[:, :2] * jnp.where(jnp.stack([down, right]), -1, 1)
    linear = jnp.where(swapped, linear[:, ::-1], linear)
    return jnp.concatenate([linear, affine[:, 2:]], axis=1)
