"""Shares of radiographs over something that can be chosen, with their intervals as bands."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cxrjax.plotting import style


class CurveWithCI(NamedTuple):
    """One curve with its interval."""

    name: str
    x: ArrayLike  # [g]
    y: ArrayLike  # [g] in 0..1
    low: ArrayLike  # [g] in 0..1
    high: ArrayLike  # [g] in 0..1


@matplotlib.rc_context(style.STYLE)
def draw_shares(
    curves: Sequence[CurveWithCI], title: str, label: str, path: str | os.PathLike, logarithmic: bool = False
) -> None:
    """Draws curves of shares, each with its interval as a band; the axis of shares ends at 1.

    Args:
        curves: at least one.
        title: of the figure.
        label: of the axis of what is chosen.
        path: the PNG or SVG to write.
        logarithmic: whether that axis is; the first curve's values are then its ticks.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for k, curve in enumerate(curves):
        (line,) = axes.plot(curve.x, curve.y, marker="os^D"[k % 4], markersize=4, linewidth=1.8, label=curve.name)
        axes.fill_between(curve.x, curve.low, curve.high, color=line.get_color(), alpha=0.15, linewidth=0)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xticks(curves[0].x, [f"{x:g}" for x in curves[0].x])
        axes.minorticks_off()
    bottom = min(min(curve.low) for curve in curves)
    axes.set(xlabel=label, ylim=(max(0.0, bottom - 0.05), 1.01))
    axes.set_title(title)
    axes.grid()
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    style.save(figure, path)
