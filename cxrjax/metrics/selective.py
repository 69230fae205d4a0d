"""Selective prediction: the accuracy of the predictions that remain when the least certain are referred to a person."""

import numpy as np
from jaxtyping import Bool, Float

from cxrjax.metrics.confidence import MeanEstimate, Proportion, safe_divide
from cxrjax.metrics.patient_weights import Weights
from cxrjax.metrics.roc import RocCounts, find_middle, roc_counts

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the predictions that are referred


def by_certainty(correct: Bool[np.ndarray, "n"], certainty: Float[np.ndarray, "n"], weights: Weights) -> RocCounts:
    """Count correct and wrong predictions at every threshold of their certainty.

    Args:
        correct: whether each prediction is correct.
        certainty: NaN without a prediction, which is last.
        weights: r weightings of the radiographs.

    Returns:
        Counts of the remaining predictions: the true positives are the correct ones, the false positives the wrong
        ones.
    """
    return roc_counts(correct, np.where(np.isnan(certainty), -np.inf, certainty), weights)


def measure(counts: RocCounts) -> dict:
    """Compute the accuracy of the remaining predictions; of equally certain ones, a random part remains.

    Returns:
        "area", under the curve of accuracy over the share referred, 0..1; and "accuracy": {share referred:
        Proportion}.
    """
    total = counts.true_positives[:, -1] + counts.false_positives[:, -1]
    observed = area(counts)
    return {
        "area": MeanEstimate(observed, total, 1 - _max_loss(counts, observed), np.ones_like(observed)),
        "accuracy": dict(zip(map(str, SHARES), accuracy(counts, SHARES), strict=True)),
    }


def _max_loss(counts: RocCounts, area: Float[np.ndarray, "r"]) -> Float[np.ndarray, "r"]:
    """Return n times the area that one more wrong prediction of n may cost, at most 1.

    A wrong prediction costs -log x / n, where x is the share of the predictions that are at least as certain; at a
    random rank that is 1 / n on average. One more costs as much as the most certain wrong prediction observed, and at
    least the mean of those observed and of one at a random rank.
    """
    count = counts.true_positives + counts.false_positives
    total = count[:, -1]
    wrong = counts.false_positives[:, -1]
    first = (counts.false_positives > 0).argmax(-1)
    share = np.where(wrong > 0, safe_divide(count[np.arange(len(count)), first], total), 1)
    usual = ((1 - area) * total + 1) / (wrong + 1)
    return np.minimum(np.maximum(-np.log(share), usual), 1)


def accuracy(counts: RocCounts, referred: tuple[float, ...]) -> list[Proportion]:
    """Return the accuracy of the remaining predictions, for each share referred, below 1."""
    count = counts.true_positives + counts.false_positives
    remaining = count[:, -1:] * (1 - np.array(referred))
    correct = np.array([np.interp(*curve) for curve in zip(remaining, count, counts.true_positives, strict=True)])
    return [Proportion(safe_divide(c, n), n) for c, n in zip(correct.T, remaining.T, strict=True)]


def choose_threshold(counts: RocCounts, accuracy: float, more: float = 1.0) -> float:
    """Return the lowest certainty from which on predictions have the required accuracy on new radiographs.

    It is the point of the risk-coverage curve with the most coverage at a risk of at most 1 - accuracy (selective
    prediction: Geifman & El-Yaniv 2017). As in `roc.choose_threshold`, one more prediction is counted as wrong:
    of `count` predictions, accuracy * (count + 1) have to be correct. The share of wrong predictions among those of new
    radiographs that reach the threshold is then at most 1 - accuracy on average over samples like this one, where a
    sample without a threshold counts as 0. Where certainty hardly separates correct from wrong, or the sample is small,
    mostly the lucky samples have a threshold, and among these alone the share may be higher. Of all thresholds between
    two certainties, which select the same predictions here, the middle one is returned.

    Args:
        counts: only the first weighting is used; a prediction without certainty never reaches the threshold.
        accuracy: required accuracy, 0..1.
        more: number of predictions that come together, in place of 1; `bootstrap.design_effect` where patients have
            several.

    Returns:
        The threshold; infinity where no certainty suffices.
    """
    count = counts.true_positives[0] + counts.false_positives[0]
    enough = (
        (counts.true_positives[0] >= accuracy * (count + more) - 1e-9) & (count > 0) & (counts.thresholds > -np.inf)
    )
    return find_middle(counts, int(np.flatnonzero(enough)[-1])) if enough.any() else np.inf


def area(counts: RocCounts) -> Float[np.ndarray, "r"]:
    """Compute the mean accuracy over all shares referred, 0..1; higher if certainty separates correct from wrong.

    It is 1 less the area under the risk-coverage curve (Geifman & El-Yaniv 2017), exact for ties: between two
    certainties, the number of correct predictions is a straight line a + b x in the number x of those that remain, and
    (a + b x) / x has an integral.
    """
    count = counts.true_positives + counts.false_positives
    width = np.diff(count)
    lower = count[:, :-1]
    upper = count[:, 1:]
    slope = np.diff(counts.true_positives) / np.maximum(width, np.finfo(float).tiny)
    start = counts.true_positives[:, :-1] - slope * lower
    curved = np.where(lower > 0, start * np.log(safe_divide(upper, lower)), 0)
    return safe_divide((curved + slope * width).sum(-1), count[:, -1])
