"""What can be measured on a radiograph once heart and lungs are found (Oh et al. 2020, section IV-B).

The original publishes no code for it; the definitions are in `measure`. Lengths are compared with lengths of the same
direction and areas with areas, for a standardised radiograph is squashed to a square.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.ops import lung_masks, patches

# Measure -> what it is called on a figure; those in mm² are known where the distance of pixels is.
AREAS = {"left_lung": "left lung", "right_lung": "right lung", "lungs": "both lungs"}
MEASURES = {
    **{f"{name}_share": f"{words}, share of the picture" for name, words in AREAS.items()},
    **{f"{name}_mm2": f"{words}, mm²" for name, words in AREAS.items()},
    "cardiothoracic_ratio": "cardiothoracic ratio",
    "lung_mean": "mean grey level in the lungs",
    "lung_variance": "variance of the lungs' grey levels",
    "between_patch_variance": "variance between patches",
    "within_patch_variance": "variance within patches",
}


@partial(jax.jit, static_argnames=("count", "size"))
def measure_lungs(
    image: Array, lungs: Array, structures: Array, extent: Array, key: Array, count: int, size: int
) -> dict[str, Array]:
    """Measure one radiograph.

    The cardiothoracic ratio is the greatest transverse diameter of the heart, from its rightmost to its leftmost
    point, over the greatest inner diameter of the thorax, from the outer border of one lung to that of the other in
    one row (Danzer 1919). It needs no spacing. An AP view, a supine patient and a shallow breath enlarge it, and 0.5 is
    a limit for PA views of adults alone.

    Grey levels are those of the standardised radiograph, hence relative to the rest of the picture, not a density.
    Variances are of lung pixels: that between patches, of the patches' means, and that within them, of the pixels
    about their patch's mean, each patch by its number of lung pixels. They add up to the variance of all the patches'
    pixels.

    Args:
        image: uint8 [S, S], standardised.
        lungs: bool [S, S].
        structures: uint8 [S, S], labels of `lung_masks.STRUCTURES`. Of a segmenter that knows lungs alone, the areas of
            the left and the right lung mean nothing.
        extent: float [2], height and width of the picture in mm; NaN where not known.
        key: random key of the patches' centres.
        count: patches.
        size: side of a patch, pixels; even.

    Returns:
        float32 by the keys of MEASURES; NaN where there are no lungs, and of the ratio where the heart or a lung is
        missing.
    """
    sides = structures[None] == jnp.array(lung_masks.LUNGS)[:, None, None]
    left, right = (sides & lungs).mean((1, 2))
    shares = dict(zip(AREAS, (left, right, lungs.mean()), strict=True))
    grey = image.astype(jnp.float32) / 255
    mean, variance = _moments(grey, lungs)
    centres = patches.sample_patch_centers(key, lungs, count)
    shown = patches.extract_patches(lungs, centres, size)
    means, within = jax.vmap(_moments)(patches.extract_patches(grey, centres, size), shown)
    weights = shown.sum((1, 2)) / shown.sum()
    values = {
        **{f"{name}_share": share for name, share in shares.items()},
        **{f"{name}_mm2": share * extent[0] * extent[1] for name, share in shares.items()},
        "cardiothoracic_ratio": jnp.where((left > 0) & (right > 0), _ratio(structures == 1, lungs), jnp.nan),
        "lung_mean": mean,
        "lung_variance": variance,
        "between_patch_variance": (weights * (means - (weights * means).sum()) ** 2).sum(),
        "within_patch_variance": (weights * within).sum(),
    }
    return {name: jnp.where(lungs.any(), value, jnp.nan) for name, value in values.items()}


def _ratio(heart: Array, lungs: Array) -> Array:
    heart = lung_masks.largest_component(heart)
    diameter = _extent(heart.any(0)) / _extent(lungs).max()
    return jnp.where(heart.any(), diameter, jnp.nan)


def _extent(line: Array) -> Array:
    """Pixels from the first true one to the last in each line bool [..., W]; 0 where there is none."""
    first, last = line.argmax(-1), line.shape[-1] - line[..., ::-1].argmax(-1)
    return jnp.where(line.any(-1), last - first, 0)


def _moments(grey: Array, where: Array) -> tuple[Array, Array]:
    """Mean and variance of the pixels where a mask is true."""
    count = where.sum()
    mean = (grey * where).sum() / count
    return mean, ((grey - mean) ** 2 * where).sum() / count
