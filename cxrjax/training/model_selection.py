"""Which epoch is the best, and when to stop: by any metric of validation, and strictly better only.

Of a metric whose name ends in "loss", lower is better; of every other, higher.
"""

import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

TRAIN_LOSS = "train/loss"  # what a plateau may be of, beside the metrics of validation
_VALIDATION = "val/"


def list_watched(training: ConfigDict) -> dict[str, str]:
    """Return the metrics of validation that a training depends on, by the setting that names each.

    Args:
        training: `config.training`.

    Raises:
        ValueError: `plateau_metric` is neither "", nor `TRAIN_LOSS`, nor begins with "val/".
    """
    watched = {"training.metric": training.metric}
    plateau = training.plateau_metric
    if training.schedule == "plateau" and plateau not in ("", TRAIN_LOSS):
        if not plateau.startswith(_VALIDATION):
            raise ValueError(f"training.plateau_metric={plateau} is not {TRAIN_LOSS}, nor val/ and a metric's name")
        watched["training.plateau_metric"] = plateau.removeprefix(_VALIDATION)
    return watched


def check_name(setting: str, metric: str, known: Sequence[str]) -> None:
    """Refuse a name of no metric.

    Args:
        setting: that names it.
        metric: the name; "" is not checked.
        known: the metrics of validation.

    Raises:
        ValueError: there is none of that name.
    """
    if metric and metric not in known:
        raise ValueError(f"{setting}: no metric called {metric!r}; there are {', '.join(known)}")


def signed_metric(metric: str, scores: Mapping[str, float]) -> float:
    """A metric's value, its sign changed where lower is better, so that higher always is; no number is the worst.

    Raises:
        ValueError: there is no such metric.
    """
    if metric not in scores:
        raise ValueError(f"no metric called {metric!r}; there are {', '.join(scores)}")
    value = -scores[metric] if metric.endswith("loss") else scores[metric]
    return -math.inf if math.isnan(value) else value


def update_best(best: Array, stale: Array, score: float) -> tuple[Array, Array, bool]:
    """After an epoch.

    Args:
        best: float32, highest `rank` so far.
        stale: int32, epochs since then.
        score: `rank` of this epoch.

    Returns:
        The new two, and whether this epoch is strictly better than all before.
    """
    score = jnp.float32(score)
    better = bool(score > best)
    return jnp.maximum(score, best), jnp.int32(0) if better else (stale + 1).astype(jnp.int32), better


def best_epoch(history: Sequence[Mapping[str, float]], metric: str) -> Mapping[str, float]:
    """The record of the best epoch, the first of equals."""
    return max(history, key=lambda record: signed_metric(metric, record))
