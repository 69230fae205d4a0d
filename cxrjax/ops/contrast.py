"""Enhanced channels of a radiograph in place of its gray levels: global threshold, local contrast and edges.

singhaxn/COVID-19_CXR_AI, `inference/classifier_common.py`. The channels equal those of OpenCV, and run on the
accelerator and under vmap: the threshold and the median exactly, the others within one gray level, by rounding of sums.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float32, Int, Int32, UInt8

from cxrjax.runtime.arrays import AnyArray

CLIP_LIMIT = 3.0  # of CLAHE; classifier_common.py:11
TILES = 8  # of CLAHE, per side; classifier_common.py:11
BLUR = 0.005  # window of the median, as a share of the side; classifier_common.py:13-33
NEIGHBORHOOD = 0.02  # window of the adaptive threshold, as a share of the side; classifier_common.py:13-33
SMALLEST_WINDOW = 7  # pixels; classifier_common.py:13-33
BELOW_MEAN = 2  # gray levels; classifier_common.py:34
# Values of `cv2.getGaussianKernel(window, 0)` for small windows, in 64ths and 256ths; its formula only approximates
# them.
SMALL_KERNELS = {7: (2, 7, 14, 18, 14, 7, 2), 9: (4, 13, 30, 51, 60, 51, 30, 13, 4)}
LEVELS = 256


def enhance_channels(image: UInt8[AnyArray, "s s"], kind: str) -> UInt8[Array, "s s *c"]:
    """Compute the channels that a classifier reads.

    Args:
        image: of at least 8 pixels per side.
        kind: "gray", or "enhanced" for Otsu's threshold, CLAHE and the adaptive threshold of the blurred image.

    Returns:
        The image itself, or three channels, of which the first and the last are 0 or 255.

    Raises:
        ValueError: the kind is unknown.
    """
    image = jnp.asarray(image)
    if kind == "gray":
        return image
    if kind != "enhanced":
        raise ValueError(f"no patches.channels called {kind!r}; there are gray, enhanced")
    size = image.shape[0]
    bright = jnp.where(image > otsu_threshold(image), 255, 0)
    blurred = median_blur(image, odd_window(size, BLUR))
    edges = jnp.where(adaptive_threshold(blurred, odd_window(size, NEIGHBORHOOD), BELOW_MEAN), 255, 0)
    return jnp.stack([bright, clahe(image, CLIP_LIMIT, TILES), edges], axis=-1).astype(jnp.uint8)


def odd_window(size: int, share: float) -> int:
    """Return the side of a window in pixels: a share of the image's side, rounded down to an odd number, at least 7."""
    window = int(size * share)
    return max(window - (1 - window % 2), SMALLEST_WINDOW)


def otsu_threshold(image: UInt8[AnyArray, "..."]) -> Int32[Array, ""]:
    """Compute the gray level that maximizes the variance between the pixels above it and the others (Otsu 1979).

    Args:
        image: gray levels.

    Returns:
        The lowest such level; 0 if all pixels have the same level.
    """
    level = jnp.arange(LEVELS) - LEVELS // 2
    counts = _histogram(image.ravel())
    lower = jnp.cumsum(counts)  # pixels up to each level
    upper = image.size - lower  # pixels above each level
    moment = jnp.cumsum(counts * level)
    mean = moment[-1] / image.size
    is_split = (lower > 0) & (upper > 0)

    def relative_gain(anchor: Int32[Array, ""]) -> Float32[Array, "256"]:
        """Compute the relative increase of the variance between both groups from the anchor level to each level."""
        moved = lower - lower[anchor]
        x = (moment - moment[anchor] - moved * mean) / (moment[anchor] - lower[anchor] * mean)
        y = moved / lower[anchor]
        z = moved / upper[anchor]
        return jnp.where(is_split, (2 * x + x**2 - y + z + y * z) / ((1 + y) * (1 - z)), -jnp.inf)

    # Differences from a nearby anchor resolve levels that float32 could not distinguish from a distant one.
    coarse = jnp.argmax(relative_gain(jnp.argmax(is_split)))
    return jnp.argmax(relative_gain(coarse))


def clahe(image: UInt8[AnyArray, "s s"], clip_limit: float, tiles: int) -> UInt8[Array, "s s"]:
    """Apply CLAHE (Zuiderveld 1994): equalize the clipped histogram of each tile, and interpolate between tiles.

    Args:
        image: of at least `tiles` pixels per side.
        clip_limit: counts of a level are clipped at this multiple of the mean count; the excess is spread over all
            levels.
        tiles: number of tiles along each side.

    Returns:
        The equalized image.

    Examples:
        >>> import cxrjax as cx
        >>> image = np.arange(4096, dtype=np.uint8).reshape(64, 64)
        >>> cx.ops.clahe(image, clip_limit=2.0, tiles=8).shape
        (64, 64)
    """
    size = image.shape[0]
    side = -(-size // tiles)
    padded = jnp.pad(image, (0, side * tiles - size), mode="reflect")
    blocks = padded.reshape(tiles, side, tiles, side).swapaxes(1, 2).reshape(tiles, tiles, -1)
    counts = jax.vmap(jax.vmap(_histogram))(blocks)
    limit = max(int(clip_limit * side**2 / LEVELS), 1)
    excess = jnp.maximum(counts - limit, 0).sum(-1, keepdims=True)
    remainder = excess % LEVELS
    level = jnp.arange(LEVELS)
    step = jnp.maximum(LEVELS // jnp.maximum(remainder, 1), 1)
    gets_remainder = (level % step == 0) & (level // step < remainder)
    counts = jnp.minimum(counts, limit) + excess // LEVELS + gets_remainder
    tables = jnp.round(counts.cumsum(-1) * np.float32(255 / side**2))  # [tiles, tiles, LEVELS]

    position = np.arange(size, dtype=np.float32) / side - 0.5  # of a pixel, in units of the distance of tile centers
    before = np.floor(position).astype(int)
    weight = position - before  # of the tile after the pixel
    near = np.maximum(before, 0)
    far = np.minimum(before + 1, tiles - 1)

    def interpolate_columns(tile_row: Int[np.ndarray, "s"]) -> Float32[Array, "s s"]:
        left = tables[tile_row[:, None], near, image]
        right = tables[tile_row[:, None], far, image]
        return left * (1 - weight) + right * weight

    upper = interpolate_columns(near)
    lower = interpolate_columns(far)
    return jnp.round(upper * (1 - weight)[:, None] + lower * weight[:, None]).astype(jnp.uint8)


def median_blur(image: UInt8[AnyArray, "h w"], window: int) -> UInt8[Array, "h w"]:
    """Compute the median of the square around every pixel, bit by bit; border pixels are repeated outside the image.

    Args:
        image: gray levels.
        window: side of the square in pixels; odd, at most 255.

    Returns:
        The medians.
    """
    height, width = image.shape
    padded = jnp.pad(image, window // 2, mode="edge")

    def refine(k: Int32[Array, ""], median: UInt8[Array, "h w"]) -> UInt8[Array, "h w"]:
        trial = median | jnp.uint8(128) >> k.astype(jnp.uint8)
        neighbors = (padded[r : r + height, c : c + width] for r in range(window) for c in range(window))
        below = sum((pixels < trial).astype(jnp.uint16) for pixels in neighbors)
        return jnp.where(below <= window**2 // 2, trial, median)

    return lax.fori_loop(0, 8, refine, jnp.zeros_like(image))


def adaptive_threshold(image: UInt8[AnyArray, "h w"], window: int, offset: int) -> Bool[Array, "h w"]:
    """Find the pixels that are darker than the Gaussian mean around them, rounded to whole gray levels.

    Args:
        image: gray levels; its border pixels are repeated outside it.
        window: side in pixels of the square of the mean; odd. The standard deviation is OpenCV's for that side.
        offset: minimum difference from the mean in gray levels.

    Returns:
        Whether each pixel is darker.
    """
    height, width = image.shape
    deviation = 0.3 * ((window - 1) / 2 - 1) + 0.8
    gaussian = np.exp(-0.5 * (np.arange(window) - window // 2) ** 2 / deviation**2)
    kernel = np.asarray(SMALL_KERNELS.get(window, gaussian), np.float32)
    kernel /= kernel.sum()
    padded = jnp.pad(image.astype(jnp.float32), window // 2, mode="edge")
    zero = jnp.zeros((), jnp.float32)
    rows = sum((weight * padded[k : k + height] for k, weight in enumerate(kernel)), start=zero)
    mean = sum((weight * rows[:, k : k + width] for k, weight in enumerate(kernel)), start=zero)
    return jnp.asarray(image) <= jnp.round(mean) - offset


def _histogram(levels: UInt8[AnyArray, "pixels"]) -> Int32[Array, "256"]:
    """Count the pixels of each gray level."""
    return jnp.zeros(LEVELS, jnp.int32).at[levels].add(1)
