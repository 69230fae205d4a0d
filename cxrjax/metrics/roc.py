"""ROC and precision-recall curves, the areas under them, and thresholds on them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num
from numpy.typing import ArrayLike

from cxrjax.metrics.confidence import safe_divide


class RocCounts(NamedTuple):
    """True and false positives at falling thresholds, the g distinct scores, under r weightings."""

    thresholds: Float[
        np.ndarray, "g+1"
    ]  # falling, infinity first; a score that reaches the threshold is called positive
    true_positives: Float[np.ndarray, "r g+1"]  # weight of the positives that are called positive, from 0 to all
    false_positives: Float[np.ndarray, "r g+1"]  # weight of the negatives that are called positive, from 0 to all


def roc_counts(positive: ArrayLike, scores: ArrayLike, weights: Num[np.ndarray, "r n"]) -> RocCounts:
    """Count true and false positives at every threshold.

    Args:
        positive: bool [n].
        scores: [n], higher for positive; NaN is last among the positives and first among the negatives, and so loses
            every pair that it is in.
        weights: not negative.
    """
    positive = np.asarray(positive, bool)
    scores = np.asarray(scores, np.float64)
    scores = np.where(np.isnan(scores), np.where(positive, -np.inf, np.inf), scores)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], len(ordered) > 0))  # of each run of equal scores
    weights = weights[:, order]
    called = _accumulate(weights, ends)
    true_positives = _accumulate(np.where(positive[order], weights, 0), ends)
    return RocCounts(np.append(np.inf, ordered[ends]), true_positives, called - true_positives)


def auroc(counts: RocCounts) -> Float[np.ndarray, "r"]:
    """Compute the area under the ROC curve: the share of (positive, negative) pairs in the right order, ties half.

    NaN where there are no positives or no negatives (Mann & Whitney 1947; Hanley & McNeil 1982).
    """
    hits = counts.true_positives
    # Twice the trapezoids: sum (alarms[i + 1] - alarms[i]) (hits[i + 1] + hits[i]).
    pairs = np.einsum("rg,rg->r", np.diff(counts.false_positives), hits[:, 1:] + hits[:, :-1])
    return safe_divide(pairs / 2, hits[:, -1] * counts.false_positives[:, -1])


def average_precision(counts: RocCounts) -> Float[np.ndarray, "r"]:
    """Compute the mean over the positives of the precision at which each is found; NaN where there are none.

    That is the area under the precision-recall curve in steps, not in straight lines (scikit-learn's
    `average_precision_score`).
    """
    hits = counts.true_positives[:, 1:]
    called = hits + counts.false_positives[:, 1:]
    precision = hits / np.maximum(called, np.finfo(float).tiny)
    return safe_divide(np.einsum("rg,rg->r", np.diff(counts.true_positives), precision), counts.true_positives[:, -1])


def choose_threshold(counts: RocCounts, specificity: float = 0.0, sensitivity: float = 0.0, more: float = 1.0) -> float:
    """Return the threshold that guarantees one rate on new radiographs, with the other as high as possible.

    The share of new positives that reach the k-th highest of m is k / (m + 1) on average, and the same holds for
    negatives: a sensitivity requires at least its share of m + 1 true positives, as in conformal prediction (Vovk et
    al. 2005, chapter 2). Of all thresholds between two scores, which have the same rates here, the middle one is
    returned.

    Args:
        counts: only the first weighting is used. A score of minus infinity is never called positive.
        specificity: required rate in 0..1, with the highest sensitivity; or
        sensitivity: required rate in 0..1, with the highest specificity. One of the two is 0.
        more: number of radiographs that come together, in place of 1; `bootstrap.design_effect` where patients have
            several.

    Returns:
        The threshold; infinity if it would have to call nothing positive, or no threshold guarantees the rate.

    Raises:
        ValueError: there are no positives or no negatives.
    """
    positives = counts.true_positives[0, -1]
    negatives = counts.false_positives[0, -1]
    if not positives or not negatives:
        raise ValueError("a threshold cannot be chosen without both positives and negatives")
    called = counts.thresholds > -np.inf
    hits = counts.true_positives[0, called]
    alarms = counts.false_positives[0, called]
    # The tolerance covers the rounding of a ratio of integers.
    enough = hits >= sensitivity * (positives + more * bool(sensitivity)) - 1e-9
    enough &= negatives - alarms >= specificity * (negatives + more * bool(specificity)) - 1e-9
    chosen = np.flatnonzero(enough)
    if not len(chosen):
        return np.inf
    if sensitivity:
        best = np.searchsorted(alarms, alarms[chosen[0]], "right") - 1  # most hits at the same number of alarms
    else:
        best = np.searchsorted(hits, hits[chosen[-1]], "left")  # fewest alarms at the same number of hits
    return find_middle(counts, int(best))


def find_middle(counts: RocCounts, position: int) -> float:
    """Return the middle between a threshold and the next lower one; the threshold where either is not finite."""
    score = counts.thresholds[position]
    next_lower = counts.thresholds[position + 1] if position + 1 < len(counts.thresholds) else -np.inf
    return float((score + next_lower) / 2) if np.isfinite([score, next_lower]).all() else float(score)


def _accumulate(weights: Num[np.ndarray, "r n"], ends: Int[np.ndarray, "g"]) -> Float[np.ndarray, "r g+1"]:
    """Return the running sums of weights at the ends of g runs, from 0."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums if len(ends) == weights.shape[1] else sums[:, np.append(0, ends + 1)]
