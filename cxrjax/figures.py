"""Pictures for people: scores, learning curves, radiographs with lungs and maps drawn on them. All PNG, written whole.

Colours follow Okabe and Ito (Color Universal Design, 2008), so that colour-blind readers tell them apart; those of
captions are darkened to be read as text. Maps are in inferno, which is even to the eye.
"""

import io
import os
import textwrap
from collections.abc import Mapping, Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cxrjax import whole

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#007A5A", "#C84A00", "#A8518A", "#56B4E9"
RIGHT, WRONG, INK, FAINT, PALE = GREEN, RED, "#222222", "#6B6B6B", "#A8A8A8"
CONTOUR = (0, 229, 255)
OPACITY = 0.6
FOOT = "research use, not for diagnosis"
DOTS_PER_INCH = 150
MARGIN = 0.3  # inches
TILE, GAP, LINE = 288, 18, 20  # dots: a sheet's tiles, what is between them, a line of its captions
STYLE = {
    "figure.dpi": DOTS_PER_INCH,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a file name may hold dollar signs
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": PALE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
}


@matplotlib.rc_context(STYLE)
def draw_confusion(matrix: NDArray[np.integer], classes: Sequence[str], path: str | os.PathLike) -> None:
    """Draws how many radiographs of each label (rows) had each finding (columns), with the share of the row.

    Args:
        matrix: [K, K], or [K, K + 1] with the radiographs without a finding last (drawn where there are any).
        classes: the K class names.
        path: the PNG to write.
    """
    matrix = np.asarray(matrix)
    support = matrix.sum(1)
    findings = [*classes, "no finding"][: matrix.shape[1]]
    if len(findings) > len(classes) and not matrix[:, -1].any():
        matrix, findings = matrix[:, :-1], findings[:-1]
    share = matrix / np.maximum(support, 1)[:, None]

    width, height = 1.05 * len(findings) + 1.7, 0.85 * len(classes) + 0.9
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.pcolormesh(share, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=2)
    for (row, column), count in np.ndenumerate(matrix):
        where = {"ha": "center", "color": "white" if share[row, column] > 0.55 else INK if count else PALE}
        axes.text(column + 0.5, row + 0.5, str(count), va="bottom", size=12, **where)
        percent = "" if not count else "< 1%" if share[row, column] < 0.005 else f"{share[row, column]:.0%}"
        axes.text(column + 0.5, row + 0.56, percent, va="top", size=8, **where)
    axes.set_xticks(np.arange(len(findings)) + 0.5, ["\n".join(_wrap(name, 13)) for name in findings])
    axes.set_yticks(np.arange(len(classes)) + 0.5, [f"{c}\nn = {n}" for c, n in zip(classes, support, strict=True)])
    axes.set(xlabel="finding", ylabel="truth")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _save(figure, path)


@matplotlib.rc_context(STYLE)
def draw_learning_curves(history: Sequence[Mapping], path: str | os.PathLike, score: str | None = None) -> None:
    """Draws loss, and beneath it the scores, over epochs (over steps where a record has no epoch); the best is marked.

    Args:
        history: the records of `metrics.jsonl`, each with a "step" and perhaps an "epoch": "train/loss", "val/loss",
            and as scores all other "val/..."; those of one epoch are averaged, values that are not finite left out.
        path: the PNG to write.
        score: the key whose highest value is the best, of a loss the lowest; the first of the scores where not given.

    Raises:
        ValueError: there is no loss, or not the score asked for.
    """
    time = "epoch" if all("epoch" in record for record in history) else "step"
    keys = dict.fromkeys(key for record in history for key in record if key.startswith(("train/loss", "val/")))
    series = {key: curve for key in keys if len((curve := _series(history, key, time))[0])}
    losses = [key for key in ("train/loss", "val/loss") if key in series]
    scores = [key for key in series if key not in losses]
    if not losses or score not in (None, *scores, *losses):
        raise ValueError(f"{path}: the history has no {score if losses else 'loss'} to draw")

    panels = [("loss", losses)] + ([("score", scores)] if scores else [])
    figure = Figure(figsize=(7.2, 2.7 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, group) in zip(grid, panels, strict=True):
        for key in group:
            axes.plot(*series[key], linewidth=1.8, label=key, marker="o" if len(series[key][0]) == 1 else None)
        axes.set_title(title)
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    score = score or (scores[0] if scores else None)
    if score:
        best_of, panel = (min, 0) if score in losses else (max, -1)
        best_time, best = best_of(zip(*series[score], strict=True), key=lambda point: point[1])
        for axes in grid:
            axes.axvline(best_time, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        grid[panel].plot(best_time, best, "o", color=INK, markersize=5)
        grid[panel].set_title(f"{panels[panel][0]}: {score} best at {time} {best_time:g}, {best:.3f}")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[-1].set_xlabel(time)
    _save(figure, path)


def draw_rates(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], chosen: float, path: str | os.PathLike
) -> None:
    """Draws the curve of the learning-rate finder, loss over rate on a logarithmic axis, the chosen rate marked.

    Args:
        rates: of each step.
        losses: of each step.
        smoothed: their running mean.
        chosen: the rate suggested.
        path: the PNG to write.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=FAINT, linewidth=1, label="loss")
    axes.plot(rates, smoothed, linewidth=1.8, label="running mean")
    axes.axvline(chosen, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="suggested")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_title(f"loss by learning rate; suggested: {chosen:.1e}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, path)


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
        heat = np.clip(np.nan_to_num(map), 0, 1).astype(np.float32)
        colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        opacity = OPACITY * heat[..., None]
        rgb = np.rint(rgb * (1 - opacity) + colours * opacity).astype(np.uint8)
    if lungs is not None:
        # A 400th of the side thick. No lung lies beyond the picture, so that its border closes one that it cuts.
        padded = np.pad(lungs, 1).astype(np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        inside = cv2.erode(padded, cross, iterations=max(1, round(len(lungs) / 400)))[1:-1, 1:-1]
        rgb[lungs & (inside == 0)] = CONTOUR
    return rgb


@matplotlib.rc_context(STYLE)
def draw_finding(
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
        lungs: bool [S, S]; None or empty where none were found.
        map: [S, S] in 0..1, or None.
        title_lines: the first large, the others beneath it.
        probabilities: [K] mean class probabilities over the patches; None or NaN where there were no patches.
        votes: [K] patches that voted for each class, or None.
        classes: the K class names.
        path: the PNG to write.
    """
    voted = votes is not None and np.sum(votes) > 0
    title, *others = title_lines
    lines = [(line, {"size": 13, "weight": "bold"}) for line in _wrap(title, 58)]
    lines += [(line, {"size": 9.5, "color": FAINT}) for other in others for line in _wrap(other, 92)]
    picture, head = (0, 0.3) if image is None else (3.5, 0.5)
    bars, foot = 0.75 + 0.42 * len(classes) if voted else 0.45, 0.35
    width, height, bottom = 8.0, head + 0.24 * len(lines) + picture + bars + foot, bars + foot
    figure = Figure(figsize=(width, height))

    def place(left: float, bottom: float, across: float, up: float) -> Axes:  # inches
        return figure.add_axes((left / width, bottom / height, across / width, up / height))

    for k, (line, style) in enumerate(lines):
        figure.text(MARGIN / width, 1 - (0.4 + 0.24 * k) / height, line, **style)
    if image is not None:
        heading = "lungs" if lungs is not None and lungs.any() else "no lungs found"
        _show(place(MARGIN, bottom, picture, picture), overlay(image, lungs, None), heading)
        if map is not None:
            left = MARGIN + picture + 0.1
            _show(place(left, bottom, picture, picture), overlay(image, None, map), "where it was seen")
            _scale(place(left + picture + 0.06, bottom, 0.09, picture))
    if voted:
        _vote(place(1.5, foot + 0.35, width - 3.0, bars - 0.75), probabilities, votes, classes)
    else:
        figure.text(MARGIN / width, (foot + 0.15) / height, "No patch was voted on.")
    figure.text(1 - MARGIN / width, 0.14 / height, FOOT, ha="right", size=7, color=FAINT)
    _save(figure, path)


@matplotlib.rc_context(STYLE)
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
    captions = [_wrap(caption, 28) for _, caption, _ in panels]
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    step_x, step_y = TILE + GAP, TILE + GAP + LINE * max(map(len, captions))
    width, height = GAP + columns * step_x, GAP + rows * step_y + LINE

    canvas = np.full((height, width, 3), 255, np.uint8)
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH))
    for k, ((rgb, _, colour), lines) in enumerate(zip(panels, captions, strict=True)):
        top, left = GAP + k // columns * step_y, GAP + k % columns * step_x
        canvas[top : top + TILE, left : left + TILE] = cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_AREA)
        for line, text in enumerate(lines):
            where = (left / width, 1 - (top + TILE + LINE * (line + 0.7)) / height)
            figure.text(*where, text, size=7, color=colour, va="center", weight="normal" if line else "bold")
    figure.figimage(canvas)
    figure.text(1 - GAP / width, GAP / 2 / height, FOOT, size=6.5, color=FAINT, ha="right")
    _save(figure, path)


def _series(history: Sequence[Mapping], key: str, time: str) -> tuple[NDArray, NDArray]:
    """A key's times and finite values, in order, with the mean where a time has several records."""
    records = [(record[time], record[key]) for record in history if record.get(key) is not None]
    records = np.array([record for record in records if np.isfinite(record[1])], np.float64).reshape(-1, 2)
    times, index = np.unique(records[:, 0], return_inverse=True)
    return times, np.bincount(index, records[:, 1]) / np.bincount(index)


def _show(axes: Axes, rgb: NDArray[np.uint8], title: str) -> None:
    axes.set_axis_off()
    axes.set_title(title, size=9, color=FAINT, pad=4)
    axes.imshow(rgb, interpolation="antialiased", aspect="auto")


def _scale(axes: Axes) -> None:
    """The map's colours as they look on a mid-grey radiograph, from 0 at the foot to 1 at the head."""
    ramp = np.linspace(1, 0, 256)[:, None]
    axes.imshow(overlay(np.full(ramp.shape, 128, np.uint8), None, ramp), aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], size=7)
    axes.spines[:].set_visible(False)


def _vote(axes: Axes, probabilities: Sequence[float] | None, votes: Sequence[int], classes: Sequence[str]) -> None:
    """Two bars a class: its share of the votes, and the mean probability that the patches gave it."""
    where, total = np.arange(len(classes)), np.sum(votes)
    bars = [(BLUE, "votes", np.asarray(votes) / total, [f"{count} of {total}" for count in votes])]
    if probabilities is not None and np.isfinite(probabilities).all():
        bars += [(ORANGE, "mean probability", np.asarray(probabilities), [f"{p:.2f}" for p in probabilities])]
    for k, (colour, label, shares, texts) in enumerate(bars):
        drawn = axes.barh(where + 0.36 * (k - (len(bars) - 1) / 2), shares, height=0.34, color=colour, label=label)
        axes.bar_label(drawn, texts, padding=3, size=7.5, color=FAINT)
    axes.set_yticks(where, classes)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.grid(axis="x")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, borderpad=0, handlelength=1.2)


def _wrap(text: str, width: int) -> list[str]:
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]] or [""]


def _save(figure: Figure, path: str | os.PathLike) -> None:
    png = io.BytesIO()
    figure.savefig(png, format="png", facecolor="white")
    whole.write(path, png.getvalue())
