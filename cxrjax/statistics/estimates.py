"""Scores over resamples, and what is said of them: the value, its 95% interval, and n.

A measure takes weights [r, n], r times a weight for each of n radiographs, and gives a tree of dicts. Its leaves are
arrays [r] or a `Share`, `Mean` or `Inflated` of such; the keys of `COUNTS` hold numbers of radiographs; what is no
array is the same in every resample. Row 0 is the data themselves, the rest are resamples.
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


class Mean(NamedTuple):
    """A mean over those radiographs of which a value is known."""

    value: NDArray  # [r], NaN where it is of none
    of: NDArray  # [r], how many radiographs it is of


class Inflated(NamedTuple):
    """A distance f(g) of gaps g from none, convex in them, so that the noise d of the gaps seen pushes it up.

    Resampled, it would be pushed up once more; so a measure says what the noise of a resample does to it.
    """

    value: NDArray  # [r], f(g + d); 0 at best
    pushed: NDArray  # [r], at least how far d may have pushed it up, of a resample's d: 0 in the data
    hidden: NDArray  # [r], -f'(g + d) d: as f is convex, the truth is never further above the value than -f'(g) d
    chance: NDArray  # [r], what noise of independent radiographs alone reaches in 97.5%; 0 where that is not known


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


def values(leaf: NDArray | Share | Mean | Inflated) -> NDArray:
    """A leaf's values [r]."""
    return leaf if isinstance(leaf, np.ndarray) else leaf.value


def point(tree: Any) -> Any:
    """What a tree says of the data themselves: numbers alone, None for NaN."""
    if isinstance(tree, Mapping):
        return {key: int(part[0]) if key in COUNTS else point(part) for key, part in tree.items()}
    return _number(values(tree)[0])


def describe(tree: Any, crowding: float = 1.0, n: int = 0) -> Any:
    """Every leaf of a tree as {"value", "interval", "n"}; None for what cannot be earned.

    The interval of a plain leaf or a `Mean` is that of percentiles over the resamples (Efron & Tibshirani 1993, chapter
    13), those in which it cannot be earned left out. An `Inflated` one reaches from the value less what noise may have
    pushed it up by, or from 0 where chance alone reaches the value, to the value and what noise may have hidden of it:
    it holds the truth as often as it says or more often. A `Share` has Wilson's, of an effective number of radiographs:
    as many as, drawn one by one, would vary as the resamples do (Franco et al. 2019, J Surv Stat Methodol 7:334), and
    never more than there are.

    Where no resample moves a leaf there is no interval, but of a share that is 0 or 1.

    Args:
        tree: see above.
        crowding: see `resampling.crowding`; what the number of radiographs is divided by where a share is 0 or 1.
        n: radiographs, for the leaves that stand in no dict with a "support" or "n".
    """
    if isinstance(tree, Mapping):
        n = next((int(tree[key][0]) for key in ("support", "n") if key in tree), n)
        return {k: int(part[0]) if k in COUNTS else describe(part, crowding, n) for k, part in tree.items()}
    if not isinstance(tree, np.ndarray | Share | Mean | Inflated):
        return tree
    value, n = float(values(tree)[0]), int(round(tree.of[0])) if isinstance(tree, Share | Mean) else n
    earned = np.flatnonzero(~np.isnan(values(tree)))
    interval = None
    if n and len(earned) > 1 and earned[0] == 0:
        interval = _interval(tree, value, earned[1:], n, crowding)
    return {"value": _number(value), "interval": interval and [float(bound) for bound in interval], "n": n}


def _interval(leaf: Any, value: float, drawn: NDArray, n: int, crowding: float) -> tuple[float, float] | None:
    """The interval by the resamples at `drawn`."""
    resampled, tail = values(leaf)[drawn], (1 - proportions.LEVEL) / 2
    if isinstance(leaf, Share) and min(value, 1 - value) < _STILL:
        return proportions.wilson(round(value), n / crowding)
    if np.ptp(resampled) < _STILL:
        return None
    if isinstance(leaf, Share):
        return proportions.wilson(value, min(n, value * (1 - value) / resampled.var()))
    if isinstance(leaf, Inflated):
        pushed, hidden = (np.quantile(part[drawn], 1 - tail) for part in (leaf.pushed, leaf.hidden))
        from_chance = value <= leaf.chance[0] * np.sqrt(crowding)
        return 0.0 if from_chance else max(0.0, value - max(0.0, pushed)), value + max(0.0, hidden)
    return tuple(np.quantile(resampled, [tail, 1 - tail]))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


_STILL = 1e-9  # scores are of the order of 1; what moves them less is rounding
