"""Amplitude spectra mixed with those of other radiographs of the batch.

Xu et al. 2021, "A Fourier-based framework for domain generalization", section 3.2: the phase of the Fourier transform
holds the shapes, and the amplitude much of what differs from scanner to scanner: sharpness, noise, scan lines. Each
amplitude becomes a mixture with that of another radiograph, with a fraction drawn from 0 to 1, and the phase stays.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def mix(key: Key[Array, ""], images: Float[Array, "n h w *c"], probability: float) -> Float[Array, "n h w *c"]:
    """Mix the amplitude spectrum of images with that of others, drawn at random.

    Args:
        key: random key.
        images: of a batch, in 0..1; each channel is transformed alone.
        probability: of each image to be changed.

    Returns:
        The images, in 0..1.
    """
    order_key, choice_key, fraction_key = jax.random.split(key, 3)
    shape = (len(images),) + (1,) * (images.ndim - 1)
    donors = jax.random.permutation(order_key, len(images))
    changed = jax.random.uniform(choice_key, shape) < probability
    fraction = jnp.where(changed, jax.random.uniform(fraction_key, shape), 0.0)
    spectrum = jnp.fft.rfft2(images, axes=(1, 2))
    amplitude = jnp.abs(spectrum)
    mixed = (1 - fraction) * amplitude + fraction * amplitude[donors]
    scaled = spectrum * mixed / jnp.maximum(amplitude, 1e-6)
    restored = jnp.fft.irfft2(scaled, s=images.shape[1:3], axes=(1, 2))
    return jnp.where(changed, jnp.clip(restored, 0, 1), images)
