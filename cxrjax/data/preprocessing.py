"""Convert native gray levels to the uint8 square the networks read: crop borders, equalize, apply gamma, resize.

The method is the data preprocessing of the paper; its original is `segmentation/mydataset.py` (`pre_processing`,
`hist_specification`, `get_original`). As there, the image is resized to a square without padding: the anatomy keeps its
position in the frame and loses its aspect ratio, so that measurements of shape have to undo the resizing.
"""

import cv2
import numpy as np

from cxrjax.io.borders import Borders, content_mask, find
from cxrjax.io.crop import Crop, cut, scale
from cxrjax.io.radiograph import Radiograph

JSRT_LOW_OFFSET = 10  # pixels; applied to JSRT files in the original (`flag_jsrt`)


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
    """Standardize radiographs of any scanner, bit depth, size and border: air is dark, bone bright, the histogram flat.

    Args:
        radiograph: as read.
        size: side of the square, pixels.
        gamma: exponent after equalization; below 1 brightens.
        equalize: False leaves the gray levels as they are, at 8 bit; see `rescale_intensity`.
        borders: the method to find them, or the result of `find_borders`, so that they are not searched for again.

    Returns:
        [size, size] uint8.

    Raises:
        ValueError: the image has a single gray level inside the borders, so that it cannot be equalized.
    """
    if isinstance(borders, str):
        borders = find_borders(radiograph, borders)
    pixels = cut(radiograph.pixels, borders.crop)
    counted = content_mask(borders, pixels.shape)
    if not equalize:
        levels = rescale_intensity(pixels, gamma=gamma, inverted=radiograph.inverted)
    elif radiograph.format == "jsrt":
        levels = equalize_histogram(pixels, gamma=gamma, inverted=True, low_offset=JSRT_LOW_OFFSET, counted=counted)
    elif radiograph.inverted:
        # Inverted before equalization, so that the result is the same for MONOCHROME1 and MONOCHROME2.
        levels = equalize_histogram(pixels.max() - pixels, gamma=gamma, counted=counted)
    else:
        levels = equalize_histogram(pixels, gamma=gamma, counted=counted)
    return np.rint(np.clip(_resize(levels, size), 0, 255)).astype(np.uint8)


def standardize_mask(mask: np.ndarray, radiograph: Radiograph, crop: Crop, *, size: int) -> np.ndarray:
    """Crop and resize a mask in the same way as its radiograph, by nearest neighbor.

    Args:
        mask: [h, w] bool or uint8 labels over the whole radiograph; its resolution may differ.
        radiograph: the radiograph of the mask.
        crop: crop of the radiograph; see `find_borders`.
        size: side of the square, pixels.

    Returns:
        [size, size] uint8 labels.

    Raises:
        ValueError: mask and radiograph have different aspect ratios.
    """
    height, width = radiograph.pixels.shape
    mask_height, mask_width = mask.shape
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
    """Equalize the histogram at native bit depth, then apply gamma.

    In the original, JSRT files have `inverted=True, low_offset=10`, all others the defaults.

    Args:
        pixels: [H, W] uint8 or uint16.
        gamma: exponent of the equalized value scaled to 0..1.
        inverted: whether high pixel values become dark.
        low_offset: number of pixels above the lowest level at which the range begins; lower levels become 0.
        counted: [H, W] uint8, 1 where a pixel counts in the histogram; None: everywhere. The other pixels are mapped
            like counted pixels of the same value.

    Returns:
        [H, W] float32, 0..255; the counted pixels reach both ends.

    Raises:
        ValueError: the image has a single gray level, or none beyond `low_offset`.
    """
    depth = np.iinfo(pixels.dtype).max + 1
    counts = cv2.calcHist([pixels], [0], counted, [depth], [0, depth]).ravel().astype(np.int64)
    cumulative = counts.cumsum()
    lowest = counts[np.flatnonzero(counts)[0]]
    start = np.searchsorted(cumulative, lowest + low_offset)
    if start == depth or cumulative[start] == cumulative[-1]:
        raise ValueError("a single gray level: the histogram cannot be equalized")
    share = np.zeros(depth)
    share[start:] = (cumulative[start:] - cumulative[start]) / (cumulative[-1] - cumulative[start])
    if inverted:
        share[start:] = 1 - share[start:]
    return cv2.LUT(pixels, (255 * share**gamma).astype(np.float32))


def rescale_intensity(pixels: np.ndarray, *, gamma: float, inverted: bool = False) -> np.ndarray:
    """Scale the gray levels to 0..255 by their bit depth, then apply gamma; the identity for 8 bit and gamma 1.

    Args:
        pixels: [H, W] uint8 or uint16; the bit depth, at least 8, is that of the highest value.
        gamma: exponent of the value scaled to 0..1.
        inverted: whether high pixel values become dark.

    Returns:
        [H, W] float32, 0..255.
    """
    levels = 1 << max(8, int(pixels.max()).bit_length())
    share = np.linspace(1, 0, levels) if inverted else np.linspace(0, 1, levels)
    return (255 * share**gamma).astype(np.float32)[pixels]


def _resize(levels: np.ndarray, size: int) -> np.ndarray:
    """Average along a side that shrinks (no aliasing), then interpolate along a side that grows."""
    height, width = levels.shape
    shrunk = cv2.resize(levels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_CUBIC)
