"""Sheets of many radiographs with captions."""

import os
from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrjax.plotting import palette, style
from cxrjax.plotting.radiographs import FOOT, overlay

# Layout in dots.
TILE = 288  # longer side of an image
GAP = 18  # between images
LINE = 20  # height of a line of a caption


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
    """Draw many radiographs in a grid, row by row, each in its proportions and with a caption below.

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
    captions = [palette.wrap(caption, 28) for _, caption, _ in panels]
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    step_x = TILE + GAP
    step_y = TILE + GAP + LINE * max(map(len, captions))
    width = GAP + columns * step_x
    legend_lines = palette.wrap(legend, int((width - 2 * GAP) / LEGEND_CHARACTER)) if legend else []
    foot_top = GAP + rows * step_y
    height = foot_top + LINE * (1 + len(legend_lines) + has_color_bar)

    images = []
    figure = Figure(figsize=(width / palette.DOTS_PER_INCH, height / palette.DOTS_PER_INCH))
    for k, ((rgb, _, color), lines) in enumerate(zip(panels, captions, strict=True)):
        top = GAP + k // columns * step_y
        left = GAP + k % columns * step_x
        fitted = _fit(rgb)
        images.append((left + (TILE - fitted.shape[1]) // 2, top + TILE - len(fitted), fitted))
        for line, text in enumerate(lines):
            x = left / width
            y = 1 - (top + TILE + LINE * (line + 0.7)) / height
            figure.text(x, y, text, size=7, color=color, va="center", weight="normal" if line else "bold")
    for line, text in enumerate(legend_lines):
        y = 1 - (foot_top + LINE * (line + 0.5)) / height
        figure.text(GAP / width, y, text, size=6.5, color=palette.FAINT, va="center")
    if has_color_bar:
        top = foot_top + LINE * len(legend_lines) + (LINE - BAR_HEIGHT) // 2
        ramp = np.repeat(np.linspace(0, 1, BAR_WIDTH)[None], BAR_HEIGHT, axis=0)
        images.append((GAP, top, overlay(np.full(ramp.shape, 128, np.uint8), None, ramp)))
        y = 1 - (top + BAR_HEIGHT / 2) / height
        text = "saliency map, 0 to 1, on a medium gray"
        figure.text((2 * GAP + BAR_WIDTH) / width, y, text, size=6.5, color=palette.FAINT, va="center")
    figure.text(1 - GAP / width, GAP / 2 / height, FOOT, size=6.5, color=palette.FAINT, ha="right")
    style.save(figure, path, images)


def _fit(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image whose longer side is TILE, in its proportions."""
    scale = TILE / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
