"""Radiographs with lung contours and saliency maps, and sheets of many."""

import os
from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrjax.plotting import style

CONTOUR = (0, 229, 255)
OPACITY = 0.6
FOOT = "research use, not for diagnosis"
# Layout of `draw_sheet`, in dots.
TILE = 288  # side of an image
GAP = 18  # between images
LINE = 20  # height of a line of a caption


def overlay(
    image: NDArray[np.uint8], lungs: NDArray[np.bool_] | None, map: NDArray[np.floating] | None
) -> NDArray[np.uint8]:
    """Blend a saliency map over a radiograph, with an opacity that rises with its value, and draw the lung contour.

    Args:
        image: uint8 [S, S].
        lungs: lung mask bool [S, S], or None. The contour is drawn along its inner edge.
        map: saliency map [S, S] in 0..1 (values are clipped; NaN counts as 0), or None.

    Returns:
        uint8 RGB [S, S, 3]; equal to the radiograph where the map is 0 and no contour is drawn.

    Raises:
        ValueError: the shapes differ.
    """
    for name, layer in (("lungs", lungs), ("map", map)):
        if layer is not None and layer.shape != image.shape:
            raise ValueError(f"{name} of {layer.shape} do not lie on a radiograph of {image.shape}")
    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
    if map is not None:
        colors, opacity = colorize(map)
        weight = np.ascontiguousarray(opacity[..., 0])
        rgb = np.asarray(cv2.blendLinear(rgb, colors, 1 - weight, weight), np.uint8)
    if lungs is not None:
        # The contour is a 350th of the longer side wide. The mask is padded, so that the border of the image closes the
        # contour of a lung that it cuts.
        padded = np.pad(lungs, 1).astype(np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        inside = cv2.erode(padded, cross, iterations=max(1, round(max(lungs.shape) / 350)))[1:-1, 1:-1]
        rgb[lungs & (inside == 0)] = CONTOUR
    return rgb


def colorize(map: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the colors of a saliency map and their opacity.

    Args:
        map: [H, W] in 0..1; values are clipped and NaN counts as 0.

    Returns:
        Colors, RGB uint8 [H, W, 3], and opacity, float32 [H, W, 1] in 0..OPACITY.
    """
    heat = np.clip(np.nan_to_num(map), 0, 1).astype(np.float32)
    bgr = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), np.float32(OPACITY) * heat[..., None]


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
    captions = [style.wrap(caption, 28) for _, caption, _ in panels]
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    step_x = TILE + GAP
    step_y = TILE + GAP + LINE * max(map(len, captions))
    width = GAP + columns * step_x
    height = GAP + rows * step_y + LINE

    images = []
    figure = Figure(figsize=(width / style.DOTS_PER_INCH, height / style.DOTS_PER_INCH))
    for k, ((rgb, _, color), lines) in enumerate(zip(panels, captions, strict=True)):
        top = GAP + k // columns * step_y
        left = GAP + k % columns * step_x
        images.append((left, top, cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_AREA)))
        for line, text in enumerate(lines):
            x = left / width
            y = 1 - (top + TILE + LINE * (line + 0.7)) / height
            figure.text(x, y, text, size=7, color=color, va="center", weight="normal" if line else "bold")
    figure.text(1 - GAP / width, GAP / 2 / height, FOOT, size=6.5, color=style.FAINT, ha="right")
    style.save(figure, path, images)
