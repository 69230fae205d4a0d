"""A crop of a picture: how to apply it, at any size of the picture, and how to undo it."""

from typing import NamedTuple

import cv2
import numpy as np


class Crop(NamedTuple):
    """Lines to cut off at each side of a picture, in pixels."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


def cut(array: np.ndarray, crop: Crop) -> np.ndarray:
    """Return the part of an array [H, W, …] that a crop leaves, as a view."""
    height, width = array.shape[:2]
    return array[crop.top : height - crop.bottom, crop.left : width - crop.right]


def scale(crop: Crop, shape: tuple[int, int], target: tuple[int, int]) -> Crop:
    """Convert a crop for another resolution of the same picture; at least one pixel stays.

    Args:
        crop: of the picture.
        shape: height and width of the picture.
        target: height and width at the other resolution.
    """
    top, bottom = _scale_ends(crop.top, crop.bottom, shape[0], target[0])
    left, right = _scale_ends(crop.left, crop.right, shape[1], target[1])
    return Crop(top, bottom, left, right)


def restore(array: np.ndarray, crop: Crop, shape: tuple[int, int], *, fill: float = 0) -> np.ndarray:
    """Put an array over the standardized square back into the frame of the file: the inverse of crop and resize.

    Args:
        array: [S, S] or of any other size. bool and integers are labels and resized by nearest neighbor, floats
            bilinearly.
        crop: of the file's radiograph.
        shape: height H and width W of the file's radiograph.
        fill: value of the margins.

    Returns:
        [H, W], of the array's type.
    """
    height = shape[0] - crop.top - crop.bottom
    width = shape[1] - crop.left - crop.right
    is_float = np.issubdtype(array.dtype, np.floating)
    values = array.astype(np.uint8) if array.dtype == bool else array
    interpolation = cv2.INTER_LINEAR if is_float else cv2.INTER_NEAREST_EXACT
    framed = np.full(shape, fill, array.dtype)
    cut(framed, crop)[:] = cv2.resize(values, (width, height), interpolation=interpolation)
    return framed


def inward_lines(pixels: np.ndarray, side: str, most: int) -> np.ndarray:
    """Return lines [n, depth] that run from a side of a picture to its middle, outermost pixel first.

    Args:
        pixels: [H, W].
        side: a field of `Crop`.
        most: n stays below twice this number; the lines are evenly spaced.
    """
    half_height = pixels.shape[0] // 2
    half_width = pixels.shape[1] // 2
    inward = {
        "top": pixels[:half_height].T,
        "bottom": pixels[: -half_height - 1 : -1].T,
        "left": pixels[:, :half_width],
        "right": pixels[:, : -half_width - 1 : -1],
    }[side]
    return inward[:: max(1, len(inward) // most)]


def _scale_ends(start: int, end: int, length: int, target: int) -> tuple[int, int]:
    first = min(round(start * target / length), target - 1)
    last = max(round((length - end) * target / length), first + 1)
    return first, target - last
