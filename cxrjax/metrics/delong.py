"""Whether two AUROCs on the same radiographs differ (DeLong, DeLong & Clarke-Pearson 1988, by patients)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from scipy.stats import rankdata


class DelongResult(NamedTuple):
    """The first AUROC less the second."""

    difference: float
    deviation: float  # standard error of the difference
    p: float  # two-sided


def delong_test(
    positive: ArrayLike, first: ArrayLike, second: ArrayLike, patients: Sequence[str]
) -> DelongResult | None:
    """DeLong's test of two paired AUROCs; a patient's radiographs count together (Obuchowski 1997).

    Where every patient has one radiograph it is DeLong's own. Ranks do the work (Sun & Xu 2014).

    Args:
        positive: bool [n].
        first: scores [n], higher for positive; NaN loses every pair it is in.
        second: likewise.
        patients: the patient of each radiograph.

    Returns:
        The Comparison; None where there are fewer than two patients with positives, or with negatives, or where the
        AUROCs differ and by the same in all patients, which says nothing of how that varies.

    Examples:
        >>> import cxrjax as cx
        >>> positive = [0, 0, 0, 1, 1, 1]
        >>> result = cx.metrics.delong_test(positive, [1, 2, 5, 3, 4, 6], [3, 1, 4, 2, 5, 0], list("abcdef"))
        >>> round(result.difference, 4), 0 < result.p <= 1
        (0.3333, True)
    """
    positive = np.asarray(positive, bool)
    of = np.unique(patients, return_inverse=True)[1]
    if min(len(set(of[positive])), len(set(of[~positive]))) < 2:
        return None
    placed = _place(positive, np.asarray(first, float)) - _place(positive, np.asarray(second, float))
    difference = placed[positive].mean()  # and so is that of the negatives
    variance = 0.0
    sums = []
    for side in (positive, ~positive):
        total = np.bincount(of[side], placed[side] - difference, minlength=of.max() + 1) / side.sum()
        count = len(set(of[side]))
        variance += count / (count - 1) * (total**2).sum()
        sums.append(total)
    count = of.max() + 1
    variance += 2 * count / (count - 1) * (sums[0] * sums[1]).sum()
    deviation = np.sqrt(max(variance, 0.0))
    if deviation < _ROUNDING:
        return DelongResult(0.0, 0.0, 1.0) if abs(difference) < _ROUNDING else None
    return DelongResult(float(difference), float(deviation), float(2 * ndtr(-abs(difference) / deviation)))


def _place(positive: NDArray, scores: NDArray) -> NDArray:
    """Of each radiograph [n], the share of the other kind that it is in the right order with, ties half."""
    scores = np.where(np.isnan(scores), np.where(positive, -np.inf, np.inf), scores)
    among_all, placed = rankdata(scores), np.empty(len(scores))
    for side in (positive, ~positive):
        placed[side] = (among_all[side] - rankdata(scores[side])) / (~side).sum()
    return np.where(positive, placed, 1 - placed)


_ROUNDING = 1e-9  # of shares of pairs
