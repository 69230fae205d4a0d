"""Scores over resamples, and what is said of them: the value, its 95% interval, and n.

A measure takes weights [r, n], r times a weight for each of n radiographs, and gives a tree of dicts. Its leaves are
arrays [r] or a `Share` or `Inflated` of such; the keys of `COUNTS` hold numbers of radiographs; what is no array is
the same in every resample. Row 0 is the data themselves, the rest are resamples.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrjax.statistics import proportions

COUNTS = ("n", "no_finding", "failed", "flagged", "support")


class Share(NamedTuple):
    """A proportion of radiographs."""

    value: NDArray  # [r] in 0..1, NaN where it is of none
    of: NDArray  # [r], how many radiographs it is of


class Inflated(NamedTuple):
    """A distance from an ideal, which noise pushes up: in the data once, and in a resample of them once more."""

    value: NDArray  # [r], 0 at best


def share(part: NDArray, whole: NDArray) -> Share:
    """The Share of `part` in `whole`, both weighted numbers of radiographs of equal shape."""
    return Share(divide(part, whole), whole)


def divide(a: NDArray, b: NDArray) -> NDArray:
    """a / b, and NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def mean_known(values: NDArray) -> NDArray:
    """Mean over the last axis of those that are not NaN; NaN where all are."""
    known = ~np.isnan(values)
    return divide(np.where(known, values, 0).sum(-1), known.sum(-1))


def values(leaf: NDArray | Share | Inflated) -> NDArray:
    """A leaf's values [r]."""
    return leaf if isinstance(leaf, np.ndarray) else leaf.value


def point(tree: Any) -> Any:
    """What a tree says of the data themselves: numbers alone, None for NaN."""
    if isinstance(tree, Mapping):
        return {key: int(part[0]) if key in COUNTS else point(part) for key, part in tree.items()}
    return _number(values(tree)[0])


def describe(tree: Any, crowding: float = 1.0, n: int = 0) -> Any:
    """Every leaf of a tree as {"value", "interval", "n"}; None for what cannot be earned.

    The interval of a plain leaf is that of percentiles over the resamples (Efron & Tibshirani 1993, chapter 13), those
    in which it cannot be earned left out. An `Inflated` one has the basic interval (their section 13.4 calls it
    reflected), never below 0, for percentiles would add the noise's push a second time. A `Share` has Wilson's, of an
    effective number of radiographs: as many as, drawn one by one, would vary as the resamples do (Franco et al. 2019,
    J Surv Stat Methodol 7:334), and never more than there are.

    Args:
        tree: see above.
        crowding: see `resampling.crowding`; what the effective number is divided by where a share is 0 or 1, and the
            resamples do not vary.
        n: radiographs, for the leaves that stand in no dict with a "support" or "n".
    """
    if isinstance(tree, Mapping):
        n = next((int(tree[key][0]) for key in ("support", "n") if key in tree), n)
        return {k: int(part[0]) if k in COUNTS else describe(part, crowding, n) for k, part in tree.items()}
    if not isinstance(tree, np.ndarray | Share | Inflated):
        return tree
    value, *resampled = values(tree)
    resampled = np.array(resampled)[~np.isnan(resampled)] if resampled else np.array([])
    n = int(round(tree.of[0])) if isinstance(tree, Share) else n
    interval = None
    if not np.isnan(value) and n and len(resampled):
        interval = [float(bound) for bound in _interval(tree, float(value), resampled, n, crowding)]
    return {"value": _number(value), "interval": interval, "n": n}


def _interval(leaf: Any, value: float, resampled: NDArray, n: int, crowding: float) -> tuple[float, float]:
    if isinstance(leaf, Share):
        spread, variance = value * (1 - value), resampled.var()
        effective = min(n, spread / variance) if spread > 0 and variance > 0 else n / crowding
        return proportions.wilson(value, effective)
    tail = (1 - proportions.LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return (max(0.0, 2 * value - high), max(0.0, 2 * value - low)) if isinstance(leaf, Inflated) else (low, high)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
