"""Sheets of many radiographs with captions."""

import os
from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrjax.plotting import palette, style
from cxrjax.plotting.radiographs import FOOT, SCALE_NOTE, overlay

# Layout in dots.
TILE = 288  # width of a square image
GAP = 18  # between images
LINE = 20  # height of a line of a caption
CAPTION_CHARACTER = 10.2  # mean width of a character of a caption
BAR_WIDTH = 150  # of the color bar
BAR_HEIGHT = 10
LEGEND_CHARACTER = 7.6  # mean width of a character of the legend


@matplotlib.rc_context(style.STYLE)
def draw_sheet(
    panels: Sequence[tuple[NDArray[np.uint8], str, str]],
    columns: int,
    path: str | os.PathLike,
    *,
    legend: str = "",
    has_color_bar: bool = False,
) -> None:
    """Draw many radiographs row by row, each in its proportions and with a caption below.

    The images of a row are equally high, and fill its width.

    Args:
        panels: (RGB uint8 [H, W, 3], caption, color of the caption: `RIGHT`, `WRONG` or any other); long lines are
            wrapped.
        columns: maximum number of images per row.
        path: the PNG to write, columns * (TILE + GAP) + GAP dots wide.
        legend: printed below the images; long lines are wrapped.
        has_color_bar: whether the colors of a saliency map are drawn below the legend.

    Raises:
        ValueError: there are no panels.
    """
    if not panels:
        raise ValueError(f"{path}: there is nothing to draw on the sheet")
    columns = min(columns, len(panels))
    width = GAP + columns * (TILE + GAP)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    legend_lines = palette.wrap(legend, int((width - 2 * GAP) / LEGEND_CHARACTER)) if legend else []
    placed = []
    top = GAP
    for row in rows:
        images_of_row, captions = _arrange(row, width, columns)
        placed.append((top, images_of_row, captions))
        top += len(images_of_row[0]) + GAP + LINE * max(map(len, captions))
    foot_top = top
    height = foot_top + LINE * (1 + len(legend_lines) + has_color_bar)

    images = []
    figure = Figure(figsize=(width / palette.DOTS_PER_INCH, height / palette.DOTS_PER_INCH))
    for row, (top, images_of_row, captions) in zip(rows, placed, strict=True):
        left = GAP
        for (_, _, color), rgb, lines in zip(row, images_of_row, captions, strict=True):
            images.append((left, top, rgb))
            for line, text in enumerate(lines):
                y = 1 - (top + len(rgb) + LINE * (line + 0.7)) / height
                figure.text(
                    left / width, y, text, size=7, color=color, va="center", weight="normal" if line else "bold"
                )
            left += rgb.shape[1] + GAP
    for line, text in enumerate(legend_lines):
        y = 1 - (foot_top + LINE * (line + 0.5)) / height
        figure.text(GAP / width, y, text, size=6.5, color=palette.FAINT, va="center")
    if has_color_bar:
        top = foot_top + LINE * len(legend_lines) + (LINE - BAR_HEIGHT) // 2
        ramp = np.repeat(np.linspace(0, 1, BAR_WIDTH)[None], BAR_HEIGHT, axis=0)
        images.append((GAP, top, overlay(np.full(ramp.shape, 128, np.uint8), None, ramp)))
        y = 1 - (top + BAR_HEIGHT / 2) / height
        text = f"saliency map: {SCALE_NOTE}, on a medium gray"
        figure.text((2 * GAP + BAR_WIDTH) / width, y, text, size=6.5, color=palette.FAINT, va="center")
    figure.text(1 - GAP / width, GAP / 2 / height, FOOT, size=6.5, color=palette.FAINT, ha="right")
    style.save(figure, path, images)


def _arrange(
    row: Sequence[tuple[NDArray[np.uint8], str, str]], width: int, columns: int
) -> tuple[list[NDArray[np.uint8]], list[list[str]]]:
    """Return the images of a row at the height at which they fill it, and the lines of their captions.

    A last row of fewer images than columns is no higher than TILE.
    """
    ratios = np.array([rgb.shape[1] / rgb.shape[0] for rgb, _, _ in row])
    row_height = (width - GAP * (len(row) + 1)) / ratios.sum()
    if len(row) < columns:
        row_height = min(row_height, TILE)
    side = max(1, int(row_height))
    images = []
    captions = []
    for (rgb, caption, _), ratio in zip(row, ratios, strict=True):
        size = (max(1, round(side * ratio)), side)
        images.append(np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8))
        captions.append(palette.wrap(caption, max(1, int(size[0] / CAPTION_CHARACTER))))
    return images, captions
