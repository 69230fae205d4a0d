"""What is left of a finding as the hottest pixels of its map go, and what comes back with them."""

import os
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cxrjax.plotting import style


@matplotlib.rc_context(style.STYLE)
def draw_faithfulness(curves: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Draws the deletion and the insertion curve side by side, each with that of a random order.

    Args:
        curves: "shares" [steps + 1] of the pixels; then of "deletion", "deletion_control", "insertion" and
            "insertion_control" the "value" (probability of the finding), and "low" and "high" (None where not known).
        path: the PNG or SVG to write.
    """
    figure = Figure(figsize=(8.2, 3.3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    shares = np.array(curves["shares"])
    for axes, (name, verb) in zip(panels, (("deletion", "deleted"), ("insertion", "inserted")), strict=True):
        areas = []
        for key, label, colour, line in (
            (name, "the map's hottest first", style.BLUE, "-"),
            (f"{name}_control", "a random order", style.ORANGE, "--"),
        ):
            value, low, high = (np.array(curves[key][part], np.float64) for part in ("value", "low", "high"))
            axes.plot(shares, value, line, color=colour, linewidth=1.8, label=label)
            axes.fill_between(shares, low, high, color=colour, alpha=0.18, linewidth=0)
            areas.append(np.trapezoid(value, shares))
        axes.set_title(f"{name}: area {areas[0]:.2f}; in a random order {areas[1]:.2f}")
        axes.set(xlabel=f"share of the pixels {verb}", xlim=(0, 1), ylim=(0, 1))
        axes.grid(axis="y")
    panels[0].set_ylabel("probability of the finding")
    panels[0].legend(loc="best")
    style.save(figure, path)
