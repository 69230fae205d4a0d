"""How a training went: its learning curves, and the curve of the learning-rate finder."""

import os
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cxrjax.plotting import style


@matplotlib.rc_context(style.STYLE)
def draw_learning_curves(history: Sequence[Mapping], path: str | os.PathLike, score: str | None = None) -> None:
    """Draws loss, and beneath it the scores, over epochs (over steps where a record has no epoch); the best is marked.

    Args:
        history: the records of `metrics.jsonl`, each with a "step" and perhaps an "epoch": "train/loss", "val/loss",
            and as scores all other "val/..."; those of one epoch are averaged, values that are not finite left out.
        path: the PNG to write.
        score: the key whose highest value is the best, of a loss the lowest; the first of the scores where not given.

    Raises:
        ValueError: there is no loss, or not the score asked for.
    """
    time = "epoch" if all("epoch" in record for record in history) else "step"
    keys = dict.fromkeys(key for record in history for key in record if key.startswith(("train/loss", "val/")))
    series = {key: curve for key in keys if len((curve := _series(history, key, time))[0])}
    losses = [key for key in ("train/loss", "val/loss") if key in series]
    scores = [key for key in series if key not in losses]
    if not losses or score not in (None, *scores, *losses):
        raise ValueError(f"{path}: the history has no {score if losses else 'loss'} to draw")

    panels = [("loss", losses)] + ([("score", scores)] if scores else [])
    figure = Figure(figsize=(7.2, 2.7 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, group) in zip(grid, panels, strict=True):
        for key in group:
            axes.plot(*series[key], linewidth=1.8, label=key, marker="o" if len(series[key][0]) == 1 else None)
        axes.set_title(title)
        axes.grid(axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    score = score or (scores[0] if scores else None)
    if score:
        best_of, panel = (min, 0) if score in losses else (max, -1)
        best_time, best = best_of(zip(*series[score], strict=True), key=lambda point: point[1])
        for axes in grid:
            axes.axvline(best_time, color=style.FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        grid[panel].plot(best_time, best, "o", color=style.INK, markersize=5)
        grid[panel].set_title(f"{panels[panel][0]}: {score} best at {time} {best_time:g}, {best:.3f}")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[-1].set_xlabel(time)
    style.save(figure, path)


def draw_lr_curve(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], chosen: float, path: str | os.PathLike
) -> None:
    """Draws the curve of the learning-rate finder, loss over rate on a logarithmic axis, the chosen rate marked.

    Args:
        rates: of each step.
        losses: of each step.
        smoothed: their running mean.
        chosen: the rate suggested.
        path: the PNG to write.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=style.FAINT, linewidth=1, label="loss")
    axes.plot(rates, smoothed, linewidth=1.8, label="running mean")
    axes.axvline(chosen, color=style.INK, linewidth=1, linestyle=(0, (4, 3)), label="suggested")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_title(f"loss by learning rate; suggested: {chosen:.1e}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    style.save(figure, path)


def _series(history: Sequence[Mapping], key: str, time: str) -> tuple[NDArray, NDArray]:
    """A key's times and finite values, in order, with the mean where a time has several records."""
    records = [(record[time], record[key]) for record in history if record.get(key) is not None]
    records = np.array([record for record in records if np.isfinite(record[1])], np.float64).reshape(-1, 2)
    times, index = np.unique(records[:, 0], return_inverse=True)
    return times, np.bincount(index, records[:, 1]) / np.bincount(index)
