"""Random augmentation of images in training, on the accelerator."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Bool, Float, Float32, Key, Num, Shaped

from cxrjax.config.settings import AugmentationConfig
from cxrjax.runtime.arrays import AnyArray

_ALWAYS = -1  # group of the draws to which `AugmentationConfig.probability` does not apply


def sample_affine(key: Key[Array, ""], settings: AugmentationConfig) -> Float[Array, "2 3"]:
    """Draw a random affine map.

    Args:
        key: random key.
        settings: ranges of the changes.

    Returns:
        The map from (row, column, 1) of the output to (row, column) of the input, both in units of the size with the
        origin in the center of the image.
    """
    symmetry_key = None
    if settings.dihedral:
        key, symmetry_key = jax.random.split(key)
    draws = _draw(key, (0, 1, 2, 2, *[_ALWAYS] * 4), settings.probability)
    angle, zoom, shift_down, shift_right, flip, upend, crop_down, crop_right = draws
    angle = jnp.deg2rad(settings.rotation) * angle
    scale = (1 + settings.scale * zoom) * (1 - settings.random_crop)
    column_sign = jnp.where((flip + 1) / 2 < settings.flip_horizontal, -1.0, 1.0)
    row_sign = jnp.where((upend + 1) / 2 < settings.flip_vertical, -1.0, 1.0)
    cos = jnp.cos(angle) * scale
    sin = jnp.sin(angle) * scale
    row_offset = settings.shift * shift_down + settings.random_crop / 2 * crop_down
    column_offset = settings.shift * shift_right + settings.random_crop / 2 * crop_right
    affine = jnp.array(
        [[cos * row_sign, -sin * column_sign, row_offset], [sin * row_sign, cos * column_sign, column_offset]]
    )
    return affine if symmetry_key is None else _apply_symmetry(symmetry_key, affine, settings.dihedral)


def warp(image: Num[AnyArray, "s s *c"], affine: Float[AnyArray, "2 3"], order: int) -> Num[Array, "s s *c"]:
    """Resample an image by an affine map, with zeros outside.

    Args:
        image: an image of any number type; all channels are resampled alike.
        affine: of `sample_affine`.
        order: 1 for linear interpolation, 0 for the nearest pixel.

    Returns:
        Array of the image's type.
    """
    size = image.shape[0]
    axis = (jnp.arange(size) + 0.5) / size - 0.5
    rows, columns = jnp.meshgrid(axis, axis, indexing="ij")
    # At the default precision an accelerator would round the coordinates by fractions of a pixel.
    source = jnp.einsum("ij,jrc->irc", affine, jnp.stack([rows, columns, jnp.ones_like(rows)]), precision="highest")
    resample = partial(map_coordinates, coordinates=list((source + 0.5) * size - 0.5), order=order, mode="constant")
    return resample(image) if image.ndim == 2 else jax.vmap(resample, -1, -1)(image)


def adjust_gray(
    key: Key[Array, ""],
    image: Float[AnyArray, "s s *c"],
    center: Float[AnyArray, "*c"] | float,
    settings: AugmentationConfig,
) -> Float[Array, "s s *c"]:
    """Change contrast and brightness of an image at random; a level of exactly 0 (background) stays 0.

    Args:
        key: random key.
        image: in 0..1.
        center: gray level about which contrast is stretched; see `contrast_center`.
        settings: ranges of the changes.

    Returns:
        The changed image in 0..1.
    """
    contrast, brightness = _draw(key, (0, 1), settings.probability)
    adjusted = (image - center) * (1 + settings.contrast * contrast) + center + settings.brightness * brightness
    return jnp.where(image > 0, jnp.clip(adjusted, 0, 1), 0)


def contrast_center(image: Float[AnyArray, "s s *c"], settings: AugmentationConfig) -> Float[AnyArray, "*c"] | float:
    """Return the gray level about which the contrast of an image is stretched.

    With `contrast_about` "mean" this is the mean of each channel before the image is warped, so that the zeros outside
    the image do not count; Keras, which fills with reflections, computes it after rotation and zoom.

    Args:
        image: in 0..1.
        settings: configuration of the augmentation.

    Returns:
        0.5, or the mean of the image or of each channel.

    Raises:
        ValueError: `settings.contrast_about` is unknown.
    """
    if settings.contrast_about not in ("middle", "mean"):
        raise ValueError(f"no augmentation.contrast_about called {settings.contrast_about!r}; there are middle, mean")
    return image.mean((0, 1)) if settings.contrast_about == "mean" else 0.5


def sample_border(
    key: Key[Array, ""], size: int, settings: AugmentationConfig
) -> tuple[Bool[Array, "{size} {size}"], Float32[Array, ""]]:
    """Draw a blank border, as a scanner, a printed film or a slide leaves around a radiograph.

    Each of the four sides has a border with probability 1/2, of a width that is uniform up to `settings.border`.

    Args:
        key: random key.
        size: side of the image, in pixels.
        settings: `border` is the largest width, as a fraction of the side.

    Returns:
        Mask, True in the border, and the gray level of the border: 0 or 1 with equal probability.
    """
    occurs_key, width_key, level_key = jax.random.split(key, 3)
    occurs = jax.random.bernoulli(occurs_key, shape=(4,))
    widths = jnp.where(occurs, jax.random.uniform(width_key, (4,), maxval=settings.border), 0)
    top, bottom, left, right = widths
    position = (jnp.arange(size) + 0.5) / size
    in_rows = (position < top) | (position > 1 - bottom)
    in_columns = (position < left) | (position > 1 - right)
    return in_rows[:, None] | in_columns[None, :], jax.random.bernoulli(level_key).astype(jnp.float32)


def augment_pair(
    key: Key[Array, ""],
    image: Float[AnyArray, "s s"],
    mask: Num[AnyArray, "s s"],
    settings: AugmentationConfig,
    chosen: Bool[AnyArray, ""] | bool = True,
) -> tuple[Float[Array, "s s"], Num[Array, "s s"]]:
    """Augment an image and its label map: the same affine map for both, gray levels of the image only.

    Args:
        key: random key.
        image: in 0..1.
        mask: the label map.
        settings: ranges of the changes.
        chosen: whether to augment; with False both are returned unchanged.

    Returns:
        The image and the label map.
    """
    affine_key, gray_key, border_key = _split(key, settings)
    affine = sample_affine(affine_key, settings)
    augmented = adjust_gray(gray_key, warp(image, affine, 1), contrast_center(image, settings), settings)
    augmented_mask = warp(mask, affine, 0)
    if border_key is not None:
        border, level = sample_border(border_key, len(image), settings)
        augmented = jnp.where(border, level, augmented)
        augmented_mask = jnp.where(border, 0, augmented_mask)
    return _choose(chosen, augmented, jnp.asarray(image)), _choose(chosen, augmented_mask, jnp.asarray(mask))


def augment_patch(
    key: Key[Array, ""],
    patch: Float[AnyArray, "s s *c"],
    settings: AugmentationConfig,
    chosen: Bool[AnyArray, ""] | bool = True,
) -> Float[Array, "s s *c"]:
    """Augment a patch.

    Args:
        key: random key.
        patch: in 0..1; all channels are changed alike.
        settings: ranges of the changes.
        chosen: whether to augment; with False the patch is returned unchanged.

    Returns:
        The patch in 0..1.

    Examples:
        >>> import cxrjax as cx, jax
        >>> config = cx.ops.AugmentationConfig(contrast=0.2, brightness=0.1)
        >>> cx.ops.augment_patch(jax.random.key(0), np.full((32, 32), 0.5, np.float32), config).shape
        (32, 32)
    """
    affine_key, gray_key, border_key = _split(key, settings)
    warped = warp(patch, sample_affine(affine_key, settings), 1)
    augmented = adjust_gray(gray_key, warped, contrast_center(patch, settings), settings)
    if border_key is not None:
        border, level = sample_border(border_key, len(patch), settings)
        augmented = jnp.where(border.reshape(border.shape + (1,) * (patch.ndim - 2)), level, augmented)
    return _choose(chosen, augmented, jnp.asarray(patch))


def _choose(
    chosen: Bool[AnyArray, ""] | bool, augmented: Shaped[Array, "*s"], original: Shaped[Array, "*s"]
) -> Shaped[Array, "*s"]:
    """Return one of two arrays; for a Python bool this compiles nothing."""
    if isinstance(chosen, bool):
        return augmented if chosen else original
    return jnp.where(chosen, augmented, original)


def _split(
    key: Key[Array, ""], settings: AugmentationConfig
) -> tuple[Key[Array, ""], Key[Array, ""], Key[Array, ""] | None]:
    """Return the keys of the affine map, of the gray levels, and of the border; None where there is no border.

    The first two do not depend on whether there is a border.
    """
    affine_key, gray_key = jax.random.split(key)
    return affine_key, gray_key, jax.random.fold_in(key, 2) if settings.border else None


def _draw(key: Key[Array, ""], groups: Sequence[int], each: float) -> Float[Array, "{len(groups)}"]:
    """Draw strengths of changes in -1..1; 0 is no change.

    Args:
        key: random key.
        groups: group of changes, from 0, that each draw belongs to, or _ALWAYS.
        each: probability of each group; the draws of a group that does not occur are 0.

    Returns:
        The strengths.
    """
    if each == 1:
        return jax.random.uniform(key, (len(groups),), minval=-1, maxval=1)
    key, group_key = jax.random.split(key)
    occurs = jax.random.uniform(group_key, (max(groups) + 1,)) < each
    draws = jax.random.uniform(key, (len(groups),), minval=-1, maxval=1)
    return jnp.where(jnp.append(occurs, True)[jnp.array(groups)], draws, 0)


def _apply_symmetry(key: Key[Array, ""], affine: Float[Array, "2 3"], probability: float) -> Float[Array, "2 3"]:
    """Compose an affine map with a random symmetry of the square, with a probability."""
    occurs_key, symmetry_key = jax.random.split(key)
    occurs = jax.random.uniform(occurs_key) < probability
    flip_rows, flip_columns, transpose = jax.random.bernoulli(symmetry_key, shape=(3,)) & occurs
    linear = affine[:, :2] * jnp.where(jnp.stack([flip_rows, flip_columns]), -1, 1)
    linear = jnp.where(transpose, linear[:, ::-1], linear)
    return jnp.concatenate([linear, affine[:, 2:]], axis=1)
