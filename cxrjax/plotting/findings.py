"""Figures of several findings, one small panel per finding: ROC, precision over recall, and reliability."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrjax.plotting import palette, style
from cxrjax.plotting.evaluation import DASHED, ReliabilityCurve, RocCurve

COLUMNS = 3  # panels per row, on the width of a phone
_PANEL = (1.6, 2.05)  # inches
_TITLE_WIDTH = 20  # characters per line of the title of a panel


@matplotlib.rc_context(style.STYLE)
def draw_roc_panels(curves: Sequence[RocCurve], path: str | os.PathLike) -> None:
    """Draw the ROC curve of each finding in a panel; chance level is dashed, operating points are dots.

    Args:
        curves: one per finding, at least one.
        path: the PNG or SVG to write.
    """

    def draw(axes: Axes, curve: RocCurve) -> str:
        axes.plot([0, 1], [0, 1], **DASHED)
        axes.plot(curve.false_positive_rate, curve.sensitivity, linewidth=1.4, color=palette.BLUE)
        for x, y in curve.points:
            axes.plot(x, y, "o", color=palette.ORANGE, markersize=4, markeredgecolor=palette.PAPER)
        return f"{_wrap(curve.name)}\n{curve.areas[0]}\n{_describe_size(curve)}"

    title = "ROC: area under the curve; n with the finding, of all"
    _draw_panels(curves, draw, path, title, ("1 − specificity (0 to 1)", "sensitivity (0 to 1)"))


@matplotlib.rc_context(style.STYLE)
def draw_precision_panels(curves: Sequence[RocCurve], path: str | os.PathLike) -> None:
    """Draw the precision over the recall of each finding in a panel; its prevalence, chance level, is dashed.

    Args:
        curves: one per finding, at least one.
        path: the PNG or SVG to write.
    """

    def draw(axes: Axes, curve: RocCurve) -> str:
        axes.axhline(curve.prevalence, **DASHED)
        axes.plot(curve.sensitivity, curve.precision, drawstyle="steps-pre", linewidth=1.4, color=palette.BLUE)
        return f"{_wrap(curve.name)}\n{curve.areas[1]}\n{_describe_size(curve)}"

    title = "Average precision; n with the finding, of all"
    _draw_panels(curves, draw, path, title, ("recall (0 to 1)", "precision (0 to 1)"))


@matplotlib.rc_context(style.STYLE)
def draw_reliability_panels(panels: Sequence[tuple[str, Sequence[ReliabilityCurve]]], path: str | os.PathLike) -> None:
    """Draw the reliability diagram of each finding in a panel: its frequency over its probability.

    Args:
        panels: (finding, curves), at least one.
        path: the PNG or SVG to write.
    """

    def draw(axes: Axes, panel: tuple[str, Sequence[ReliabilityCurve]]) -> str:
        axes.plot([0, 1], [0, 1], **DASHED)
        for curve, color in zip(panel[1], (palette.BLUE, palette.ORANGE), strict=False):
            accuracy = np.asarray(curve.accuracy)
            bounds = np.abs([accuracy - curve.low, curve.high - accuracy])
            axes.errorbar(
                np.asarray(curve.mean_confidence),
                accuracy,
                bounds,
                color=color,
                marker=".",
                linewidth=1.2,
                elinewidth=0.7,
            )
        size = f"n = {panel[1][0].num_predictions}"
        return "\n".join([_wrap(panel[0]), *(curve.name for curve in panel[1]), size])

    title = "Reliability: frequency of each finding; n predictions"
    _draw_panels(panels, draw, path, title, ("probability (0 to 1)", "frequency (0 to 1)"))


def _describe_size(curve: RocCurve) -> str:
    return f"n = {curve.num_positive} of {curve.num_radiographs}"


def _wrap(name: str) -> str:
    return "\n".join(palette.wrap(name, _TITLE_WIDTH))


def _draw_panels(
    items: Sequence[Any],
    draw: Callable[[Axes, Any], str],
    path: str | os.PathLike,
    title: str,
    labels: tuple[str, str],
) -> None:
    """Draw one panel per item, whose title `draw` returns, all over the unit square.

    Args:
        items: at least one.
        draw: draws an item, and returns the title of its panel.
        path: the PNG or SVG to write.
        title: of the figure.
        labels: of the horizontal and of the vertical axes.
    """
    rows = -(-len(items) // COLUMNS)
    columns = min(COLUMNS, len(items))
    figure = Figure(figsize=(_PANEL[0] * max(columns, 2), _PANEL[1] * rows + 0.55), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, item in zip(grid, items, strict=False):
        axes.set_title(draw(axes, item), size=7)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xticks([0, 1], ["0", "1"], size=7)
        axes.set_yticks([0, 1], ["0", "1"], size=7)
    for axes in grid[len(items) :]:
        axes.set_visible(False)
    figure.suptitle(title, size=9, x=0.02, ha="left")
    figure.supxlabel(labels[0], size=8)
    figure.supylabel(labels[1], size=8)
    style.save(figure, path)
