"""Radiographs side by side, masks outlined: what a data set looks like at a glance."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from cxrjax.io import images, limits, prepared, radiograph
from cxrjax.io.radiograph import Radiograph
from data_prep.example import STRUCTURES

COLUMNS, ROWS = 8, 24  # pictures in a row; rows at most
SIDE, CAPTION, GAP = 180, 26, 4  # pixels: a picture's square, a line of text, between pictures
_WHITE, _GREY = (255, 255, 255), (40, 40, 40)
_OUTLINES = {"heart": (60, 60, 230), "left lung": (230, 160, 40), "right lung": (80, 200, 80), "lungs": (0, 200, 230)}


def draw_contact_sheet(rows: Iterable[tuple[str, Sequence[Mapping[str, Any]]]], footnote: str = "") -> np.ndarray:
    """Draws rows of radiographs, each under its caption.

    Args:
        rows: caption, and up to `COLUMNS` records with their text as str.
        footnote: beside the legend.

    Returns:
        BGR uint8 [height, COLUMNS * (SIDE + GAP), 3].
    """
    lines = []
    for caption, records in rows:
        pictures = [_frame(record) for record in records]
        pictures += [np.full_like(pictures[0], _GREY)] * (COLUMNS - len(pictures))
        lines += [_write([(caption, _WHITE)]), np.hstack(pictures)]
    legend = [(name, colour) for name, colour in _OUTLINES.items()]
    return np.vstack([*lines, _write([("outlined:", _WHITE), *legend, (footnote, _WHITE)])])


def _frame(record: Mapping[str, Any]) -> np.ndarray:
    """A radiograph in the middle of its square, its mask outlined."""
    pixels = _display(prepared.decode(record, radiograph.decode))
    scale = SIDE / max(pixels.shape)
    size = [max(1, round(side * scale)) for side in pixels.shape[::-1]]
    picture = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    if record["mask"]:
        labels = images.decode_values(record["mask"], limits.current())
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        names = ("heart", "left lung", "right lung") if record["mask_kind"] == STRUCTURES else ("lungs",)
        for value, name in enumerate(names, start=1):
            outline, _ = cv2.findContours((labels == value).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, outline, -1, _OUTLINES[name], 1)
    square = np.full((SIDE + GAP, SIDE + GAP, 3), _GREY, np.uint8)
    top, left = ((SIDE + GAP - side) // 2 for side in picture.shape[:2])
    square[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return square


def _display(found: Radiograph) -> np.ndarray:
    """Dense anatomy bright, uint8; 16 bits are spread between their first and last percent."""
    pixels = found.pixels
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (1, 99))
        pixels = np.clip((pixels - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    return 255 - pixels if found.inverted else pixels


def _write(words: Iterable[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """A line of words, each in its colour."""
    line = np.full((CAPTION, COLUMNS * (SIDE + GAP), 3), _GREY, np.uint8)
    at = GAP
    for word, colour in words:
        cv2.putText(line, word, (at, CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
        at += cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0] + 4 * GAP
    return line
