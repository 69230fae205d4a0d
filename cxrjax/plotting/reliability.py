"""Whether what is claimed comes true: the reliability diagram (Murphy & Winkler 1977)."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cxrjax.plotting import style


class ReliabilityCurve(NamedTuple):
    """The bins of one set of probabilities."""

    name: str
    claimed: ArrayLike  # [b] in 0..1, mean probability of a bin
    true: ArrayLike  # [b] in 0..1, share of it that came true
    low: ArrayLike  # [b] in 0..1, of its interval
    high: ArrayLike  # [b] in 0..1


@matplotlib.rc_context(style.STYLE)
def draw_reliability(curves: Sequence[ReliabilityCurve], path: str | os.PathLike) -> None:
    """Draws the share of findings that are right over the probability claimed for them, on the diagonal at best.

    Args:
        curves: at least one.
        path: the PNG or SVG to write.
    """
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=style.PALE, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    for k, curve in enumerate(curves):
        claimed, true = np.asarray(curve.claimed), np.asarray(curve.true)
        reach = np.abs([true - curve.low, curve.high - true])
        look = {"marker": "os^D"[k % 4], "markersize": 5, "linewidth": 1.6, "elinewidth": 1}
        axes.errorbar(claimed, true, reach, label=curve.name, **look)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), aspect="equal", title="findings that are right, by what was claimed")
    axes.set(xlabel="probability of the finding (mean of a bin)", ylabel="share that is right")
    axes.grid()
    axes.legend(loc="best", fontsize=8)
    style.save(figure, path)
