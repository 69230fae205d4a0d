"""How well each class is put before the others: ROC and precision-recall curves."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cxrjax.plotting import style


class RocCurve(NamedTuple):
    """The curves of one class, against the rest; every value in 0..1."""

    name: str
    false_positive_rate: ArrayLike  # [g], rising
    sensitivity: ArrayLike  # [g], rising; recall is another name of it
    precision: ArrayLike  # [g]
    prevalence: float  # precision by chance
    areas: tuple[str, str]  # under the two curves, as the legends have it
    points: Sequence[tuple[float, float]] = ()  # (false positive rate, sensitivity), operating points to be marked


@matplotlib.rc_context(style.STYLE)
def draw_roc_curves(classes: Sequence[RocCurve], path: str | os.PathLike) -> None:
    """Draws the ROC curves of the classes and, beside them, their precision over recall, in steps.

    Chance is dashed: in the second panel at each class's share of the radiographs. Operating points are dots.

    Args:
        classes: at least one.
        path: the PNG or SVG to write.
    """
    figure = Figure(figsize=(9.6, 5.0), layout="constrained")
    roc, recall = figure.subplots(1, 2)
    dashed = {"color": style.PALE, "linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 1}
    roc.plot([0, 1], [0, 1], **dashed)
    for one in classes:
        (line,) = roc.plot(one.false_positive_rate, one.sensitivity, linewidth=1.6, label=f"{one.name} {one.areas[0]}")
        look = {"color": line.get_color(), "linewidth": 1.6}
        for x, y in one.points:
            roc.plot(x, y, "o", color=line.get_color(), markersize=5, markeredgecolor="white")
        label = f"{one.name} {one.areas[1]}"
        recall.plot(one.sensitivity, one.precision, drawstyle="steps-pre", label=label, **look)
        recall.axhline(one.prevalence, **dashed | {"color": line.get_color(), "alpha": 0.5})
    roc.set(xlabel="1 − specificity", ylabel="sensitivity", title="ROC: area under the curve")
    recall.set(xlabel="recall", ylabel="precision", title="precision and recall: average precision")
    for axes, corner in ((roc, "lower right"), (recall, "lower left")):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.legend(loc=corner, fontsize=8, frameon=True, framealpha=0.8, edgecolor="white")
    style.save(figure, path)
