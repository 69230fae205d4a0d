"""Figures of radiographs with lung contours and saliency maps: one radiograph, or a sheet of many."""

import os
from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cxrjax.plotting import style

CONTOUR = (0, 229, 255)
OPACITY = 0.6
FOOT = "research use, not for diagnosis"
# Layout of `draw_prediction`, in inches.
MARGIN = 0.3
IMAGE_SIZE = 3.5
IMAGE_GAP = 0.1
COLOR_BAR_WIDTH = 0.09
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
    rgb = np.repeat(image[..., None], 3, axis=2)
    if map is not None:
        colors, opacity = colorize(map)
        rgb = np.rint(rgb * (1 - opacity) + colors * opacity).astype(np.uint8)
    if lungs is not None:
        # The contour is a 400th of the side wide. The mask is padded, so that the border of the image closes the
        # contour of a lung that it cuts.
        padded = np.pad(lungs, 1).astype(np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        inside = cv2.erode(padded, cross, iterations=max(1, round(len(lungs) / 400)))[1:-1, 1:-1]
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
    return np.asarray(bgr[..., ::-1], np.uint8), np.float32(OPACITY) * heat[..., None]


@matplotlib.rc_context(style.STYLE)
def draw_prediction(
    image: NDArray[np.uint8] | None,
    lungs: NDArray[np.bool_] | None,
    map: NDArray[np.floating] | None,
    title_lines: Sequence[str],
    probabilities: Sequence[float] | NDArray[np.floating] | None,
    votes: Sequence[int] | None,
    classes: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Draw a radiograph with its lung contour, beside it with its saliency map, and below the votes of its patches.

    Args:
        image: uint8 [S, S]; None if it could not be read.
        lungs: lung mask bool [S, S], empty if no lungs were found; None if the radiograph was not segmented.
        map: saliency map [S, S] in 0..1, or None.
        title_lines: the first is printed large, the others below it.
        probabilities: [K] mean class probabilities over the patches; None or NaN if there were no patches.
        votes: [K] patches that voted for each class, or None.
        classes: the K class names.
        path: the PNG to write.
    """
    if votes is not None and np.sum(votes) == 0:
        votes = None
    title, *subtitles = title_lines
    lines = [(line, {"size": 13, "weight": "bold"}) for line in style.wrap(title, 58)]
    for subtitle in subtitles:
        lines += [(line, {"size": 9.5, "color": style.FAINT}) for line in style.wrap(subtitle, 92)]

    # Heights in inches of the parts of the figure, from its bottom to its top.
    foot_height = 0.35
    votes_height = 0.75 + 0.42 * len(classes) if votes is not None else 0.45
    image_height = 0 if image is None else IMAGE_SIZE
    head_height = 0.3 if image is None else 0.5
    width = 8.0
    height = head_height + 0.24 * len(lines) + image_height + votes_height + foot_height
    bottom = votes_height + foot_height  # of the images

    figure = Figure(figsize=(width, height))
    images = []
    for k, (line, text_style) in enumerate(lines):
        figure.text(MARGIN / width, 1 - (0.4 + 0.24 * k) / height, line, **text_style)
    if image is not None:
        heading = "radiograph" if lungs is None else "lungs" if lungs.any() else "no lungs found"
        panels = {heading: overlay(image, lungs, None)}
        if map is not None:
            panels["where it was seen"] = overlay(image, None, map)
        left = MARGIN
        for heading, rgb in panels.items():
            images.append(_place_image(left, bottom, height, rgb))
            figure.text(left / width, (bottom + IMAGE_SIZE + 0.055) / height, heading, size=9, color=style.FAINT)
            left += IMAGE_SIZE + IMAGE_GAP
        if map is not None:  # color bar, on a medium gray
            ramp = np.linspace(1, 0, 256)[:, None]
            color_bar = overlay(np.full(ramp.shape, 128, np.uint8), None, ramp)
            images.append(_place_image(left, bottom, height, color_bar, COLOR_BAR_WIDTH))
            _draw_color_bar_ticks(figure, left + COLOR_BAR_WIDTH, bottom)
    if votes is not None:
        axes = figure.add_axes(
            (1.5 / width, (foot_height + 0.35) / height, 1 - 3.0 / width, (votes_height - 0.75) / height)
        )
        _draw_votes(axes, probabilities, votes, classes)
    else:
        figure.text(MARGIN / width, (foot_height + 0.15) / height, "No patch was voted on.")
    figure.text(1 - MARGIN / width, 0.14 / height, FOOT, ha="right", size=7, color=style.FAINT)
    style.save(figure, path, images)


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


def _place_image(
    left: float, bottom: float, figure_height: float, rgb: NDArray[np.uint8], width: float = IMAGE_SIZE
) -> tuple[int, int, NDArray[np.uint8]]:
    """Resize an image to `width` x IMAGE_SIZE and place it on a figure; all lengths are in inches.

    Returns:
        (left, top, RGB) in dots, as `style.save` takes it.
    """
    columns = round(width * style.DOTS_PER_INCH)
    rows = round(IMAGE_SIZE * style.DOTS_PER_INCH)
    x = round(left * style.DOTS_PER_INCH)
    y = round((figure_height - bottom - IMAGE_SIZE) * style.DOTS_PER_INCH)
    interpolation = cv2.INTER_AREA if len(rgb) > rows else cv2.INTER_LINEAR
    return x, y, np.asarray(cv2.resize(rgb, (columns, rows), interpolation=interpolation), np.uint8)


def _draw_color_bar_ticks(figure: Figure, left: float, bottom: float) -> None:
    """Draw the ticks 0, 0.5 and 1 of a color bar that ends `left` inches from the left of a figure."""
    width, height = figure.get_size_inches()
    for level in (0, 0.5, 1):
        y = (bottom + level * IMAGE_SIZE) / height
        figure.add_artist(Line2D([left / width, (left + 0.05) / width], [y, y], color=style.INK, linewidth=0.8))
        figure.text((left + 0.09) / width, y, f"{level:g}", size=7, va="center_baseline")


def _draw_votes(
    axes: Axes,
    probabilities: Sequence[float] | NDArray[np.floating] | None,
    votes: Sequence[int],
    classes: Sequence[str],
) -> None:
    """Draw two bars per class: its share of the votes and its mean probability over the patches."""
    y = np.arange(len(classes))
    total = np.sum(votes)
    groups = [(style.BLUE, "votes", np.asarray(votes) / total, [f"{count} of {total}" for count in votes])]
    if probabilities is not None and np.isfinite(probabilities).all():
        texts = [f"{probability:.2f}" for probability in probabilities]
        groups.append((style.ORANGE, "mean probability", np.asarray(probabilities), texts))
    for k, (color, label, widths, texts) in enumerate(groups):
        offset = 0.36 * (k - (len(groups) - 1) / 2)
        bars = axes.barh(y + offset, widths, height=0.34, color=color, label=label)
        axes.bar_label(bars, texts, padding=3, size=7.5, color=style.FAINT)
    axes.set_yticks(y, classes)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.grid(axis="x")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, borderpad=0, handlelength=1.2)
