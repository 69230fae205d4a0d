"""A sheet of phantoms to look at: a row a class, plain on the left, the truth outlined on the right."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from data_prep.example import LABELS, encode_png
from data_prep.phantom.draw import Phantom

_COLUMNS, _SIDE = 4, 320  # phantoms a class, pixels a picture
_HEART, _LEFT, _RIGHT, _LESION = (60, 60, 230), (230, 160, 40), (80, 200, 80), (0, 230, 250)  # BGR


def draw_sheet(file: Path, make: Callable[[str, int], Phantom]) -> None:
    """Draws phantoms 0 to 3 of every class, `make(label, number)`, into a PNG file."""
    rows = []
    for label in LABELS:
        phantoms = [make(label, number) for number in range(_COLUMNS)]
        plain = [cv2.cvtColor(phantom.pixels, cv2.COLOR_GRAY2BGR) for phantom in phantoms]
        rows.append(np.hstack([_shrink(picture) for picture in [*plain, *map(_outline, phantoms)]]))
    temporary = file.with_name(f".{file.name}.part")
    temporary.write_bytes(encode_png(np.vstack(rows)))
    os.replace(temporary, file)


def _shrink(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


def _outline(phantom: Phantom) -> np.ndarray:
    picture = cv2.cvtColor(phantom.pixels, cv2.COLOR_GRAY2BGR)
    regions = [(phantom.structures == value, colour) for value, colour in enumerate((_HEART, _LEFT, _RIGHT), start=1)]
    for region, colour in [*regions, (phantom.lesions > 0, _LESION)]:
        contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, colour, max(1, round(phantom.pixels.shape[0] / 340)))
    return picture
