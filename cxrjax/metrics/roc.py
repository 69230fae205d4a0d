"""How well scores put positives before negatives: ROC and precision-recall, their areas, and thresholds on them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrjax.metrics.confidence import safe_divide


class RocCounts(NamedTuple):
    """What is called positive as the threshold falls, over r weightings and past the g distinct scores."""

    thresholds: NDArray  # [g + 1], falling, infinity first: called positive is what reaches it
    hits: NDArray  # [r, g + 1], weight of the positives called so, from 0 to all
    alarms: NDArray  # [r, g + 1], weight of the negatives called so, from 0 to all


def roc_counts(positive: ArrayLike, scores: ArrayLike, weights: NDArray) -> RocCounts:
    """Count hits and alarms past every threshold.

    Args:
        positive: bool [n].
        scores: [n], higher for positive; NaN comes last of the positives and first of the negatives, and so loses
            every pair that it is in.
        weights: [r, n], not negative.

    Returns:
        The Ranking.
    """
    positive, scores = np.asarray(positive, bool), np.asarray(scores, np.float64)
    scores = np.where(np.isnan(scores), np.where(positive, -np.inf, np.inf), scores)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of each run of equal scores
    weights = weights[:, order]
    called = _accumulate(weights, ends)
    hits = _accumulate(np.where(positive[order], weights, 0), ends)
    return RocCounts(np.append(np.inf, ordered[ends]), hits, called - hits)


def auroc(ranking: RocCounts) -> NDArray:
    """Area under the ROC curve [r]: the share of (positive, negative) pairs in the right order, ties half.

    NaN where there are no positives or no negatives (Mann & Whitney 1947; Hanley & McNeil 1982).
    """
    hits, alarms = ranking.hits, ranking.alarms
    # Twice the trapezes: sum (alarms[i + 1] - alarms[i]) (hits[i + 1] + hits[i]).
    pairs = np.einsum("rg,rg->r", np.diff(alarms), hits[:, 1:] + hits[:, :-1])
    return safe_divide(pairs / 2, hits[:, -1] * alarms[:, -1])


def average_precision(ranking: RocCounts) -> NDArray:
    """Mean over the positives [r] of the precision at which each is found; NaN where there are none.

    That is the area under the precision-recall curve in steps, not in straight lines (scikit-learn's
    `average_precision_score`).
    """
    hits, called = ranking.hits[:, 1:], ranking.hits[:, 1:] + ranking.alarms[:, 1:]
    precision = hits / np.maximum(called, np.finfo(float).tiny)
    return safe_divide(np.einsum("rg,rg->r", np.diff(ranking.hits), precision), ranking.hits[:, -1])


def choose_threshold(
    ranking: RocCounts, specificity: float = 0.0, sensitivity: float = 0.0, more: float = 1.0
) -> float:
    """Return the threshold that promises one rate on new radiographs, and gives the other as high as can be then.

    The share of new positives that reach the k-th highest of m is k / (m + 1) on average, and so for negatives: a
    sensitivity needs at least its share of m + 1 hits, as in conformal prediction (Vovk et al. 2005, chapter 2). Of
    all thresholds between two scores, which have the same rates here, the one in their middle is returned.

    Args:
        ranking: its first weighting counts. What scores minus infinity is never called positive.
        specificity: wanted, 0..1, sensitivity then highest; or
        sensitivity: wanted, specificity then highest. One of the two is given.
        more: radiographs that come together, in place of 1; where patients have several, `bootstrap.crowding`.

    Returns:
        The threshold; infinity where it cannot be promised but by calling nothing positive, or not at all.

    Raises:
        ValueError: there are no positives or no negatives to choose it by.
    """
    positives, negatives = ranking.hits[0, -1], ranking.alarms[0, -1]
    if not positives or not negatives:
        raise ValueError("a threshold cannot be chosen without both positives and negatives")
    called = ranking.thresholds > -np.inf
    hits, alarms = ranking.hits[0, called], ranking.alarms[0, called]
    # A whole number over another may fall short of the decimal fraction wanted by a rounding.
    enough = hits >= sensitivity * (positives + more * bool(sensitivity)) - 1e-9
    enough &= negatives - alarms >= specificity * (negatives + more * bool(specificity)) - 1e-9
    chosen = np.flatnonzero(enough)
    if not len(chosen):
        return np.inf
    if sensitivity:
        best = np.searchsorted(alarms, alarms[chosen[0]], "right") - 1  # of as few alarms, that with most hits
    else:
        best = np.searchsorted(hits, hits[chosen[-1]], "left")  # of as many hits, that with fewest alarms
    return find_middle(ranking, int(best))


def find_middle(ranking: RocCounts, position: int) -> float:
    """Return the middle between a threshold and the next lower one; the threshold where either is not finite."""
    score = ranking.thresholds[position]
    next_lower = ranking.thresholds[position + 1] if position + 1 < len(ranking.thresholds) else -np.inf
    return float((score + next_lower) / 2) if np.isfinite([score, next_lower]).all() else float(score)


def _accumulate(weights: NDArray, ends: NDArray) -> NDArray:
    """Running sums [r, g + 1] of weights [r, n] at the ends of g runs, from 0."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums if len(ends) == weights.shape[1] else sums[:, np.append(0, ends + 1)]
