"""Radiographs mixed with others of the same class from another source.

Yao et al. 2022, "Improving out-of-distribution robustness via selective augmentation", section 3.2, the mixing within a
label: what distinguishes two sources becomes a matter of degree that says nothing of the label, which both have. The
fraction is drawn from a Beta(2, 2) distribution, as there.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

_CONCENTRATION = 2.0  # of the Beta distribution of the fraction; section 4.1


def mix(
    key: Key[Array, ""],
    images: Float[Array, "n h w *c"],
    labels: Int32[Array, "n"],
    sources: Int32[Array, "n"],
    probability: float,
) -> Float[Array, "n h w *c"]:
    """Mix images with others of the batch of the same class and another source, drawn at random.

    Args:
        key: random key.
        images: of a batch; one without another image of its class from another source is not changed.
        labels: class of each image.
        sources: source of each image.
        probability: of each image to be changed.
    """
    partner_key, choice_key, fraction_key = jax.random.split(key, 3)
    fits = (labels[:, None] == labels[None]) & (sources[:, None] != sources[None])
    partners = jnp.where(fits, jax.random.uniform(partner_key, fits.shape), -1.0).argmax(1)
    changed = (jax.random.uniform(choice_key, (len(images),)) < probability) & fits.any(1)
    fraction = jax.random.beta(fraction_key, _CONCENTRATION, _CONCENTRATION, (len(images),))
    weight = jnp.where(changed, fraction, 0.0).reshape((-1,) + (1,) * (images.ndim - 1))
    return (1 - weight) * images + weight * images[partners]
