"""Random gray levels, sharpness, resolution and JPEG quality, by which one source differs from another.

A network that is shown each radiograph in many appearances cannot recognize the source by one of them (Zhang et al.
2020, "Generalizing deep learning for medical image segmentation to unseen domains via deep stacked transformation",
which varies the same properties). The ranges are ours.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

_MAX_LOG_GAMMA = 0.5  # gray levels are raised to a power between exp(-0.5) and exp(0.5)
_MAX_LOG_GAIN = 0.2  # and multiplied by a factor between exp(-0.2) and exp(0.2)
_BLUR = np.array([1, 4, 6, 4, 1]) / 16  # binomial kernel of the sharpness
_REDUCTIONS = (1, 2, 3)  # factors by which the resolution is reduced
_JPEG_QUALITY = (10.0, 95.0)
# Quantization of the luminance at quality 50; ITU-T T.81, table K.1.
_JPEG_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def vary(key: Key[Array, ""], image: Float[Array, "h w *c"], probability: float) -> Float[Array, "h w *c"]:
    """Change the gray levels, the sharpness, the resolution and the JPEG quality of an image at random.

    Args:
        key: random key.
        image: in 0..1; all channels are changed alike.
        probability: of each of the four changes.

    Returns:
        The changed image in 0..1.
    """
    keys = jax.random.split(key, 5)
    changed = jax.random.uniform(keys[0], (4,)) < probability
    image = jnp.where(changed[0], _vary_gray_levels(keys[1], image), image)
    image = jnp.where(changed[1], _vary_sharpness(keys[2], image), image)
    image = jnp.where(changed[2], _vary_resolution(keys[3], image), image)
    quality = jax.random.uniform(keys[4], (), minval=_JPEG_QUALITY[0], maxval=_JPEG_QUALITY[1])
    return jnp.where(changed[3], compress_jpeg(image, quality), image)


def _vary_gray_levels(key: Key[Array, ""], image: Float[Array, "h w *c"]) -> Float[Array, "h w *c"]:
    log_gamma, log_gain = jax.random.uniform(key, (2,), minval=-1, maxval=1)
    power = jnp.exp(_MAX_LOG_GAMMA * log_gamma)
    return jnp.clip(jnp.exp(_MAX_LOG_GAIN * log_gain) * jnp.maximum(image, 1e-6) ** power, 0, 1)


def _vary_sharpness(key: Key[Array, ""], image: Float[Array, "h w *c"]) -> Float[Array, "h w *c"]:
    """Blur (amount -1) or sharpen (amount 1) by a binomial kernel, with the edge pixels repeated outside."""
    amount = jax.random.uniform(key, (), minval=-1, maxval=1)
    blurred = image
    for axis in (0, 1):
        size = image.shape[axis]
        padded = jnp.pad(blurred, [(2, 2) if i == axis else (0, 0) for i in range(image.ndim)], mode="edge")
        shifted = [jax.lax.slice_in_dim(padded, start, start + size, axis=axis) for start in range(len(_BLUR))]
        blurred = sum(weight * part for weight, part in zip(_BLUR.tolist(), shifted, strict=True))
    return jnp.clip(image + amount * (image - blurred), 0, 1)


def _vary_resolution(key: Key[Array, ""], image: Float[Array, "h w *c"]) -> Float[Array, "h w *c"]:
    height, width = image.shape[:2]
    versions = []
    for factor in _REDUCTIONS:
        small = jax.image.resize(image, (max(1, height // factor), max(1, width // factor), *image.shape[2:]), "linear")
        versions.append(jax.image.resize(small, image.shape, "linear"))
    return jnp.stack(versions)[jax.random.randint(key, (), 0, len(versions))]


def compress_jpeg(image: Float[Array, "h w *c"], quality: Float[Array, ""] | float) -> Float[Array, "h w *c"]:
    """Quantize an image as JPEG does: in the cosine transform of blocks of 8 x 8 pixels; ITU-T T.81.

    Args:
        image: in 0..1; a color image is compressed channel by channel with the table of the luminance.
        quality: 1..100, by the scale of the Independent JPEG Group.
    """
    if image.ndim == 3:
        return jax.vmap(compress_jpeg, (-1, None), -1)(image, quality)
    height, width = image.shape
    padded = jnp.pad(255 * image - 128, ((0, -height % 8), (0, -width % 8)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8)
    frequency = np.arange(8)[:, None]
    transform = np.cos((2 * np.arange(8) + 1) * frequency * np.pi / 16) * np.where(frequency == 0, np.sqrt(0.5), 1) / 2
    matrix = jnp.asarray(transform, jnp.float32)
    scale = jnp.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = jnp.clip(jnp.floor(_JPEG_TABLE * scale + 0.5), 1, 255)[None, :, None, :]
    coefficients = jnp.einsum("ui,aibj,vj->aubv", matrix, blocks, matrix, precision="highest")
    quantized = jnp.round(coefficients / table) * table
    restored = jnp.einsum("ui,aubv,vj->aibj", matrix, quantized, matrix, precision="highest").reshape(padded.shape)
    return jnp.clip((restored[:height, :width] + 128) / 255, 0, 1)
