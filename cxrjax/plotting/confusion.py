"""Which findings were taken for which."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrjax.plotting import style


@matplotlib.rc_context(style.STYLE)
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
        where = {"ha": "center", "color": "white" if share[row, column] > 0.55 else style.INK if count else style.PALE}
        axes.text(column + 0.5, row + 0.5, str(count), va="bottom", size=12, **where)
        percent = "" if not count else "< 1%" if share[row, column] < 0.005 else f"{share[row, column]:.0%}"
        axes.text(column + 0.5, row + 0.56, percent, va="top", size=8, **where)
    axes.set_xticks(np.arange(len(findings)) + 0.5, ["\n".join(style.wrap(name, 13)) for name in findings])
    axes.set_yticks(np.arange(len(classes)) + 0.5, [f"{c}\nn = {n}" for c, n in zip(classes, support, strict=True)])
    axes.set(xlabel="finding", ylabel="truth")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    style.save(figure, path)
