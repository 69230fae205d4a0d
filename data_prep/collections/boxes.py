"""Draw boxes around findings as a map of lesions."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from data_prep.example import Example, encode_png
from data_prep.record import RecordError

Box = tuple[float, ...]  # left, top, width, height, pixels


def add_boxes(example: Example, boxes: Collection[Box]) -> Example:
    """Return an example with boxes as its lesions; without boxes, as it is.

    Raises:
        RecordError: all boxes lie outside the image.
    """
    if not boxes:
        return example
    return replace(example, lesions=encode_png(draw_boxes(boxes, (example.height, example.width))))


def draw_boxes(boxes: Collection[Box], shape: tuple[int, int]) -> np.ndarray:
    """Return a map of boxes, clipped at the border: uint8 [height, width], 1 inside.

    Raises:
        RecordError: all boxes lie outside the image.
    """
    lesions = np.zeros(shape, np.uint8)
    for left, top, width, height in boxes:
        rows = slice(max(round(top), 0), max(round(top + height), 0))
        lesions[rows, max(round(left), 0) : max(round(left + width), 0)] = 1
    if not lesions.any():
        raise RecordError("its boxes lie outside the image")
    return lesions
