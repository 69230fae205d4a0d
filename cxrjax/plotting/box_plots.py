"""How measures are spread in each class."""

import os
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cxrjax.plotting import style

COLUMNS = 3


@matplotlib.rc_context(style.STYLE)
def draw_box_plots(panels: Mapping[str, Mapping[str, ArrayLike]], path: str | os.PathLike) -> None:
    """Draws a panel a measure: a box a class (quartiles, whiskers to 1.5 times their distance), each value a dot.

    Args:
        panels: title -> class -> its values, at least one.
        path: the PNG to write.

    Raises:
        ValueError: there are no panels.
    """
    if not panels:
        raise ValueError(f"{path}: there is nothing to draw")
    most = max(len(classes) for classes in panels.values())
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * max(2.6, 0.72 * most + 0.6), 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, (title, classes) in zip(grid, panels.items(), strict=False):
        values = [np.asarray(each, np.float64) for each in classes.values()]
        boxes = axes.boxplot(
            values, widths=0.55, showfliers=False, patch_artist=True, medianprops={"color": style.INK, "linewidth": 1.4}
        )
        for box in boxes["boxes"]:
            box.set(facecolor=style.SKY, edgecolor=style.FAINT, alpha=0.55)
        scatter = np.random.default_rng(0)
        for k, each in enumerate(values, start=1):
            across = k + scatter.uniform(-0.18, 0.18, len(each))
            axes.plot(across, each, ".", color=style.BLUE, markersize=4, alpha=0.6, markeredgewidth=0)
        names = ["\n".join([*style.wrap(name, 12), str(len(each))]) for name, each in zip(classes, values, strict=True)]
        axes.set_xticks(range(1, len(names) + 1), names, size=6.5)
        axes.set_title("\n".join(style.wrap(title, 34)), size=8.5)
        axes.tick_params(axis="y", labelsize=7)
        axes.grid(axis="y")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    style.save(figure, path)
