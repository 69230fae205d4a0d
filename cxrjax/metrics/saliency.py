"""Metrics of saliency maps: location, faithfulness, and similarity to other maps; functions of arrays.

Maps are at least 0; a region is the mask of the pixels that are compared.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Key, Shaped

from cxrjax.runtime.arrays import AnyArray

TRUNCATION = 3.5  # standard deviations at which a Gaussian is truncated: 11 pixels wide for SSIM, as published
SSIM_DEVIATION = 1.5  # pixels; Wang et al. 2004, section III-B
SSIM_CONSTANTS = (0.01**2, 0.03**2)  # for values in 0..1; Wang et al. 2004, section III-B


def energy_inside(saliency: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"]) -> Float[Array, ""]:
    """Compute the fraction of a map inside a region (energy-based pointing game: Wang et al. 2020, Score-CAM).

    Returns:
        The fraction in 0..1; NaN for an all-zero map.
    """
    saliency = jnp.asarray(saliency)
    return (saliency * region).sum() / saliency.sum()


def points_inside(saliency: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"]) -> Float[Array, ""]:
    """Compute the pointing game without margin (Zhang et al. 2016, Excitation Backprop): 1 if the peak is inside.

    Returns:
        1 or 0; if several pixels are highest, the fraction of them inside; NaN for an all-zero map.
    """
    peaks = (saliency == saliency.max()) & (saliency > 0)
    return (peaks & region).sum() / peaks.sum()


def rank_pixels(
    saliency: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"], key: Key[Array, ""]
) -> Float32[Array, "h w"]:
    """Compute the fraction of a region that precedes each of its pixels, the highest first and ties in random order.

    Returns:
        The fractions: in 0..1, below 1 inside the region; at least 1 outside it.
    """
    values = jnp.where(region, saliency, -jnp.inf).ravel()
    order = jnp.lexsort((jax.random.bits(key, values.shape), -values))
    position = jnp.zeros(values.shape, jnp.int32).at[order].set(jnp.arange(values.size, dtype=jnp.int32))
    return (position / jnp.maximum(region.sum(), 1)).reshape(saliency.shape)


def phase_randomized_map(saliency: Float[AnyArray, "h w"], key: Key[Array, ""]) -> Float32[Array, "h w"]:
    """Draw a map of the same texture with its peaks at random places, as a chance-level control.

    It is a phase-randomized surrogate (Theiler et al. 1992), with the same power spectrum and the phases of white
    noise. A random order of single pixels would be a fine grain, unlike any map and unlike any training image.

    Returns:
        A map with the mean of the given map; values may be negative.
    """
    noise = jnp.fft.rfft2(jax.random.normal(key, saliency.shape)).at[0, 0].set(1)
    spectrum = jnp.abs(jnp.fft.rfft2(saliency.astype(jnp.float32)))
    return jnp.fft.irfft2(spectrum * jnp.exp(1j * jnp.angle(noise)), saliency.shape)


def deletion_curve(
    score: Callable[[Shaped[Array, "h w"]], Float[Array, ""]],
    before: Shaped[AnyArray, "h w"],
    after: Shaped[AnyArray, "h w"],
    order: Float[AnyArray, "h w"],
    steps: int,
) -> Float[Array, "{steps}+1"]:
    """Score an image while its pixels are replaced by another's (deletion, insertion: Petsiuk et al. 2018, RISE).

    It is deletion from the radiograph to a blank image, and insertion from a blank image to the radiograph.

    Args:
        score: image -> score.
        before: the image to start from.
        after: the image to end with, equal to `before` outside the region.
        order: result of `rank_pixels`.
        steps: number of equal parts of the region, each replaced at once.

    Returns:
        The scores from `before` to `after`.
    """
    fractions = jnp.linspace(0, 1, steps + 1)
    return lax.map(lambda fraction: score(jnp.where(order < fraction, after, before)), fractions)


def auc(curve: Float[AnyArray, "*curves points"]) -> Float[AnyArray, "*curves"] | np.floating:
    """Compute the area under curves over 0..1, by the trapezoidal rule."""
    return (curve[..., 1:] + curve[..., :-1]).mean(-1) / 2


def rank_correlation(
    a: Float[AnyArray, "h w"], b: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"]
) -> Float[Array, ""]:
    """Compute Spearman's correlation of two maps inside a region, in -1..1; 0 where either map is constant."""
    x = _center(_rank(a, region), region)
    y = _center(_rank(b, region), region)
    spread = jnp.sqrt((x**2).sum() * (y**2).sum())
    return jnp.where(spread > 0, (x * y).sum() / jnp.where(spread > 0, spread, 1), 0)


def overlap(
    a: Float[AnyArray, "h w"], b: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"], top_fraction: float
) -> Float[Array, ""]:
    """Compute the Dice overlap, in 0..1, between the highest pixels of two maps inside a region.

    The highest pixels of a map are the fraction `top_fraction` of the region, which is also the chance level; the
    overlap of two constant maps is 1.
    """
    top_a = region & (_rank(a, region) >= 1 - top_fraction)
    top_b = region & (_rank(b, region) >= 1 - top_fraction)
    return 2 * (top_a & top_b).sum() / jnp.maximum(top_a.sum() + top_b.sum(), 1)


def ssim(a: Float[AnyArray, "h w"], b: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"]) -> Float[Array, ""]:
    """Compute the mean SSIM (Wang et al. 2004) over a region of two maps, each scaled to a maximum of 1; at most 1."""
    a = a / jnp.where(a.max() > 0, a.max(), 1)
    b = b / jnp.where(b.max() > 0, b.max(), 1)
    blur = partial(smooth, deviation=SSIM_DEVIATION)
    mean_a = blur(a)
    mean_b = blur(b)
    variance_a = blur(a * a) - mean_a**2
    variance_b = blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = SSIM_CONSTANTS
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return (similarity * region).sum() / jnp.maximum(region.sum(), 1)


def smooth(image: Float[AnyArray, "h w"], deviation: float) -> Float[Array, "h w"]:
    """Blur an image with a Gaussian of `deviation` pixels; the image is mirrored at its border."""
    radius = int(TRUNCATION * deviation + 0.5)
    kernel = jnp.exp(-0.5 * (jnp.arange(-radius, radius + 1) / deviation) ** 2)
    # SSIM is a difference of close numbers, for which the low-precision products of GPU and TPU are too inexact.
    along = jax.vmap(partial(jnp.convolve, v=kernel / kernel.sum(), mode="valid", precision="highest"))
    return along(along(jnp.pad(image, radius, mode="symmetric")).T).T


def randomize_layers(trained: Mapping[str, Any], random: Mapping[str, Any], layers: Collection[str]) -> dict[str, Any]:
    """Replace the variables of some layers by random ones (Adebayo et al. 2018, sanity checks).

    Args:
        trained: variables, {"params", "batch_stats"}.
        random: randomly initialized variables of the same structure.
        layers: names of the layers to randomize, from `from_config.layer_paths`.
    """
    random_leaves = flatten_dict(random, keep_empty_nodes=True)
    return unflatten_dict(
        {
            path: random_leaves[path] if "/".join(path[1:-1]) in layers else leaf
            for path, leaf in flatten_dict(trained, keep_empty_nodes=True).items()
        }
    )


def _rank(saliency: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"]) -> Float32[Array, "h w"]:
    """Compute the fraction of a region that is lower than each of its pixels, ties counting half."""
    values = jnp.where(region, saliency, jnp.inf).ravel()
    ordered = jnp.sort(values)
    num_lower = jnp.searchsorted(ordered, values, side="left", method="sort")
    num_not_higher = jnp.searchsorted(ordered, values, side="right", method="sort")
    return ((num_lower + num_not_higher) / (2 * jnp.maximum(region.sum(), 1))).reshape(saliency.shape)


def _center(values: Float[AnyArray, "h w"], region: Bool[AnyArray, "h w"]) -> Float[Array, "h w"]:
    """Subtract the mean over the region from values; 0 outside the region."""
    inside = jnp.where(region, values, 0)
    return jnp.where(region, inside - inside.sum() / jnp.maximum(region.sum(), 1), 0)
