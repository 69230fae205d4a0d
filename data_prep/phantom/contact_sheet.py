"""Contact sheet of phantoms: one row per class, plain images on the left, with outlines on the right."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from cxrjax.config import LABELS
from data_prep.example import encode_png
from data_prep.phantom.draw import Phantom

_COLUMNS = 4  # phantoms per class
_SIDE = 320  # pixels per phantom
# BGR.
_STRUCTURE_COLORS = {1: (60, 60, 230), 2: (230, 160, 40), 3: (80, 200, 80)}  # by value: heart, left lung, right lung
_LESION_COLOR = (0, 230, 250)


def draw_sheet(file: Path, make: Callable[[str, int], Phantom]) -> None:
    """Draw phantoms 0 to 3 of every class, `make(label, number)`, into a PNG file."""
    rows = []
    for label in LABELS:
        phantoms = [make(label, number) for number in range(_COLUMNS)]
        plain = [cv2.cvtColor(phantom.pixels, cv2.COLOR_GRAY2BGR) for phantom in phantoms]
        rows.append(np.hstack([_resize(image) for image in [*plain, *map(_draw_outlines, phantoms)]]))
    temporary = file.with_name(f".{file.name}.part")
    temporary.write_bytes(encode_png(np.vstack(rows)))
    os.replace(temporary, file)


def _resize(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


def _draw_outlines(phantom: Phantom) -> np.ndarray:
    image = cv2.cvtColor(phantom.pixels, cv2.COLOR_GRAY2BGR)
    regions = [(phantom.structures == value, color) for value, color in _STRUCTURE_COLORS.items()]
    for region, color in [*regions, (phantom.lesions > 0, _LESION_COLOR)]:
        contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, contours, -1, color, max(1, round(phantom.pixels.shape[0] / 340)))
    return image
