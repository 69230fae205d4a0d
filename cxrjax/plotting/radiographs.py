"""Radiographs with lungs and maps drawn on them, one by one and many on a sheet."""

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
MARGIN, PICTURE, BETWEEN, SCALE = 0.3, 3.5, 0.1, 0.09  # inches; the last, how broad the colours of a map are
TILE, GAP, LINE = 288, 18, 20  # dots: a sheet's tiles, what is between them, a line of its captions


def overlay(
    image: NDArray[np.uint8], lungs: NDArray[np.bool_] | None, map: NDArray[np.floating] | None
) -> NDArray[np.uint8]:
    """Lays the map over the radiograph, the more opaque the higher it is, and draws the lungs' inner edge.

    Args:
        image: uint8 [S, S].
        lungs: bool [S, S], or None.
        map: [S, S] in 0..1 (cut to it; NaN is 0), or None.

    Returns:
        uint8 RGB [S, S, 3]; where the map is 0 and no edge runs, the radiograph itself.

    Raises:
        ValueError: the shapes differ.
    """
    for name, layer in (("lungs", lungs), ("map", map)):
        if layer is not None and layer.shape != image.shape:
            raise ValueError(f"{name} of {layer.shape} do not lie on a radiograph of {image.shape}")
    rgb = np.repeat(image[..., None], 3, axis=2)
    if map is not None:
        colours, opacity = tint(map)
        rgb = np.rint(rgb * (1 - opacity) + colours * opacity).astype(np.uint8)
    if lungs is not None:
        # A 400th of the side thick. No lung lies beyond the picture, so that its border closes one that it cuts.
        padded = np.pad(lungs, 1).astype(np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        inside = cv2.erode(padded, cross, iterations=max(1, round(len(lungs) / 400)))[1:-1, 1:-1]
        rgb[lungs & (inside == 0)] = CONTOUR
    return rgb


def tint(map: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colours RGB [H, W, 3] of a map [H, W] in 0..1 (cut to it; NaN is 0), and how opaque they are, [H, W, 1]."""
    heat = np.clip(np.nan_to_num(map), 0, 1).astype(np.float32)
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return colours, OPACITY * heat[..., None]


@matplotlib.rc_context(style.STYLE)
def draw_prediction(
    image: NDArray[np.uint8] | None,
    lungs: NDArray[np.bool_] | None,
    map: NDArray[np.floating] | None,
    title_lines: Sequence[str],
    probabilities: Sequence[float] | None,
    votes: Sequence[int] | None,
    classes: Sequence[str],
    path: str | os.PathLike,
) -> None:
    """Draws one radiograph with its lungs, again with its map, and beneath them how its patches voted.

    Args:
        image: uint8 [S, S]; None where it could not be read.
        lungs: bool [S, S], empty where none were found; None where none were looked for.
        map: [S, S] in 0..1, or None.
        title_lines: the first large, the others beneath it.
        probabilities: [K] mean class probabilities over the patches; None or NaN where there were no patches.
        votes: [K] patches that voted for each class, or None.
        classes: the K class names.
        path: the PNG to write.
    """
    voted = votes is not None and np.sum(votes) > 0
    title, *others = title_lines
    lines = [(line, {"size": 13, "weight": "bold"}) for line in style.wrap(title, 58)]
    lines += [(line, {"size": 9.5, "color": style.FAINT}) for other in others for line in style.wrap(other, 92)]
    picture, head = (0, 0.3) if image is None else (PICTURE, 0.5)
    bars, foot = 0.75 + 0.42 * len(classes) if voted else 0.45, 0.35
    width, height, bottom = 8.0, head + 0.24 * len(lines) + picture + bars + foot, bars + foot
    figure, pictures = Figure(figsize=(width, height)), []
    for k, (line, look) in enumerate(lines):
        figure.text(MARGIN / width, 1 - (0.4 + 0.24 * k) / height, line, **look)
    if image is not None:
        heading = "radiograph" if lungs is None else "lungs" if lungs.any() else "no lungs found"
        shown = {heading: overlay(image, lungs, None)}
        if map is not None:
            shown["where it was seen"] = overlay(image, None, map)
        left = MARGIN
        for heading, rgb in shown.items():
            pictures.append(_place(left, bottom, height, rgb))
            figure.text(left / width, (bottom + PICTURE + 0.055) / height, heading, size=9, color=style.FAINT)
            left += PICTURE + BETWEEN
        if map is not None:  # its colours as they look on a mid-grey radiograph
            ramp = np.linspace(1, 0, 256)[:, None]
            scale = overlay(np.full(ramp.shape, 128, np.uint8), None, ramp)
            pictures.append(_place(left, bottom, height, scale, SCALE))
            _mark(figure, left + SCALE, bottom)
    if voted:
        axes = figure.add_axes((1.5 / width, (foot + 0.35) / height, 1 - 3.0 / width, (bars - 0.75) / height))
        _vote(axes, probabilities, votes, classes)
    else:
        figure.text(MARGIN / width, (foot + 0.15) / height, "No patch was voted on.")
    figure.text(1 - MARGIN / width, 0.14 / height, FOOT, ha="right", size=7, color=style.FAINT)
    style.save(figure, path, pictures)


@matplotlib.rc_context(style.STYLE)
def draw_sheet(panels: Sequence[tuple[NDArray[np.uint8], str, str]], columns: int, path: str | os.PathLike) -> None:
    """Draws many radiographs in a grid, row by row, each with its caption beneath.

    Args:
        panels: (RGB uint8 [S, S, 3], caption, its colour: `RIGHT`, `WRONG` or any other); long lines are wrapped.
        columns: tiles in a row; fewer where there are fewer panels.
        path: the PNG to write, columns * (TILE + GAP) + GAP dots wide.

    Raises:
        ValueError: there are no panels.
    """
    if not panels:
        raise ValueError(f"{path}: there is nothing to draw on the sheet")
    captions = [style.wrap(caption, 28) for _, caption, _ in panels]
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    step_x, step_y = TILE + GAP, TILE + GAP + LINE * max(map(len, captions))
    width, height = GAP + columns * step_x, GAP + rows * step_y + LINE

    tiles = []
    figure = Figure(figsize=(width / style.DOTS_PER_INCH, height / style.DOTS_PER_INCH))
    for k, ((rgb, _, colour), lines) in enumerate(zip(panels, captions, strict=True)):
        top, left = GAP + k // columns * step_y, GAP + k % columns * step_x
        tiles.append((left, top, cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_AREA)))
        for line, text in enumerate(lines):
            where = (left / width, 1 - (top + TILE + LINE * (line + 0.7)) / height)
            figure.text(*where, text, size=7, color=colour, va="center", weight="normal" if line else "bold")
    figure.text(1 - GAP / width, GAP / 2 / height, FOOT, size=6.5, color=style.FAINT, ha="right")
    style.save(figure, path, tiles)


def _place(
    left: float, bottom: float, height: float, rgb: NDArray[np.uint8], across: float = PICTURE
) -> tuple[int, int, NDArray[np.uint8]]:
    """A picture as `style.save` lays it, so many inches from the left and the foot of a figure of that height."""
    dots = [round(inches * style.DOTS_PER_INCH) for inches in (across, PICTURE, left, height - bottom - PICTURE)]
    form = cv2.INTER_AREA if len(rgb) > dots[1] else cv2.INTER_LINEAR
    return dots[2], dots[3], cv2.resize(rgb, dots[:2], interpolation=form)


def _mark(figure: Figure, left: float, bottom: float) -> None:
    """What the colours of a scale mean that ends so many inches from the left."""
    width, height = figure.get_size_inches()
    for level in (0, 0.5, 1):
        y = (bottom + level * PICTURE) / height
        figure.add_artist(Line2D([left / width, (left + 0.05) / width], [y, y], color=style.INK, linewidth=0.8))
        figure.text((left + 0.09) / width, y, f"{level:g}", size=7, va="center_baseline")


def _vote(axes: Axes, probabilities: Sequence[float] | None, votes: Sequence[int], classes: Sequence[str]) -> None:
    """Two bars a class: its share of the votes, and the mean probability that the patches gave it."""
    where, total = np.arange(len(classes)), np.sum(votes)
    bars = [(style.BLUE, "votes", np.asarray(votes) / total, [f"{count} of {total}" for count in votes])]
    if probabilities is not None and np.isfinite(probabilities).all():
        bars += [(style.ORANGE, "mean probability", np.asarray(probabilities), [f"{p:.2f}" for p in probabilities])]
    for k, (colour, label, shares, texts) in enumerate(bars):
        drawn = axes.barh(where + 0.36 * (k - (len(bars) - 1) / 2), shares, height=0.34, color=colour, label=label)
        axes.bar_label(drawn, texts, padding=3, size=7.5, color=style.FAINT)
    axes.set_yticks(where, classes)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.grid(axis="x")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, borderpad=0, handlelength=1.2)
