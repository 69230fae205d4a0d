"""Crops of an image: applying them at any resolution, and undoing them."""

from typing import NamedTuple

import cv2
import numpy as np


class Crop(NamedTuple):
    """Number of lines to cut off at each side of an image."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


class Frame(NamedTuple):
    """Place of a standardized square in its radiograph.

    Attributes:
        height: of the upright radiograph, in pixels.
        width: of the upright radiograph, in pixels.
        crop: lines that were cut off before the rest was resized to the square.
    """

    height: int
    width: int
    crop: Crop = Crop()

    @property
    def inner_height(self) -> int:
        """Height of what the square shows, in pixels of the radiograph."""
        return self.height - self.crop.top - self.crop.bottom

    @property
    def inner_width(self) -> int:
        """Width of what the square shows, in pixels of the radiograph."""
        return self.width - self.crop.left - self.crop.right

    def restore(self, array: np.ndarray, *, fill: float = 0) -> np.ndarray:
        """Map an array over the square to the radiograph: [height, width]; see `restore`."""
        return restore(array, self.crop, (self.height, self.width), fill=fill)

    def resize(self, height: int, width: int) -> "Frame":
        """Return the frame in the same radiograph of another resolution."""
        return Frame(height, width, scale(self.crop, (self.height, self.width), (height, width)))

    def line_counts(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how many lines of the radiograph show each line of a label map over the square (see `restore`).

        Args:
            size: side of the square in pixels.

        Returns:
            For the rows and for the columns, int64 [size]; 0 for lines that are left out.
        """
        return _count_lines(size, self.inner_height), _count_lines(size, self.inner_width)

    def locate(self, points: np.ndarray, size: int) -> np.ndarray:
        """Convert pixel coordinates in the square to those in the radiograph.

        Args:
            points: [..., 2], (row, column) of the centers of pixels; the first pixel is 0.
            size: side of the square in pixels.

        Returns:
            float64 [..., 2].
        """
        inside = np.array([self.inner_height, self.inner_width])
        return (np.asarray(points) + 0.5) * inside / size - 0.5 + (self.crop.top, self.crop.left)


def cut(array: np.ndarray, crop: Crop) -> np.ndarray:
    """Crop an array [H, W, …]; returns a view."""
    height, width = array.shape[:2]
    return array[crop.top : height - crop.bottom, crop.left : width - crop.right]


def scale(crop: Crop, shape: tuple[int, int], target: tuple[int, int]) -> Crop:
    """Convert a crop to another resolution of the same image; at least one pixel remains.

    Args:
        crop: crop of the image.
        shape: height and width of the image.
        target: height and width at the other resolution.
    """
    top, bottom = _scale_ends(crop.top, crop.bottom, shape[0], target[0])
    left, right = _scale_ends(crop.left, crop.right, shape[1], target[1])
    return Crop(top, bottom, left, right)


def restore(array: np.ndarray, crop: Crop, shape: tuple[int, int], *, fill: float = 0) -> np.ndarray:
    """Map an array over the standardized square back to the frame of the file: the inverse of crop and resize.

    Args:
        array: [S, S] or any other shape. bool and integers are labels, resized by nearest neighbor; floats are resized
            bilinearly, or averaged where both sides shrink.
        crop: crop of the file's radiograph.
        shape: height H and width W of the file's radiograph.
        fill: value of the margins.

    Returns:
        [H, W], with the array's dtype.
    """
    height = shape[0] - crop.top - crop.bottom
    width = shape[1] - crop.left - crop.right
    is_float = np.issubdtype(array.dtype, np.floating)
    values = array.astype(np.uint8) if array.dtype == bool else array
    shrinks = height < len(array) and width < array.shape[1]
    interpolation = cv2.INTER_NEAREST_EXACT if not is_float else cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    framed = np.full(shape, fill, array.dtype)
    cut(framed, crop)[:] = cv2.resize(values, (width, height), interpolation=interpolation)
    return framed


def inward_lines(pixels: np.ndarray, side: str, max_lines: int) -> np.ndarray:
    """Return lines [n, depth] that run from a side of an image to its middle, outermost pixel first.

    Args:
        pixels: [H, W].
        side: a field of `Crop`.
        max_lines: n is less than twice this number; the lines are evenly spaced.
    """
    half_height = pixels.shape[0] // 2
    half_width = pixels.shape[1] // 2
    inward = {
        "top": pixels[:half_height].T,
        "bottom": pixels[: -half_height - 1 : -1].T,
        "left": pixels[:, :half_width],
        "right": pixels[:, : -half_width - 1 : -1],
    }[side]
    return inward[:: max(1, len(inward) // max_lines)]


def _count_lines(size: int, target: int) -> np.ndarray:
    """Count how often each of `size` lines occurs after resizing labels to `target` lines, by OpenCV's own rounding."""
    lines = np.arange(size, dtype=np.uint16)[:, None]
    resized = cv2.resize(lines, (1, target), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.bincount(resized.ravel(), minlength=size)


def _scale_ends(start: int, end: int, length: int, target: int) -> tuple[int, int]:
    start_row = min(round(start * target / length), target - 1)
    end_row = max(round((length - end) * target / length), start_row + 1)
    return start_row, target - end_row
