"""How accurate the findings are that are kept, if the least certain are referred to a person."""

import numpy as np
from numpy.typing import NDArray

from cxrjax.metrics.confidence import MeanEstimate, Proportion, safe_divide
from cxrjax.metrics.roc import RocCounts, find_middle, roc_counts

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # referred


def by_certainty(right: NDArray, certainty: NDArray, weights: NDArray) -> RocCounts:
    """The findings in the order in which they are kept, the most certain first, those without certainty last.

    Args:
        right: bool [n].
        certainty: [n]; NaN where there is no finding.
        weights: [r, n].

    Returns:
        The RocCounts; its hits are the right findings kept, its alarms the wrong ones.
    """
    return roc_counts(right, np.where(np.isnan(certainty), -np.inf, certainty), weights)


def measure(kept: RocCounts) -> dict:
    """Return the accuracy of the findings that are kept; of equally certain ones a random part is kept.

    Returns:
        "area": under the curve of accuracy over the share referred, 0..1, [r]; and "accuracy": {share referred:
        Proportion}.
    """
    everyone = kept.hits[:, -1] + kept.alarms[:, -1]
    seen = area(kept)
    return {
        "area": MeanEstimate(seen, everyone, 1 - _find_loss(kept, seen), np.ones_like(seen)),
        "accuracy": dict(zip(map(str, SHARES), accuracy(kept, SHARES), strict=True)),
    }


def _find_loss(kept: RocCounts, area: NDArray) -> NDArray:
    """Return n times what one more wrong finding of n may take from the area [r], at most 1.

    A wrong finding takes -log x / n, where x is the share of the findings that are at least as certain; at a random
    place that is 1 / n on average. One more takes as much as the most certain wrong finding that is seen, and at least
    the mean of those that are seen and of one at a random place.
    """
    count = kept.hits + kept.alarms
    everyone, wrong = count[:, -1], kept.alarms[:, -1]
    first = (kept.alarms > 0).argmax(-1)
    share = np.where(wrong > 0, safe_divide(count[np.arange(len(count)), first], everyone), 1)
    usual = ((1 - area) * everyone + 1) / (wrong + 1)
    return np.minimum(np.maximum(-np.log(share), usual), 1)


def accuracy(kept: RocCounts, referred: tuple[float, ...]) -> list[Proportion]:
    """The Proportion [r] that is right of those kept, for each share referred, below 1."""
    count = kept.hits + kept.alarms
    wanted = count[:, -1:] * (1 - np.array(referred))
    hits = [np.interp(*one) for one in zip(wanted, count, kept.hits, strict=True)]
    return [Proportion(safe_divide(h, w), w) for h, w in zip(np.transpose(hits), wanted.T, strict=True)]


def choose_threshold(kept: RocCounts, accuracy: float, more: float = 1.0) -> float:
    """Return the lowest certainty that promises, of the findings that reach it, a share of right ones.

    It is the point of the risk-coverage curve with the most coverage at a risk of at most 1 - accuracy (selective
    prediction: Geifman & El-Yaniv 2017). As in `roc.choose_threshold`, one more finding is counted as wrong: of
    `count` findings, accuracy * (count + 1) have to be right. The share of wrong findings among those of new
    radiographs that reach the threshold is then at most 1 - accuracy on average over samples like this one, where a
    sample that gives no threshold counts as 0. Where certainty hardly tells right from wrong, or the sample is small,
    mostly the lucky samples give a threshold, and among these alone the share may be higher. Of all thresholds
    between two certainties, which keep the same findings here, the one in their middle is returned.

    Args:
        kept: its first weighting counts; what has no certainty never reaches the threshold.
        accuracy: wanted, 0..1.
        more: findings that come together, in place of 1; where patients have several, `bootstrap.crowding`.

    Returns:
        The threshold; infinity where no certainty suffices.
    """
    count = kept.hits[0] + kept.alarms[0]
    enough = (kept.hits[0] >= accuracy * (count + more) - 1e-9) & (count > 0) & (kept.thresholds > -np.inf)
    return find_middle(kept, int(np.flatnonzero(enough)[-1])) if enough.any() else np.inf


def area(kept: RocCounts) -> NDArray:
    """Mean accuracy [r] over every share referred, 0..1: the higher, the better certainty tells right from wrong.

    It is 1 less the area under the risk-coverage curve (Geifman & El-Yaniv 2017), exact for ties: between two
    certainties, hits grow in a straight line a + b x with the number x kept, and (a + b x) / x has an integral.
    """
    count = kept.hits + kept.alarms
    width, lower, upper = np.diff(count), count[:, :-1], count[:, 1:]
    slope = np.diff(kept.hits) / np.maximum(width, np.finfo(float).tiny)
    start = kept.hits[:, :-1] - slope * lower
    curved = np.where(lower > 0, start * np.log(safe_divide(upper, lower)), 0)
    return safe_divide((curved + slope * width).sum(-1), count[:, -1])
