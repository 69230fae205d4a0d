"""Learning rate finder (Smith 2017): train for some steps at a rising rate, and find where the loss is lowest.

Writes RUN/lr_finder.csv (rate, loss, running mean) and RUN/lr_finder.png.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from cxrjax import plotting
from cxrjax.config import Config
from cxrjax.io import csv_text
from cxrjax.runtime import atomic_files
from cxrjax.runtime.progress import progress_bar
from cxrjax.training.trainer import Trainer, build_task, setup_workdir

DECAY = 0.98  # of the running mean of the loss, per step (fastai)
DIVERGENCE_FACTOR = 4.0  # the loss has diverged if its running mean exceeds its minimum by this factor (fastai)
SUGGESTION_DIVISOR = 10.0  # suggested rate: the rate at the minimum of the running mean over this (fastai's "minimum")


def find_learning_rate(config: Config, workdir: Path) -> float:
    """Find a learning rate for a config, starting from the initial weights of its training.

    The original (hieu2695 `Helper.py`) creates a new Adam for every step, so that its rate is not that of a training;
    here, one optimizer is used throughout.

    Args:
        config: see `cxrjax/config/__init__.py`; `lr_finder` has the first and the last rate.
        workdir: folder of the curve; a training may be started there afterwards.

    Returns:
        The suggested rate; see `suggest`.

    Raises:
        RunError: the run directory does not fit the config.
        DatasetError: the data set is missing or does not fit the config.
        ValueError: the loss is not finite from the first step on.
    """
    config = setup_workdir(config, workdir)
    trainer = Trainer(config, build_task(config, workdir))
    c = config.lr_finder
    ratio = c.max_lr / c.min_lr

    def learning_rate(number: Any, _: Any = None) -> Any:
        return c.min_lr * ratio ** (number / (c.num_steps - 1))

    state = trainer.init_state(0)
    rates: list[float] = []
    losses: list[float] = []
    mean = RunningMean()
    step = None
    loss = math.nan
    for number in progress_bar(range(c.num_steps), desc="finding the rate", unit="step"):
        batch = trainer.loader.next_batch(number)
        if step is None:
            step = trainer.compile_step(trainer.phases[0], learning_rate, state, batch)
        state = step(state, batch)
        loss = float(jax.device_get(state.loss_sum))
        if not math.isfinite(loss):
            break
        rates.append(learning_rate(number))
        losses.append(loss)
        if mean.add(loss) > DIVERGENCE_FACTOR * min(mean.values):
            break
        state = state._replace(loss_sum=state.loss_sum * 0)
    if not losses:
        raise ValueError(f"the loss is {loss} from the first step on")
    suggestion = suggest(rates, mean.values)
    table = [("rate", "loss", "running_mean"), *zip(rates, losses, mean.values, strict=True)]
    atomic_files.atomic_write(workdir / "lr_finder.csv", csv_text.encode_rows(table))
    plotting.draw_lr_curve(rates, losses, mean.values, suggestion, workdir / "lr_finder.png")
    return suggestion


class RunningMean:
    """Exponential moving average with bias correction."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._sum = 0.0

    def add(self, value: float) -> float:
        """Add a value, and return the updated mean."""
        self._sum = DECAY * self._sum + (1 - DECAY) * value
        self.values.append(self._sum / (1 - DECAY ** (len(self.values) + 1)))
        return self.values[-1]


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """Return a tenth of the rate at the minimum of the smoothed loss, where the loss is still falling."""
    return min(zip(smoothed, rates, strict=True))[1] / SUGGESTION_DIVISOR
