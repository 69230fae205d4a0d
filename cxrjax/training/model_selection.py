"""Selection of the best epoch, and early stopping, by a metric of validation; only strictly better epochs count.

Lower is better for a metric whose name ends in "loss"; higher is better for every other.
"""

import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jax import Array

from cxrjax.config import Config
from cxrjax.config.settings import TrainingConfig
from cxrjax.training import schedules
from cxrjax.training.schedules import PlateauState

WITHOUT_VALIDATION = (
    "data.validation is empty: the network of the last epoch is used, the training does not stop early, and the run "
    "has no temperature, no operating points and no confidence below which a label is undecided"
)
TRAIN_LOSS = "train/loss"  # may be the metric of a plateau, besides the metrics of validation
_VALIDATION_PREFIX = "val/"


def list_watched(training: TrainingConfig) -> dict[str, str]:
    """Return the metrics of validation that a training depends on, by the setting that names each.

    Args:
        training: `config.training`.

    Raises:
        ValueError: `plateau_metric` is neither "", nor `TRAIN_LOSS`, nor begins with "val/".
    """
    watched = {"training.metric": training.metric}
    plateau_metric = training.plateau_metric
    if training.schedule == "plateau" and plateau_metric not in ("", TRAIN_LOSS):
        if not plateau_metric.startswith(_VALIDATION_PREFIX):
            raise ValueError(
                f"training.plateau_metric={plateau_metric} is not {TRAIN_LOSS}, nor val/ and a metric's name"
            )
        watched["training.plateau_metric"] = plateau_metric.removeprefix(_VALIDATION_PREFIX)
    return watched


def check_name(setting: str, metric: str, available: Sequence[str]) -> None:
    """Check that a metric exists.

    Args:
        setting: the setting that names the metric.
        metric: name of the metric; "" is not checked.
        available: names of the metrics of validation.

    Raises:
        ValueError: there is no metric of that name.
    """
    if metric and metric not in available:
        raise ValueError(f"{setting}: no metric called {metric!r}; there are {', '.join(available)}")


def signed_metric(metric: str, scores: Mapping[str, float]) -> float:
    """Return the value of a metric, negated where lower is better, so that higher is better; -inf for NaN.

    Raises:
        ValueError: there is no such metric.
    """
    if metric not in scores:
        raise ValueError(f"no metric called {metric!r}; there are {', '.join(scores)}")
    value = -scores[metric] if metric.endswith("loss") else scores[metric]
    return -math.inf if math.isnan(value) else value


def update_best(best: Array, epochs_since_best: Array, score: float) -> tuple[Array, Array, bool]:
    """Update the best score after an epoch.

    Args:
        best: float32, highest `signed_metric` so far.
        epochs_since_best: int32.
        score: `signed_metric` of this epoch.

    Returns:
        The updated `best` and `epochs_since_best`, and whether this epoch is strictly better than all before.
    """
    score = jnp.float32(score)
    improved = bool(score > best)
    epochs = jnp.int32(0) if improved else (epochs_since_best + 1).astype(jnp.int32)
    return jnp.maximum(score, best), epochs, improved


def selection_metric(config: Config) -> str:
    """Return the key of a record of metrics.jsonl that decides which epoch is best; "" without a validation split.

    Raises:
        ValueError: `training.metric` is empty, or the learning rate depends on validation, and there is none.
    """
    c = config.training
    if config.data.validation:
        if not c.metric:
            raise ValueError("training.metric is empty: name the metric of validation by which an epoch is the best")
        return f"{_VALIDATION_PREFIX}{c.metric}"
    if c.schedule == "plateau" and c.plateau_metric != TRAIN_LOSS:
        raise ValueError(f"training.schedule=plateau needs a data.validation, or training.plateau_metric={TRAIN_LOSS}")
    return ""


def best_epoch(history: Sequence[dict[str, float]], metric: str) -> dict[str, float]:
    """Return the record of the best epoch, the first one if several are equal; the last epoch for the metric ""."""
    if not metric:
        return history[-1]
    return max(history, key=lambda record: signed_metric(metric, record))


def update_plateau(plateau: PlateauState, metrics: Mapping[str, float], c: TrainingConfig) -> PlateauState:
    """Return the state of the schedule "plateau" after an epoch; unchanged for other schedules.

    Args:
        plateau: state before the epoch.
        metrics: "train/loss" and "val/…" of the epoch.
        c: `config.training`.
    """
    if c.schedule != "plateau":
        return plateau
    score = signed_metric(c.plateau_metric or f"val/{c.metric}", metrics)
    return schedules.update_plateau(plateau, score, c.plateau_patience, c.lr_factor, c.plateau_min_delta)
