"""Areas and gray levels of the lungs in a segmented radiograph (Oh et al. 2020, section IV-B).

The original publishes no code for them; the definitions are in `measure_lungs`. The cardiothoracic ratio is measured in
`cxrjax.inference.lung_geometry`.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Key, UInt8

from cxrjax.ops import lung_masks, patches

AREAS = ("left_lung", "right_lung", "lung")


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
    """Measure the areas and the gray levels of the lungs of one radiograph.

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
        Of each of AREAS, `…_area_fraction` of the image and `…_area_mm2`; `lung_intensity_mean` and
        `lung_intensity_variance`, of gray levels in 0..1; and `intensity_variance_between_patches` and
        `intensity_variance_within_patches`. NaN if there are no lungs.
    """
    is_side = structures[None] == jnp.array(lung_masks.LUNGS)[:, None, None]
    left, right = (is_side & lungs).mean((1, 2))
    fractions = dict(zip(AREAS, (left, right, lungs.mean()), strict=True))
    gray = image.astype(jnp.float32) / 255
    mean, variance = _moments(gray, lungs)
    centers = patches.sample_patch_centers(key, lungs, count)
    lung_patches = patches.extract_patches(lungs, centers, size)
    means, within = jax.vmap(_moments)(patches.extract_patches(gray, centers, size), lung_patches)
    weights = lung_patches.sum((1, 2)) / lung_patches.sum()
    values = {
        **{f"{name}_area_fraction": fraction for name, fraction in fractions.items()},
        **{f"{name}_area_mm2": fraction * fov_mm[0] * fov_mm[1] for name, fraction in fractions.items()},
        "lung_intensity_mean": mean,
        "lung_intensity_variance": variance,
        "intensity_variance_between_patches": (weights * (means - (weights * means).sum()) ** 2).sum(),
        "intensity_variance_within_patches": (weights * within).sum(),
    }
    return {name: jnp.where(lungs.any(), value, jnp.nan) for name, value in values.items()}


def _moments(gray: Float[Array, "h w"], mask: Bool[Array, "h w"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Compute the mean and the variance of the pixels where a mask is true."""
    count = mask.sum()
    mean = (gray * mask).sum() / count
    return mean, ((gray - mean) ** 2 * mask).sum() / count
