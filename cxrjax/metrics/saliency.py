"""Whether a map can be believed: where it lies, whether the finding rests on it, and what it depends on. Pure arrays.

Maps are float [H, W], at least 0; a region is bool [H, W], the pixels that are compared.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array, lax

TRUNCATION = 3.5  # standard deviations, at which a Gaussian is cut off: 11 pixels across for SSIM, as published
SSIM_DEVIATION, SSIM_CONSTANTS = 1.5, (0.01**2, 0.03**2)  # pixels; of values in 0..1. Wang et al. 2004, section III-B


def energy_inside(saliency: Array, region: Array) -> Array:
    """Share of a map that lies inside a region (the energy-based pointing game of Wang et al. 2020, Score-CAM).

    Returns:
        float in 0..1; NaN for an all-zero map.
    """
    return (saliency * region).sum() / saliency.sum()


def points_inside(saliency: Array, region: Array) -> Array:
    """The pointing game (Zhang et al. 2016, Excitation Backprop), without its margin: is the hottest pixel inside?

    Returns:
        float, 1 or 0; of several hottest pixels the share inside; NaN for an all-zero map.
    """
    hottest = (saliency == saliency.max()) & (saliency > 0)
    return (hottest & region).sum() / hottest.sum()


def rank_pixels(saliency: Array, region: Array, key: Array) -> Array:
    """The share of a region that comes before each of its pixels, the hottest first and ties in a random order.

    Returns:
        float32 [H, W]: in 0..1, below 1 inside the region; at least 1 outside it.
    """
    heat = jnp.where(region, saliency, -jnp.inf).ravel()
    order = jnp.lexsort((jax.random.bits(key, heat.shape), -heat))
    place = jnp.zeros(heat.shape, jnp.int32).at[order].set(jnp.arange(heat.size, dtype=jnp.int32))
    return (place / jnp.maximum(region.sum(), 1)).reshape(saliency.shape)


def phase_randomized_map(saliency: Array, key: Array) -> Array:
    """A map as coarse as the one given, its hot spots anywhere: what pixels in a random order are to a map of pixels.

    A phase-randomised surrogate (Theiler et al. 1992): the same power spectrum, the phases of white noise. Pixels
    that were drawn one by one would make a grain that no map makes and that networks have never seen.

    Returns:
        float32 [H, W], of the map's mean, and of either sign.
    """
    noise = jnp.fft.rfft2(jax.random.normal(key, saliency.shape)).at[0, 0].set(1)
    spectrum = jnp.abs(jnp.fft.rfft2(saliency.astype(jnp.float32)))
    return jnp.fft.irfft2(spectrum * jnp.exp(1j * jnp.angle(noise)), saliency.shape)


def deletion_curve(score: Callable[[Array], Array], before: Array, after: Array, order: Array, steps: int) -> Array:
    """Scores while a picture turns into another, pixel by pixel (Petsiuk et al. 2018, RISE: deletion and insertion).

    From the radiograph to a blank one it is deletion, from a blank one to the radiograph insertion.

    Args:
        score: picture [H, W] -> float.
        before: picture [H, W].
        after: likewise; equal to `before` outside the region.
        order: of `order_pixels`.
        steps: equal shares of the region that turn at once.

    Returns:
        float [steps + 1], from `before` to `after`.
    """
    shares = jnp.linspace(0, 1, steps + 1)
    return lax.map(lambda share: score(jnp.where(order < share, after, before)), shares)


def auc(curve: Array) -> Array:
    """Area under curves float [..., steps + 1] over 0..1, by the trapezoidal rule: a mean height."""
    return (curve[..., 1:] + curve[..., :-1]).mean(-1) / 2


def rank_correlation(a: Array, b: Array, region: Array) -> Array:
    """Spearman's correlation of two maps inside a region, in -1..1; 0 where either is constant."""
    x, y = (_centre(_rank(saliency, region), region) for saliency in (a, b))
    spread = jnp.sqrt((x**2).sum() * (y**2).sum())
    return jnp.where(spread > 0, (x * y).sum() / jnp.where(spread > 0, spread, 1), 0)


def overlap(a: Array, b: Array, region: Array, share: float) -> Array:
    """What the hottest `share` of a region has in common in two maps, in 0..1: twice the overlap over both sizes.

    Chance is `share`; two constant maps have everything in common.
    """
    hot = [region & (_rank(saliency, region) >= 1 - share) for saliency in (a, b)]
    return 2 * (hot[0] & hot[1]).sum() / jnp.maximum(hot[0].sum() + hot[1].sum(), 1)


def structural_similarity(a: Array, b: Array, region: Array) -> Array:
    """SSIM (Wang et al. 2004) of two maps, each scaled to a peak of 1, its mean over a region; at most 1."""
    a, b = (saliency / jnp.where(saliency.max() > 0, saliency.max(), 1) for saliency in (a, b))
    blur = partial(smooth, deviation=SSIM_DEVIATION)
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b, covariance = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    first, second = SSIM_CONSTANTS
    likeness = (2 * mean_a * mean_b + first) * (2 * covariance + second)
    likeness /= (mean_a**2 + mean_b**2 + first) * (variance_a + variance_b + second)
    return (likeness * region).sum() / jnp.maximum(region.sum(), 1)


def smooth(image: Array, deviation: float) -> Array:
    """Gaussian blur of a picture float [H, W], mirrored at its border; `deviation` in pixels."""
    reach = int(TRUNCATION * deviation + 0.5)
    kernel = jnp.exp(-0.5 * (jnp.arange(-reach, reach + 1) / deviation) ** 2)
    # SSIM is a difference of near numbers, which the products of few digits of GPU and TPU would spoil.
    along = jax.vmap(partial(jnp.convolve, v=kernel / kernel.sum(), mode="valid", precision="highest"))
    return along(along(jnp.pad(image, reach, mode="symmetric")).T).T


def randomize_layers(trained: Mapping[str, Any], drawn: Mapping[str, Any], layers: Collection[str]) -> dict[str, Any]:
    """A network with some of its layers as they were before training (Adebayo et al. 2018, sanity checks).

    Args:
        trained: variables, {"params", "batch_stats"}.
        drawn: random ones of the same form.
        layers: the layers to re-draw, of `from_config.layer_paths`.
    """
    random = flatten_dict(drawn, keep_empty_nodes=True)
    return unflatten_dict(
        {
            path: random[path] if "/".join(path[1:-1]) in layers else leaf
            for path, leaf in flatten_dict(trained, keep_empty_nodes=True).items()
        }
    )


def _rank(saliency: Array, region: Array) -> Array:
    """Share of a region that is colder than each of its pixels, a tie counting half: float32 [H, W]."""
    heat = jnp.where(region, saliency, jnp.inf).ravel()
    ordered = jnp.sort(heat)
    colder, not_hotter = (jnp.searchsorted(ordered, heat, side=side, method="sort") for side in ("left", "right"))
    return ((colder + not_hotter) / (2 * jnp.maximum(region.sum(), 1))).reshape(saliency.shape)


def _centre(values: Array, region: Array) -> Array:
    """Values less their mean in the region; 0 outside it."""
    inside = jnp.where(region, values, 0)
    return jnp.where(region, inside - inside.sum() / jnp.maximum(region.sum(), 1), 0)
