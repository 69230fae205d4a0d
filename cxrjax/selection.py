"""Which epoch is the best, and when to stop: by any metric of validation, and strictly better only.

Of a metric whose name ends in "loss", lower is better; of every other, higher.
"""

import math
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jax import Array


def rank(metric: str, scores: Mapping[str, float]) -> float:
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


def find_best(history: Sequence[Mapping[str, float]], metric: str) -> Mapping[str, float]:
    """The record of the best epoch, the first of equals."""
    return max(history, key=lambda record: rank(metric, record))
