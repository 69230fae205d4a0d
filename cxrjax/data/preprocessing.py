"""Convert native gray levels to the uint8 square the networks see: borders off, histogram, gamma, resize.

The method is the data preprocessing of the paper; its original is `segmentation/mydataset.py` (`pre_processing`,
`hist_specification`, `get_original`). As there, the picture is squashed to a square and not padded: anatomy keeps its
place in the frame and loses its aspect ratio, so that what measures shapes has to undo it.
"""

import cv2
import numpy as np

from cxrjax.io.borders import Borders, find, mask_content
from cxrjax.io.crop import Crop, cut, scale
from cxrjax.io.radiograph import Radiograph

JSRT_LOW_OFFSET = 10  # pixels; the original's `flag_jsrt`


def find_borders(radiograph: Radiograph, method: str) -> Borders:
    """Find the borders of a radiograph; see `cxrjax.io.borders.find` for the methods."""
    return find(radiograph.pixels, inverted=radiograph.inverted, method=method)


def standardize(
    radiograph: Radiograph,
    *,
    size: int,
    gamma: float,
    equalize: bool = True,
    borders: str | Borders = "uniform",
) -> np.ndarray:
    """Make radiographs of any scanner, depth, size and border alike: air dark, bone bright, every level used evenly.

    Args:
        radiograph: as read.
        size: side of the square, pixels.
        gamma: exponent after equalisation; below 1 brightens.
        equalize: False leaves the gray levels as they are, at 8 bit; see `scale_levels`.
        borders: the method to find them, or the result of `find_borders`, so that they are not searched for again.

    Returns:
        [size, size] uint8.

    Raises:
        ValueError: a single gray level is left to equalize inside the borders.
    """
    found = find_borders(radiograph, borders) if isinstance(borders, str) else borders
    pixels = cut(radiograph.pixels, found.crop)
    counted = mask_content(found, pixels.shape)
    if not equalize:
        levels = rescale_intensity(pixels, gamma=gamma, inverted=radiograph.inverted)
    elif radiograph.kind == "jsrt":
        levels = equalize_histogram(pixels, gamma=gamma, inverted=True, low_offset=JSRT_LOW_OFFSET, counted=counted)
    elif radiograph.inverted:
        # Inverted before and not after, so that a scene comes out the same from MONOCHROME1 as from MONOCHROME2.
        levels = equalize_histogram(pixels.max() - pixels, gamma=gamma, counted=counted)
    else:
        levels = equalize_histogram(pixels, gamma=gamma, counted=counted)
    return np.rint(np.clip(_resize(levels, size), 0, 255)).astype(np.uint8)


def standardize_mask(mask: np.ndarray, radiograph: Radiograph, crop: Crop, *, size: int) -> np.ndarray:
    """Crop and resize a mask in step with `standardise`, by nearest neighbor.

    Args:
        mask: [h, w] bool or uint8 labels over the whole radiograph; its resolution may differ.
        radiograph: the one the mask was drawn on.
        crop: of the radiograph; see `find_borders`.
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
    cropped = cut(mask, scale(crop, radiograph.pixels.shape, mask.shape)).astype(np.uint8)
    return cv2.resize(cropped, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)


def equalize_histogram(
    pixels: np.ndarray,
    *,
    gamma: float,
    inverted: bool = False,
    low_offset: int = 0,
    counted: np.ndarray | None = None,
) -> np.ndarray:
    """Equalises the histogram at native depth, then applies gamma.

    The original's treatment of JSRT files is `inverted=True, low_offset=10`; of all others, the defaults.

    Args:
        pixels: [H, W] uint8 or uint16.
        gamma: exponent on the equalised value scaled to 0..1.
        inverted: high pixel values come out dark.
        low_offset: pixels above the lowest level that must be counted before the range begins; what is below is 0.
        counted: [H, W] uint8, 1 where a pixel counts in the histogram; None: everywhere. The others get the levels
            that counted pixels of their value have.

    Returns:
        [H, W] float32, 0..255, both ends reached where pixels count.

    Raises:
        ValueError: a single grey level, or none beyond `low_offset`.
    """
    depth = np.iinfo(pixels.dtype).max + 1
    counts = cv2.calcHist([pixels], [0], counted, [depth], [0, depth]).ravel().astype(np.int64)
    cumulated = counts.cumsum()
    lowest = counts[np.flatnonzero(counts)[0]]
    first = np.searchsorted(cumulated, lowest + low_offset)
    if first == depth or cumulated[first] == cumulated[-1]:
        raise ValueError("a single grey level: there is no histogram to specify")
    share = np.zeros(depth)
    share[first:] = (cumulated[first:] - cumulated[first]) / (cumulated[-1] - cumulated[first])
    if inverted:
        share[first:] = 1 - share[first:]
    return cv2.LUT(pixels, (255 * share**gamma).astype(np.float32))


def rescale_intensity(pixels: np.ndarray, *, gamma: float, inverted: bool = False) -> np.ndarray:
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


def _resize(levels: np.ndarray, size: int) -> np.ndarray:
    """Averages along a side that shrinks (no aliasing), then interpolates along a side that grows."""
    height, width = levels.shape
    shrunk = cv2.resize(levels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_CUBIC)
