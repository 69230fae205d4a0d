"""Figure of an audit: the share of the score that each shortcut reaches."""

import os
from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrjax.plotting import palette, style
from cxrjax.runtime.formatting import describe_counts, interval_or_value, lacks_patient_ids

GROUPS = {
    "shortcut": ("shortcuts", palette.RED),
    "content": ("what is left for the lungs", palette.BLUE),
    "check": ("checks", palette.FAINT),
}


@matplotlib.rc_context(style.STYLE)
def draw_audit(audit: Mapping[str, Any], metric: str, shares: Mapping[str, str], path: str | os.PathLike) -> None:
    """Draw the score, the score of each control experiment and chance level, one row with a dot and 95% interval each.

    Args:
        audit: content of audit.json: "scores", "chance", "experiments", "n", "patients", "without_patient".
        metric: the score to draw, such as "macro_auroc". Experiments without it and marker experiments are left out.
        shares: share of the score of the experiments that have one, by name, as text.
        path: the PNG or SVG to write.
    """
    rows = [("the network", audit["scores"][metric], palette.INK, "")]
    for category, (heading, color) in GROUPS.items():
        experiments = [
            experiment
            for experiment in audit["experiments"]
            if experiment["category"] == category
            and "flip_rate" not in experiment
            and _has_value(experiment["scores"].get(metric))
        ]
        if experiments:
            rows.append((heading, None, color, ""))
        for experiment in experiments:
            model = "" if experiment["model"] == "small network" else f" ({experiment['model']})"
            rows.append(
                (experiment["title"] + model, experiment["scores"][metric], color, shares.get(experiment["name"], ""))
            )

    figure = Figure(figsize=(7.6, 0.27 * len(rows) + 1.1), layout="constrained")
    axes = figure.subplots()
    score = audit["scores"][metric]
    chance = audit["chance"][metric]
    axes.axvline(chance, color=palette.FAINT, linewidth=1, linestyle=(0, (4, 3)))
    if _has_value(score):
        axes.axvline(score["value"], color=palette.INK, linewidth=1)
        axes.axvspan(*interval_or_value(score), color=palette.INK, alpha=0.08, linewidth=0)
        _label_line(axes, score["value"], "score")
    for y, (_, estimate, color, share) in enumerate(rows):
        if not _has_value(estimate):
            continue
        axes.plot(interval_or_value(estimate), [y, y], color=color, linewidth=2, solid_capstyle="butt")
        axes.plot(estimate["value"], y, "o", color=color, markersize=5)
        axes.text(1.01, y, share, transform=axes.get_yaxis_transform(), va="center", size=8, color=color)
    axes.text(1.01, -0.9, "share", transform=axes.get_yaxis_transform(), va="center", size=8, color=palette.FAINT)
    axes.set_yticks(range(len(rows)), [title for title, *_ in rows])
    for tick, (_, estimate, color, _) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(color=color, weight="bold" if estimate is None or color == palette.INK else "normal")
    axes.set_ylim(len(rows) - 0.4, -1.4)
    _label_line(axes, chance, "chance")
    title = f"{describe_counts(audit)}: what reaches how much of the score"
    figure.suptitle(title, x=0.01, ha="left", size=10)  # a title of the axes would begin to the right of the row labels
    unit = "radiograph" if lacks_patient_ids(audit) else "patient"
    axes.set_xlabel(f"{metric.replace('_', ' ').replace('auroc', 'AUROC')}, with 95% intervals by {unit}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    style.save(figure, path)


def _label_line(axes: Axes, x: float, label: str) -> None:
    """Write a label at the top of a vertical line."""
    box = {"facecolor": palette.PAPER, "edgecolor": "none", "pad": 1.5}
    axes.text(x, -0.9, label, ha="center", va="center", size=8, color=palette.INK, bbox=box)


def _has_value(estimate: Mapping[str, Any] | None) -> bool:
    return estimate is not None and estimate["value"] is not None
