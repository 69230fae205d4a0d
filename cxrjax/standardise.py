"""Native depth to the uint8 square the networks see: blank border off, histogram specified or not, gamma, resize.

The method is the data preprocessing of the paper; its original is `segmentation/mydataset.py` (`pre_processing`,
`hist_specification`, `get_original`). As there, the picture is squashed to a square and not padded: anatomy keeps its
place in the frame and loses its aspect ratio, so that what measures shapes has to undo it.
"""

import cv2
import numpy as np

from cxrjax.radiograph import Radiograph

JSRT_LOW_OFFSET = 10  # pixels; the original's `flag_jsrt`


def standardise(radiograph: Radiograph, *, size: int, gamma: float, equalise: bool = True) -> np.ndarray:
    """Makes radiographs of any scanner, depth and size alike: air dark, bone bright, every level used evenly.

    Args:
        radiograph: as read.
        size: side of the square, pixels.
        gamma: exponent after equalisation; below 1 brightens.
        equalise: False leaves the grey levels as they are, at 8 bit; see `scale_levels`.

    Returns:
        [size, size] uint8.

    Raises:
        ValueError: a single grey level is left to equalise once the blank border is off.
    """
    pixels = radiograph.pixels[: kept_rows(radiograph.pixels, inverted=radiograph.inverted)]
    if not equalise:
        levels = scale_levels(pixels, gamma=gamma, inverted=radiograph.inverted)
    elif radiograph.kind == "jsrt":
        levels = specify_histogram(pixels, gamma=gamma, inverted=True, low_offset=JSRT_LOW_OFFSET)
    elif radiograph.inverted:
        # Turned before and not after, so that a scene comes out the same from MONOCHROME1 as from MONOCHROME2.
        levels = specify_histogram(pixels.max() - pixels, gamma=gamma)
    else:
        levels = specify_histogram(pixels, gamma=gamma)
    return np.rint(np.clip(_resize(levels, size), 0, 255)).astype(np.uint8)


def standardise_mask(mask: np.ndarray, radiograph: Radiograph, *, size: int) -> np.ndarray:
    """Crops and resizes a mask in step with `standardise`, nearest neighbour.

    Args:
        mask: [h, w] bool or uint8 labels over the whole radiograph; its resolution may differ.
        radiograph: the one the mask was drawn on.
        size: side of the square, pixels.

    Returns:
        [size, size] uint8 labels.

    Raises:
        ValueError: the mask has other proportions than the radiograph.
    """
    (height, width), (mask_height, mask_width) = radiograph.pixels.shape, mask.shape
    if abs(mask_height * width / height - mask_width) > 1:
        raise ValueError(
            f"a mask of {mask.shape} does not lie over the radiograph {radiograph.path} of {(height, width)}"
        )
    kept = kept_rows(radiograph.pixels, inverted=radiograph.inverted)
    cropped = mask[: round(mask_height * kept / height)].astype(np.uint8)
    return cv2.resize(cropped, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)


def specify_histogram(pixels: np.ndarray, *, gamma: float, inverted: bool = False, low_offset: int = 0) -> np.ndarray:
    """Equalises the histogram at native depth, then applies gamma.

    The original's treatment of JSRT files is `inverted=True, low_offset=10`; of all others, the defaults.

    Args:
        pixels: [H, W] uint8 or uint16.
        gamma: exponent on the equalised value scaled to 0..1.
        inverted: high pixel values come out dark.
        low_offset: pixels above the lowest level that must be counted before the range begins; what is below is 0.

    Returns:
        [H, W] float32, 0..255, both ends reached.

    Raises:
        ValueError: a single grey level, or none beyond `low_offset`.
    """
    depth = np.iinfo(pixels.dtype).max + 1
    counts = cv2.calcHist([pixels], [0], None, [depth], [0, depth]).ravel().astype(np.int64)
    cumulated = counts.cumsum()
    first = np.searchsorted(cumulated, counts[pixels.min()] + low_offset)
    if first == depth or cumulated[first] == pixels.size:
        raise ValueError("a single grey level: there is no histogram to specify")
    share = np.zeros(depth)
    share[first:] = (cumulated[first:] - cumulated[first]) / (pixels.size - cumulated[first])
    if inverted:
        share[first:] = 1 - share[first:]
    return cv2.LUT(pixels, (255 * share**gamma).astype(np.float32))


def scale_levels(pixels: np.ndarray, *, gamma: float, inverted: bool = False) -> np.ndarray:
    """Brings the grey levels to 0..255 by their depth alone, then applies gamma; of 8 bit and gamma 1, they stay.

    Args:
        pixels: [H, W] uint8 or uint16; of how many bits, 8 at least, the highest of them tells.
        gamma: exponent on the value scaled to 0..1.
        inverted: high pixel values come out dark.

    Returns:
        [H, W] float32, 0..255.
    """
    levels = 1 << max(8, int(pixels.max()).bit_length())
    share = np.linspace(1, 0, levels) if inverted else np.linspace(0, 1, levels)
    return (255 * share**gamma).astype(np.float32)[pixels]


def kept_rows(pixels: np.ndarray, *, inverted: bool = False) -> int:
    """Counts the rows above the blank lower border; at least the upper half is always kept.

    Blank is a pixel of 0 (where inverted: of the highest value); a border row is blank from side to side, like all
    below it. The original looks at the centre column alone and cuts at its first zero below mid-height. On a true
    border both agree, but here one black pixel in the abdomen does not cost the picture its lower part.
    """
    blank = pixels.max() if inverted else 0
    half = pixels.shape[0] // 2
    occupied = np.flatnonzero((pixels[half:] != blank).any(axis=1))
    return half + (int(occupied[-1]) + 1 if occupied.size else 0)


def _resize(levels: np.ndarray, size: int) -> np.ndarray:
    """Averages along a side that shrinks (no aliasing), then interpolates along a side that grows."""
    height, width = levels.shape
    shrunk = cv2.resize(levels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_CUBIC)
