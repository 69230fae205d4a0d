"""Figures of a training run: its learning curves and the curve of the learning-rate finder."""

import os
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cxrjax.plotting import palette, style


@matplotlib.rc_context(style.STYLE)
def draw_learning_curves(history: Sequence[Mapping], path: str | os.PathLike, score: str | None = None) -> None:
    """Draw the loss and, in a panel below, the scores over epochs, with the best epoch marked.

    The horizontal axis is the step if a record has no epoch.

    Args:
        history: records of `metrics.jsonl`, each with a "step" and optionally an "epoch": "train/loss", "val/loss", and
            all other keys "val/..." as scores. Records of the same epoch are averaged; values that are not finite are
            left out.
        path: the PNG or SVG to write.
        score: key that decides which epoch is best: the highest value of a score, the lowest of a loss. The first
            score by default.

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

    panels = [("loss", losses)] + ([("score", scores)] if scores else [])
    figure = Figure(figsize=(4.8, 3.4 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, panel_keys) in zip(grid, panels, strict=True):
        for key in panel_keys:
            axes.plot(*series[key], linewidth=1.8, label=key, marker="o" if len(series[key][0]) == 1 else None)
        axes.set_title(title)
        axes.grid(axis="y")
        axes.legend(loc="best", fontsize=8)
    score = score or (scores[0] if scores else None)
    if score:
        best_of = min if score in losses else max
        panel = 0 if score in losses else -1
        best_time, best_value = best_of(zip(*series[score], strict=True), key=lambda point: point[1])
        for axes in grid:
            axes.axvline(best_time, color=palette.FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        grid[panel].plot(best_time, best_value, "o", color=palette.INK, markersize=5)
        grid[panel].set_title(f"{panels[panel][0]}: {score} best at {time} {best_time:g}, {best_value:.3f}")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[-1].set_xlabel(time)
    style.save(figure, path)


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
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=palette.FAINT, linewidth=1, label="loss")
    axes.plot(rates, smoothed, linewidth=1.8, label="running mean")
    axes.axvline(chosen, color=palette.INK, linewidth=1, linestyle=(0, (4, 3)), label="suggested")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_title(f"loss by learning rate; suggested: {chosen:.1e}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    style.save(figure, path)


def _series(history: Sequence[Mapping], key: str, time: str) -> tuple[NDArray, NDArray]:
    """Return the times and the finite values of a key, in order; values of the same time are averaged."""
    points = [(record[time], record[key]) for record in history if record.get(key) is not None]
    finite = np.array([point for point in points if np.isfinite(point[1])], np.float64).reshape(-1, 2)
    times, index = np.unique(finite[:, 0], return_inverse=True)
    return times, np.bincount(index, finite[:, 1]) / np.bincount(index)
