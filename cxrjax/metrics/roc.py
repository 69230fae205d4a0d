"""ROC and precision-recall curves, the areas under them, and thresholds on them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from numpy.typing import ArrayLike

from cxrjax.metrics import patient_weights
from cxrjax.metrics.confidence import safe_divide
from cxrjax.metrics.patient_weights import Weights


class RocCounts(NamedTuple):
    """True and false positives at falling thresholds, the g distinct scores, under r weightings."""

    thresholds: Float[
        np.ndarray, "g+1"
    ]  # falling, infinity first; a score that reaches the threshold is called positive
    true_positives: Float[np.ndarray, "r g+1"]  # weight of the positives that are called positive, from 0 to all
    false_positives: Float[np.ndarray, "r g+1"]  # weight of the negatives that are called positive, from 0 to all


class Ranking(NamedTuple):
    """Radiographs by falling score, in three segments per distinct score of a positive.

    They are the negatives above that score and below the last one, the negatives of that score, and its positives. The
    negatives below the lowest score of a positive are a segment at the end.
    """

    order: Int[np.ndarray, "n"]  # indices of the radiographs
    bounds: Int[np.ndarray, "3g+2"]  # of the segments in the order; 0 first, n last


class Areas(NamedTuple):
    """Areas under the curves of a ranking under r weightings."""

    auroc: Float[np.ndarray, "r"]
    average_precision: Float[np.ndarray, "r"]
    positives: Float[np.ndarray, "r"]  # weight of the positives
    negatives: Float[np.ndarray, "r"]  # weight of the negatives


def roc_counts(positive: ArrayLike, scores: ArrayLike, weights: Weights) -> RocCounts:
    """Count true and false positives at every threshold.

    Args:
        positive: bool [n].
        scores: [n], higher for positive; NaN is last among the positives and first among the negatives, and so loses
            every pair that it is in.
        weights: not negative.
    """
    positive = np.asarray(positive, bool)
    scores = _lose_without_score(positive, np.asarray(scores, np.float64))
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], len(ordered) > 0))  # of each run of equal scores
    ordered_weights = np.asarray(weights[:, order])
    called = _accumulate(ordered_weights, ends)
    true_positives = _accumulate(np.where(positive[order], ordered_weights, 0), ends)
    return RocCounts(np.append(np.inf, ordered[ends]), true_positives, called - true_positives)


def rank(positive: Bool[np.ndarray, "n"], scores: Num[np.ndarray, "n"]) -> Ranking:
    """Rank radiographs by score, once for any number of calls of `measure_areas`.

    Args:
        positive: whether each radiograph is of the class.
        scores: as in `roc_counts`.
    """
    falling = -_lose_without_score(positive, scores)
    order = np.lexsort((positive, falling))  # of equal scores, the negatives are first
    levels = np.unique(falling[positive])  # rising
    negatives = np.sort(falling[~positive])
    above = np.searchsorted(negatives, levels, "left")
    tied = np.searchsorted(negatives, levels, "right")
    hits = np.searchsorted(np.sort(falling[positive]), levels, "right")
    earlier_hits = np.append(0, hits)[:-1]
    bounds = np.stack([above + earlier_hits, tied + earlier_hits, tied + hits], 1).ravel()
    return Ranking(order, np.concatenate([[0], bounds, [len(order)]]))


def measure_areas(ranking: Ranking, weights: Weights) -> Areas:
    """Compute `auroc` and `average_precision` under r weightings of the radiographs of a ranking.

    Both are sums over the positives: the weight of the negatives below each, and the precision at which it is found.
    """
    sums = patient_weights.factor(weights).sum_segments(ranking.order, ranking.bounds)
    tied = sums[1:-1:3]
    hits = sums[2:-1:3]
    alarms = np.cumsum(sums[0:-1:3] + tied, axis=0)  # negatives called positive at the score of each segment
    positives = hits.sum(0)
    negatives = sums[0::3].sum(0) + tied.sum(0)
    pairs = np.einsum("gr,gr->r", hits, negatives - alarms + tied / 2)
    found = np.cumsum(hits, axis=0)
    precision = found / np.maximum(found + alarms, np.finfo(float).tiny)
    return Areas(
        auroc=safe_divide(pairs, positives * negatives),
        average_precision=safe_divide(np.einsum("gr,gr->r", hits, precision), positives),
        positives=positives,
        negatives=negatives,
    )


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


def _lose_without_score(positive: Bool[np.ndarray, "n"], scores: Num[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return scores in which NaN is minus infinity for a positive, and infinity for a negative."""
    return np.where(np.isnan(scores), np.where(positive, -np.inf, np.inf), scores)


def _accumulate(weights: Num[np.ndarray, "r n"], ends: Int[np.ndarray, "g"]) -> Float[np.ndarray, "r g+1"]:
    """Return the running sums of weights at the ends of g runs, from 0."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums if len(ends) == weights.shape[1] else sums[:, np.append(0, ends + 1)]
