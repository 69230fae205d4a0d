"""Figures of a training run: its learning curves and the curve of the learning-rate finder."""

import os
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from cxrjax.plotting import palette, style
from cxrjax.runtime.formatting import format_count, format_label

_PANEL_HEIGHT = 3.0  # inches, with its title and without its legend
_LEGEND_LINE = 0.2  # inches
_LOSSES = {"train/loss": "training", "val/loss": "validation"}
_SCORES = {
    "macro_f1": "macro F1",
    "macro_auroc": "macro AUROC",
    "worst_class": "recall of the worst class",
    "worst_group": "recall of the worst class of a source",
    "jaccard": "Jaccard index",
    "dice_lungs": "Dice of the lungs",
}


@matplotlib.rc_context(style.STYLE)
def draw_learning_curves(
    history: Sequence[Mapping], path: str | os.PathLike, score: str | None = None, num_radiographs: int | None = None
) -> None:
    """Draw the loss and, in a panel below, the scores over epochs, with the best epoch marked.

    The horizontal axis is the step if a record has no epoch.

    Args:
        history: records of `metrics.jsonl`, each with a "step" and optionally an "epoch": "train/loss", "val/loss", and
            all other keys "val/..." as scores. Records of the same epoch are averaged; values that are not finite are
            left out.
        path: the PNG or SVG to write.
        score: key that decides which epoch is best: the highest value of a score, the lowest of a loss. The first
            score by default.
        num_radiographs: that the training learned from, for the title.

    Raises:
        ValueError: the history has no loss, or no value of `score`.
    """
    time = "epoch" if all("epoch" in record for record in history) else "step"
    keys = dict.fromkeys(key for record in history for key in record if key.startswith(("train/loss", "val/")))
    series = {key: curve for key in keys if len((curve := _series(history, key, time))[0])}
    losses = [key for key in ("train/loss", "val/loss") if key in series]
    scores = [key for key in series if key not in losses]
    if not losses or score not in (None, *scores, *losses):
        raise ValueError(f"{path}: the history has no {score if losses else 'loss'} to draw")

    panels = [("Loss", losses)] + ([("Validation", scores)] if scores else [])
    height = sum(_PANEL_HEIGHT + _LEGEND_LINE * -(-len(panel_keys) // 2) for _, panel_keys in panels)
    figure = Figure(figsize=(4.8, height), layout="constrained")
    grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, panel_keys) in zip(grid, panels, strict=True):
        for key in panel_keys:
            marker = "o" if len(series[key][0]) == 1 else None
            axes.plot(*series[key], linewidth=1.8, label=name_series(key), marker=marker)
        axes.set_title(title)
        axes.grid(axis="y")
        gap = 0.5 if axes is grid[-1] else 0.15
        style.write_legend_below(axes, gap=gap, columns=2)
    grid[0].set_ylabel("loss (nats)")
    if scores:
        grid[-1].set_ylabel(f"{name_series(scores[0])} (0 to 1)" if len(scores) == 1 else "score (0 to 1)")
    score = score or (scores[0] if scores else None)
    if score:
        best_of = min if score in losses else max
        panel = 0 if score in losses else -1
        best_time, best_value = best_of(zip(*series[score], strict=True), key=lambda point: point[1])
        for axes in grid:
            axes.axvline(best_time, color=palette.FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        grid[panel].plot(best_time, best_value, "o", color=palette.INK, markersize=5)
        best = f"{name_series(score)} best at {time} {best_time:g}, {best_value:.3f}"
        grid[panel].set_title(f"{panels[panel][0]}: {best}")
    if num_radiographs is not None:
        figure.suptitle(f"Training on {format_count(num_radiographs, 'radiograph')}", size=10, x=0.02, ha="left")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[-1].set_xlabel(time)
    style.save(figure, path)


@matplotlib.rc_context(style.STYLE)
def draw_lr_curve(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], chosen: float, path: str | os.PathLike
) -> None:
    """Draw the curve of the learning-rate finder: loss over learning rate, on a logarithmic axis.

    Args:
        rates: learning rate of each step.
        losses: loss of each step.
        smoothed: running mean of the losses.
        chosen: the suggested learning rate, which is marked.
        path: the PNG to write.
    """
    figure = Figure(figsize=(4.8, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=palette.FAINT, linewidth=1, label="loss")
    axes.plot(rates, smoothed, linewidth=1.8, label="running mean")
    axes.axvline(chosen, color=palette.INK, linewidth=1, linestyle=(0, (4, 3)), label="suggested")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.0e}"))  # the style writes no formulas
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("learning rate (per step)")
    axes.set_ylabel("loss (nats)")
    axes.set_title(f"Loss by learning rate in {format_count(len(rates), 'step')}; suggested: {chosen:.1e}")
    style.write_legend_below(axes, columns=3)
    style.save(figure, path)


def name_series(key: str) -> str:
    """Return the name of a loss or score of `metrics.jsonl` as readers write it, as "macro F1" for "val/macro_f1"."""
    if key in _LOSSES:
        return _LOSSES[key]
    name = key.removeprefix("val/")
    return _SCORES.get(name, format_label(name))


def _series(history: Sequence[Mapping], key: str, time: str) -> tuple[NDArray, NDArray]:
    """Return the times and the finite values of a key, in order; values of the same time are averaged."""
    points = [(record[time], record[key]) for record in history if record.get(key) is not None]
    finite = np.array([point for point in points if np.isfinite(point[1])], np.float64).reshape(-1, 2)
    times, index = np.unique(finite[:, 0], return_inverse=True)
    return times, np.bincount(index, finite[:, 1]) / np.bincount(index)
