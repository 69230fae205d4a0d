"""How much of a score each shortcut reaches."""

import os
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrjax.plotting import style
from cxrjax.runtime.formatting import interval_or_value

GROUPS = {
    "shortcut": ("shortcuts", style.RED),
    "content": ("what is left for the lungs", style.BLUE),
    "check": ("checks", style.FAINT),
}


@matplotlib.rc_context(style.STYLE)
def draw_audit(audit: Mapping[str, Any], metric: str, path: str | os.PathLike) -> None:
    """Draws the score, what each control reaches, and chance: a dot and a 95% interval a row.

    Args:
        audit: what audit.json says: "score", "chance", "controls", "n", "patients".
        metric: the score drawn, as "macro_auroc"; controls without it are left out, and planted marks.
        path: the PNG or SVG to write.
    """
    rows = [("the network", audit["score"][metric], style.INK, "")]
    for kind, (heading, colour) in GROUPS.items():
        of = [
            one
            for one in audit["controls"]
            if one["kind"] == kind and "flips" not in one and _known(one["scores"].get(metric))
        ]
        rows += [(heading, None, colour, "")] if of else []
        for one in of:
            share = "" if not one["share"] else f"{one['share']['value']:.0%}"
            by = "" if one["by"] == "small network" else f" ({one['by']})"
            rows.append((one["title"] + by, one["scores"][metric], colour, share))

    figure = Figure(figsize=(7.6, 0.27 * len(rows) + 1.1), layout="constrained")
    axes = figure.subplots()
    score, chance = audit["score"][metric], audit["chance"][metric]
    axes.axvline(chance, color=style.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    if _known(score):
        axes.axvline(score["value"], color=style.INK, linewidth=1)
        axes.axvspan(*interval_or_value(score), color=style.INK, alpha=0.08, linewidth=0)
        _name(axes, score["value"], "score")
    for place, (_, number, colour, share) in enumerate(rows):
        if not _known(number):
            continue
        axes.plot(interval_or_value(number), [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(number["value"], place, "o", color=colour, markersize=5)
        axes.text(1.01, place, share, transform=axes.get_yaxis_transform(), va="center", size=8, color=colour)
    axes.text(1.01, -0.9, "share", transform=axes.get_yaxis_transform(), va="center", size=8, color=style.FAINT)
    axes.set_yticks(range(len(rows)), [title for title, *_ in rows])
    for tick, (_, number, colour, _) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(color=colour, weight="bold" if number is None or colour == style.INK else "normal")
    axes.set_ylim(len(rows) - 0.4, -1.4)
    _name(axes, chance, "chance")
    title = f"{audit['n']} radiographs of {audit['patients']} patients: what reaches how much of the score"
    figure.suptitle(title, x=0.01, ha="left", size=10)  # the axes' own would begin where the names of rows end
    axes.set_xlabel(f"{metric.replace('_', ' ').replace('auroc', 'AUROC')}, with 95% intervals by patient")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    style.save(figure, path)


def _name(axes: Axes, where: float, name: str) -> None:
    """Name a vertical line at its head."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(where, -0.9, name, ha="center", va="center", size=8, color=style.INK, bbox=box)


def _known(number: Mapping[str, Any] | None) -> bool:
    return number is not None and number["value"] is not None
