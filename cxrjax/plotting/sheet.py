"""Sheets of many radiographs with captions."""

import os
from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrjax.plotting import palette, style
from cxrjax.plotting.radiographs import FOOT

# Layout in dots.
TILE = 288  # side of an image
GAP = 18  # between images
LINE = 20  # height of a line of a caption


@matplotlib.rc_context(style.STYLE)
def draw_sheet(panels: Sequence[tuple[NDArray[np.uint8], str, str]], columns: int, path: str | os.PathLike) -> None:
    """Draw many radiographs in a grid, row by row, each with a caption below.

    Args:
        panels: (RGB uint8 [S, S, 3], caption, color of the caption: `RIGHT`, `WRONG` or any other); long lines are
            wrapped.
        columns: maximum number of images per row.
        path: the PNG to write, columns * (TILE + GAP) + GAP dots wide.

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
    height = GAP + rows * step_y + LINE

    images = []
    figure = Figure(figsize=(width / palette.DOTS_PER_INCH, height / palette.DOTS_PER_INCH))
    for k, ((rgb, _, color), lines) in enumerate(zip(panels, captions, strict=True)):
        top = GAP + k // columns * step_y
        left = GAP + k % columns * step_x
        images.append((left, top, cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_AREA)))
        for line, text in enumerate(lines):
            x = left / width
            y = 1 - (top + TILE + LINE * (line + 0.7)) / height
            figure.text(x, y, text, size=7, color=color, va="center", weight="normal" if line else "bold")
    figure.text(1 - GAP / width, GAP / 2 / height, FOOT, size=6.5, color=palette.FAINT, ha="right")
    style.save(figure, path, images)
