"""Three made channels of a radiograph in place of its grey levels: what is bright, local contrast, and edges.

singhaxn/COVID-19_CXR_AI, `inference/classifier_common.py`. Each channel equals OpenCV's, here on the accelerator and
under vmap: the threshold and the median exactly, the others but for a grey level where a sum rounds otherwise.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

CLIP_LIMIT, TILES = 3.0, 8  # classifier_common.py:11
BLUR, NEIGHBOURHOOD, SMALLEST_WINDOW = 0.005, 0.02, 7  # shares of the side, and pixels; classifier_common.py:13-33
BELOW_MEAN = 2  # grey levels; classifier_common.py:34
# What `cv2.getGaussianKernel(side, 0)` gives for small windows, in 64ths and 256ths; its formula does so only nearly.
SMALL_BELLS = {7: (2, 7, 14, 18, 14, 7, 2), 9: (4, 13, 30, 51, 60, 51, 30, 13, 4)}
LEVELS = 256


def enhance_channels(image: Array, kind: str) -> Array:
    """What a classifier is to see of a picture; of "contrast": Otsu's threshold, CLAHE, adaptive threshold of the blur.

    Args:
        image: uint8 [S, S], S at least 8.
        kind: "grey" or "contrast".

    Returns:
        The picture itself, or uint8 [S, S, 3], of which the first and the last are 0 or 255.

    Raises:
        ValueError: no such kind.
    """
    if kind == "grey":
        return image
    if kind != "contrast":
        raise ValueError(f"no patches.channels called {kind!r}; there are grey, contrast")
    size = image.shape[0]
    bright = jnp.where(image > otsu_threshold(image), 255, 0)
    blurred = median_blur(image, odd_window(size, BLUR))
    edges = jnp.where(adaptive_threshold(blurred, odd_window(size, NEIGHBOURHOOD), BELOW_MEAN), 255, 0)
    return jnp.stack([bright, clahe(image, CLIP_LIMIT, TILES), edges], axis=-1).astype(jnp.uint8)


def odd_window(size: int, share: float) -> int:
    """Side of a window, in pixels: a share of the picture's side, rounded down to an odd number, or the smallest."""
    window = int(size * share)
    return max(window - (1 - window % 2), SMALLEST_WINDOW)


def otsu_threshold(image: Array) -> Array:
    """The grey level that parts what is above it from the rest with most variance between the two (Otsu 1979).

    Args:
        image: uint8, of any shape.

    Returns:
        int32, the lowest such level; 0 where there is one level alone.
    """
    level = jnp.arange(LEVELS) - LEVELS // 2
    counts = _histogram(image.ravel())
    lower, moment = jnp.cumsum(counts), jnp.cumsum(counts * level)
    upper, mean = image.size - lower, moment[-1] / image.size
    parted = (lower > 0) & (upper > 0)

    def gain(anchor: Array) -> Array:
        """By what share the variance between the two parts is more at each level than at the anchor."""
        further = lower - lower[anchor]
        x = (moment - moment[anchor] - further * mean) / (moment[anchor] - lower[anchor] * mean)
        y, z = further / lower[anchor], further / upper[anchor]
        return jnp.where(parted, (2 * x + x**2 - y + z + y * z) / ((1 + y) * (1 - z)), -jnp.inf)

    # Seen from close by, in differences, float32 tells levels apart that it does not from afar.
    return jnp.argmax(gain(jnp.argmax(gain(jnp.argmax(parted)))))


def clahe(image: Array, clip_limit: float, tiles: int) -> Array:
    """CLAHE (Zuiderveld 1994): each tile's histogram is cut and equalised, and between tiles the levels interpolated.

    Args:
        image: uint8 [S, S], S at least `tiles`.
        clip_limit: no level may be more frequent than this times the mean; what is cut off is spread over all levels.
        tiles: how many, along each side.

    Returns:
        uint8 [S, S].

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
    rest = excess % LEVELS
    level, step = jnp.arange(LEVELS), jnp.maximum(LEVELS // jnp.maximum(rest, 1), 1)
    counts = jnp.minimum(counts, limit) + excess // LEVELS + ((level % step == 0) & (level // step < rest))
    tables = jnp.round(counts.cumsum(-1) * np.float32(255 / side**2))

    place = np.arange(size, dtype=np.float32) / side - 0.5  # of a pixel's middle among those of the tiles
    before = np.floor(place).astype(int)
    share = place - before
    near, far = np.maximum(before, 0), np.minimum(before + 1, tiles - 1)

    def along(row: np.ndarray) -> Array:
        left, right = (tables[row[:, None], column, image] for column in (near, far))
        return left * (1 - share) + right * share

    return jnp.round(along(near) * (1 - share)[:, None] + along(far) * share[:, None]).astype(jnp.uint8)


def median_blur(image: Array, window: int) -> Array:
    """The median of the square round every pixel, found bit by bit; the border is repeated beyond the picture.

    Args:
        image: uint8 [H, W].
        window: side of the square, in pixels; odd, at most 255.

    Returns:
        uint8 [H, W].
    """
    height, width = image.shape
    padded = jnp.pad(image, window // 2, mode="edge")

    def refine(k: Array, median: Array) -> Array:
        trial = median | jnp.uint8(128) >> k.astype(jnp.uint8)
        around = (padded[r : r + height, c : c + width] for r in range(window) for c in range(window))
        below = sum((pixels < trial).astype(jnp.uint16) for pixels in around)
        return jnp.where(below <= window**2 // 2, trial, median)

    return lax.fori_loop(0, 8, refine, jnp.zeros_like(image))


def adaptive_threshold(image: Array, window: int, by: int) -> Array:
    """Where a picture is darker than the Gaussian mean round it, both in whole grey levels.

    Args:
        image: uint8 [H, W]; its border is repeated beyond it.
        window: side of the square that the mean is of, in pixels; odd. The deviation is OpenCV's for that side.
        by: by how many grey levels, at least.

    Returns:
        bool [H, W].
    """
    deviation = 0.3 * ((window - 1) / 2 - 1) + 0.8
    formula = np.exp(-0.5 * (np.arange(window) - window // 2) ** 2 / deviation**2)
    bell = np.asarray(SMALL_BELLS.get(window, formula), np.float32)
    bell /= bell.sum()
    (height, width), padded = image.shape, jnp.pad(image.astype(jnp.float32), window // 2, mode="edge")
    rows = sum(weight * padded[k : k + height] for k, weight in enumerate(bell))
    mean = sum(weight * rows[:, k : k + width] for k, weight in enumerate(bell))
    return image <= jnp.round(mean) - by


def _histogram(levels: Array) -> Array:
    """Levels uint8 [n] -> how many pixels there are of each, int32 [256]."""
    return jnp.zeros(LEVELS, jnp.int32).at[levels].add(1)
