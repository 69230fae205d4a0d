"""Measurements of the lungs and the heart in a segmented radiograph (Oh et al. 2020, section IV-B).

The original publishes no code for them; the definitions are in `measure_lungs`. Only lengths along the same axis, or
areas, are compared with each other, since a standardized radiograph is resized to a square.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int, Key, UInt8

from cxrjax.ops import lung_masks, patches

# Measure -> its label on figures; those in mm² need the pixel spacing.
AREAS = {"left_lung": "left lung", "right_lung": "right lung", "lung": "both lungs"}
MEASURES = {
    **{f"{name}_area_fraction": f"{words}, share of the image" for name, words in AREAS.items()},
    **{f"{name}_area_mm2": f"{words}, mm²" for name, words in AREAS.items()},
    "cardiothoracic_ratio": "cardiothoracic ratio",
    "lung_intensity_mean": "mean gray level in the lungs",
    "lung_intensity_variance": "variance of the lungs' gray levels",
    "intensity_variance_between_patches": "variance between patches",
    "intensity_variance_within_patches": "variance within patches",
}


@partial(jax.jit, static_argnames=("count", "size"))
def measure_lungs(
    image: UInt8[Array, "h w"],
    lungs: Bool[Array, "h w"],
    structures: UInt8[Array, "h w"],
    fov_mm: Float32[Array, "2"],
    key: Key[Array, ""],
    count: int,
    size: int,
) -> dict[str, Float32[Array, ""]]:
    """Measure the lungs and the heart of one radiograph.

    The cardiothoracic ratio is the greatest transverse diameter of the heart, from its rightmost to its leftmost
    point, over the greatest inner diameter of the thorax, from the outer border of one lung to that of the other in
    one row (Danzer 1919). It does not depend on the pixel spacing. An AP view, a supine patient and a shallow breath
    enlarge it, and the limit of 0.5 holds for PA views of adults only.

    Gray levels are those of the standardized radiograph, hence relative to the rest of the image, not a density.
    Variances are of lung pixels: between patches, the variance of their means; within patches, the variance of the
    pixels about the mean of their patch. Patches are weighted by their number of lung pixels, so that both add up to
    the variance of all pixels of the patches.

    Args:
        image: standardized.
        lungs: the lung mask.
        structures: labels of `lung_masks.STRUCTURES`. With a segmenter that was trained on lungs only,
            the areas of the left and the right lung are meaningless.
        fov_mm: height and width of the radiograph in mm; NaN if unknown.
        key: random key of the centers of the patches.
        count: number of patches.
        size: side of a patch in pixels; even.

    Returns:
        Measures by the keys of MEASURES; NaN if there are no lungs; the ratio is also NaN if the heart or a lung is
        missing.
    """
    is_side = structures[None] == jnp.array(lung_masks.LUNGS)[:, None, None]
    left, right = (is_side & lungs).mean((1, 2))
    fractions = {"left_lung": left, "right_lung": right, "lung": lungs.mean()}
    gray = image.astype(jnp.float32) / 255
    mean, variance = _moments(gray, lungs)
    centers = patches.sample_patch_centers(key, lungs, count)
    lung_patches = patches.extract_patches(lungs, centers, size)
    means, within = jax.vmap(_moments)(patches.extract_patches(gray, centers, size), lung_patches)
    weights = lung_patches.sum((1, 2)) / lung_patches.sum()
    has_both_lungs = (left > 0) & (right > 0)
    values = {
        **{f"{name}_area_fraction": fraction for name, fraction in fractions.items()},
        **{f"{name}_area_mm2": fraction * fov_mm[0] * fov_mm[1] for name, fraction in fractions.items()},
        "cardiothoracic_ratio": jnp.where(has_both_lungs, _cardiothoracic_ratio(structures == 1, lungs), jnp.nan),
        "lung_intensity_mean": mean,
        "lung_intensity_variance": variance,
        "intensity_variance_between_patches": (weights * (means - (weights * means).sum()) ** 2).sum(),
        "intensity_variance_within_patches": (weights * within).sum(),
    }
    return {name: jnp.where(lungs.any(), value, jnp.nan) for name, value in values.items()}


def _cardiothoracic_ratio(heart: Bool[Array, "h w"], lungs: Bool[Array, "h w"]) -> Float[Array, ""]:
    heart = lung_masks.largest_component(heart)
    ratio = _extent(heart.any(0)) / _extent(lungs).max()
    return jnp.where(heart.any(), ratio, jnp.nan)


def _extent(line: Bool[Array, "*batch w"]) -> Int[Array, "*batch"]:
    """Count the pixels from the first true one to the last in each line; 0 if none is true."""
    start = line.argmax(-1)
    stop = line.shape[-1] - line[..., ::-1].argmax(-1)
    return jnp.where(line.any(-1), stop - start, 0)


def _moments(gray: Float[Array, "h w"], mask: Bool[Array, "h w"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Compute the mean and the variance of the pixels where a mask is true."""
    count = mask.sum()
    mean = (gray * mask).sum() / count
    return mean, ((gray - mean) ** 2 * mask).sum() / count
