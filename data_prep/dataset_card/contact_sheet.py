"""Contact sheet of a data set: radiographs side by side with their masks outlined."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from cxrjax.io import images, limits, prepared, radiograph
from cxrjax.io.radiograph import Radiograph
from data_prep.example import STRUCTURES

COLUMNS = 8
MAX_ROWS = 24
# Pixels: the side of an image, the height of a line of text, the space between images.
SIDE = 180
CAPTION_HEIGHT = 26
GAP = 4
# BGR.
_WHITE = (255, 255, 255)
_GRAY = (40, 40, 40)
_OUTLINES = {"heart": (60, 60, 230), "left lung": (230, 160, 40), "right lung": (80, 200, 80), "lungs": (0, 200, 230)}


def draw_contact_sheet(rows: Iterable[tuple[str, Sequence[Mapping[str, Any]]]], footnote: str = "") -> np.ndarray:
    """Draw rows of radiographs, each under its caption.

    Args:
        rows: caption, and up to `COLUMNS` records with their text as str.
        footnote: text beside the legend.

    Returns:
        BGR uint8 [height, COLUMNS * (SIDE + GAP), 3].
    """
    lines = []
    for caption, records in rows:
        tiles = [_draw_tile(record) for record in records]
        tiles += [np.full_like(tiles[0], _GRAY)] * (COLUMNS - len(tiles))
        lines += [_draw_text([(caption, _WHITE)]), np.hstack(tiles)]
    return np.vstack([*lines, _draw_text([("outlined:", _WHITE), *_OUTLINES.items(), (footnote, _WHITE)])])


def _draw_tile(record: Mapping[str, Any]) -> np.ndarray:
    """Draw a radiograph in the center of a square, with its mask outlined."""
    pixels = _to_display(prepared.decode(record, radiograph.decode))
    scale = SIDE / max(pixels.shape)
    height = max(1, round(pixels.shape[0] * scale))
    width = max(1, round(pixels.shape[1] * scale))
    image = cv2.cvtColor(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    if record["mask"]:
        label_map = images.decode_values(record["mask"], limits.current())
        label_map = cv2.resize(label_map, (width, height), interpolation=cv2.INTER_NEAREST)
        names = ("heart", "left lung", "right lung") if record["mask_kind"] == STRUCTURES else ("lungs",)
        for value, name in enumerate(names, start=1):
            region = (label_map == value).astype(np.uint8)
            contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(image, contours, -1, _OUTLINES[name], 1)
    tile = np.full((SIDE + GAP, SIDE + GAP, 3), _GRAY, np.uint8)
    top = (SIDE + GAP - height) // 2
    left = (SIDE + GAP - width) // 2
    tile[top : top + height, left : left + width] = image
    return tile


def _to_display(image: Radiograph) -> np.ndarray:
    """Return uint8 pixels with dense anatomy bright; 16-bit values are clipped to their 1st and 99th percentile."""
    pixels = image.pixels
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (1, 99))
        pixels = np.clip((pixels - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    return 255 - pixels if image.inverted else pixels


def _draw_text(parts: Iterable[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """Draw a line of text whose parts have their own colors."""
    line = np.full((CAPTION_HEIGHT, COLUMNS * (SIDE + GAP), 3), _GRAY, np.uint8)
    x = GAP
    for text, color in parts:
        cv2.putText(line, text, (x, CAPTION_HEIGHT - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
        x += cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0] + 4 * GAP
    return line
