"""The learning-rate finder (Smith 2017): train a little while the rate rises, and look where the loss falls.

Writes RUN/rate_finder.csv (rate, loss, running mean) and RUN/rate_finder.png.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from cxrjax import plotting
from cxrjax.io import csv_text
from cxrjax.runtime import atomic_files
from cxrjax.training import trainer

KEPT = 0.98  # share of the running mean kept each step (fastai)
EXPLODED = 4.0  # times the lowest running mean, at which a loss has exploded (fastai)
BELOW = 10.0  # the suggestion is the rate of the lowest running mean divided by this (fastai's "minimum")


def find_learning_rate(config: ConfigDict, workdir: Path) -> float:
    """Look for the learning rate of a config, from the weights that its training would begin with.

    The original (hieu2695 `Helper.py`) begins a new Adam at every step, so that the rate it finds is not that of a
    training; here one optimiser goes on.

    Args:
        config: see `configs/base.py`; `rate_finder` says where the rate begins and ends.
        workdir: where the curve goes; a training may be begun there afterwards.

    Returns:
        The rate suggested; see `suggest`.

    Raises:
        UnfitRun, MissingData: see there.
        ValueError: no loss is a number.
    """
    trainer.setup_workdir(config, workdir)
    training = trainer.Trainer(config, trainer.build_task(config, workdir))
    c = config.rate_finder
    rise = c.highest / c.lowest

    def rate(number: Any, _: Any = None) -> Any:
        return c.lowest * rise ** (number / (c.steps - 1))

    state = training.begin(0)
    rates, losses, mean = [], [], RunningMean()
    for number in tqdm(range(c.steps), desc="finding the rate", unit="step"):
        given = training.supply.give(number)
        if not number:
            step = training.compile(training.phases[0], rate, state, given)
        state = step(state, given)
        loss = float(jax.device_get(state.loss_sum))
        if not math.isfinite(loss):
            break
        rates.append(rate(number))
        losses.append(loss)
        if mean.add(loss) > EXPLODED * min(mean.values):
            break
        state = state._replace(loss_sum=state.loss_sum * 0)
    if not losses:
        raise ValueError(f"the loss is {loss} from the first step on")
    chosen = suggest(rates, mean.values)
    table = [("rate", "loss", "running_mean"), *zip(rates, losses, mean.values, strict=True)]
    atomic_files.atomic_write(workdir / "rate_finder.csv", csv_text.encode_rows(table))
    plotting.draw_lr_curve(rates, losses, mean.values, chosen, workdir / "rate_finder.png")
    return chosen


class RunningMean:
    """An exponential mean that does not lean towards its beginning."""

    def __init__(self) -> None:
        self._sum, self.values = 0.0, []

    def add(self, value: float) -> float:
        """Take a value in; the mean with it."""
        self._sum = KEPT * self._sum + (1 - KEPT) * value
        self.values.append(self._sum / (1 - KEPT ** (len(self.values) + 1)))
        return self.values[-1]


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """A tenth of the rate at which the running mean of the loss is lowest: still falling, and safely so."""
    return min(zip(smoothed, rates, strict=True))[1] / BELOW
