"""Confidence intervals of single scores, near their ends and of few patients too.

Every function takes the value that was seen, its values over resamples of patients, and the sample that it is of, and
returns both ends of the interval of level `proportions.LEVEL`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtr, ndtri, stdtrit

from cxrjax.metrics import proportions

TAIL = (1 - proportions.LEVEL) / 2
STILL = 1e-9  # scores are of the order of 1; what moves them less is rounding
_Z = float(ndtri(1 - TAIL))
_FEW_CASES = 3.0

Interval = tuple[float, float]


class Sample(NamedTuple):
    """The radiographs that a score is of."""

    n: float  # how many
    patients: float  # how many patients of equally many radiographs would say as much if a patient's are all alike

    @property
    def is_independent(self) -> bool:
        """Whether each radiograph is of a patient of its own."""
        return self.patients == self.n


def count_sample(counts: NDArray, patients: int | None) -> Sample:
    """Return the Sample of radiographs that are counted over resamples of all patients.

    The patients are Kish's effective number (1965, section 5.4) at an intraclass correlation of 1, (sum m)² / sum m²
    of the m radiographs that a patient has in the sample. The variance of the count over resamples is
    sum m² - (sum m)² / P of P patients (each drawn multinomially), which gives sum m².

    Args:
        counts: [1 + r], of the data themselves and of r resamples.
        patients: P, how many are resampled; None where each radiograph is of a patient of its own.
    """
    n = float(counts[0])
    if patients is None or n == 0:
        return Sample(n, n)
    squares = counts[1:].var() + n * n / patients
    return Sample(n, float(np.clip(n * n / squares, 1.0, n)))


def bound_share(value: float, resampled: NDArray, sample: Sample) -> Interval:
    """Return Wilson's interval of a share, of an effective number of radiographs.

    That number is as many as, drawn one by one, would vary as the resamples do (Franco et al. 2019, J Surv Stat
    Methodol 7:334), with Student's quantile for so few patients; never more than there are, and never fewer than if
    a patient's radiographs were all alike. It is the latter where the share is 0 or 1 or no resample moves it. Where
    up to three radiographs differ from all others the end beside 0 or 1 is Poisson's (Brown, Cai & DasGupta 2001,
    Stat Sci 16:101, section 4.1.1), for Wilson's would miss a share that is nearly 0 or 1 too often.
    """
    if sample.n == 0:
        return 0.0, 1.0
    if min(value, 1 - value) < STILL:
        return proportions.wilson(round(value), sample.patients)
    n = sample.patients
    if np.ptp(resampled) >= STILL:
        n = min(effective_number(value, resampled, sample), sample.n)
    low, high = proportions.wilson(value, n)
    if value * n <= _FEW_CASES:
        low = min(low, float(gammaincinv(value * n, 2 * TAIL)) / n)
    if (1 - value) * n <= _FEW_CASES:
        high = max(high, 1 - float(gammaincinv((1 - value) * n, 2 * TAIL)) / n)
    return low, high


def effective_number(value: float, resampled: NDArray, sample: Sample) -> float:
    """Return of how many independent radiographs a share would vary as the resamples do; see `bound_share`."""
    n = value * (1 - value) / resampled.var()
    return n if sample.is_independent else max(n / _few(sample.patients), sample.patients)


def bound_f1(value: float, resampled: NDArray, sample: Sample) -> Interval:
    """Return the interval of an F1 score.

    F1 is 2 J / (1 + J) of the Jaccard index J, which is a plain share: of the radiographs that are of the class, called
    so, or both (`sample`), those that are both.
    """
    low, high = bound_share(value / (2 - value), resampled / (2 - resampled), sample)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def bound_mean(value: float, resampled: NDArray, sample: Sample) -> Interval | None:
    """Return Wilson's interval of a mean of values in 0..1, of a number of radiographs that the resamples give.

    Returns:
        Both ends; None of a mean between 0 and 1 that no resample moves.
    """
    if min(value, 1 - value) < STILL:
        return proportions.wilson(round(value), sample.patients)
    if np.ptp(resampled) < STILL:
        return None
    n = value * (1 - value) / resampled.var() / _few(sample.patients)
    return proportions.wilson(value, max(n, sample.patients))


def exceed(value: float, resampled: NDArray, sample: Sample) -> float:
    """Return how much farther up an interval of a share reaches than the resamples: what few seen cases may hide.

    It is the whole length where nothing was seen, and vanishes as more is seen.
    """
    high = bound_share(value, resampled, sample)[1]
    return max(high - value - _Z * float(resampled.std()), 0.0)


def bound_auroc(value: float, resampled: NDArray, positives: Sample, negatives: Sample) -> Interval:
    """Return the score interval of an AUROC, method 5 of Newcombe 2006 (Stat Med 25:559), which also holds at 1.

    Its variance is that of Hanley & McNeil 1982, at the AUROC of each end. Where patients have several radiographs it
    is multiplied by what the variance over the resamples is more (with Student's quantile), up to what it would be if
    each patient's radiographs were all alike; by the latter at an AUROC of 0 or 1.
    """
    few, many = (positives.patients, negatives.patients), (positives.n, negatives.n)
    inner = min(max(value, 0.1), 0.9)
    factor = worst = _auroc_variance(inner, *few) / _auroc_variance(inner, *many)
    if STILL < value < 1 - STILL:
        seen = resampled.var() / _auroc_variance(value, *many) * _few(min(few))
        factor = 1.0 if worst == 1 else float(np.clip(seen, 1.0, worst))

    def outside(area: float) -> float:
        return (value - area) ** 2 - _Z**2 * factor * _auroc_variance(area, *many)

    return _solve(outside, value)


def bound_average_precision(value: float, resampled: NDArray, positives: Sample, prevalence: float) -> Interval:
    """Return the interval of an average precision, Wilson's of an effective number of positives.

    An average precision is a mean over the positives of values in 0..1. The effective number is as many as would vary
    as the resamples do, between the patients that the positives are of and twice the positives; the positives' patients
    where it is 0 or 1. Of few positives an average precision is too high on average. The lower end therefore starts
    from the value less the bias over the resamples, with one more positive that is found by chance (`prevalence`).
    """
    fewest, n = positives.patients, positives.patients
    if STILL < value < 1 - STILL and np.ptp(resampled) >= STILL:
        varies_as = value * (1 - value) / resampled.var() / _few(positives.patients)
        n = min(max(varies_as, fewest), 2 * positives.n)
    bias = max(float(resampled.mean()) - value, 0.0) if len(resampled) else 0.0
    start = (n * max(value - bias, 0.0) + prevalence) / (n + 1)
    low, high = proportions.wilson(start, n)[0], proportions.wilson(value, n)[1]
    return min(low, value), high


def bound_plain(value: float, resampled: NDArray, patients: float) -> Interval | None:
    """Return the bias-corrected and accelerated percentiles of a score (BCa, Efron 1987), widened for few patients.

    The acceleration is a sixth of the skewness of the resamples. The percentiles are those of Student's quantile
    (Hesterberg 2015, Am Stat 69:371, section 5.3).

    Returns:
        Both ends; None where no resample moves the score.
    """
    if np.ptp(resampled) < STILL:
        return None
    apart = resampled - resampled.mean()
    acceleration = float(np.clip((apart**3).mean() / (apart**2).mean() ** 1.5 / 6, -0.2, 0.2))
    below = ((resampled < value - STILL).mean() + (resampled <= value + STILL).mean()) / 2
    bias = float(np.clip(ndtri(np.clip(below, 1e-3, 1 - 1e-3)), -0.5, 0.5))
    reach = bias + np.array([-1, 1]) * _Z * np.sqrt(_few(patients))
    low, high = np.quantile(resampled, ndtr(bias + reach / (1 - acceleration * reach)))
    return float(low), float(high)


def combine(value: float, ends: NDArray, values: NDArray, weights: NDArray, correlation: NDArray) -> Interval:
    """Return the interval of a weighted sum from those of its parts (MOVER, Zou & Donner 2008, Stat Med 27:1693).

    Args:
        value: the sum.
        ends: [K, 2], the parts' intervals.
        values: [K], the parts.
        weights: [K], of either sign.
        correlation: [K, K] of the parts.
    """
    down, up = values - ends[:, 0], ends[:, 1] - values
    parts = weights[:, None] * weights * correlation

    def reach(apart: NDArray) -> float:
        return float(np.sqrt(max(apart @ parts @ apart, 0.0)))

    return value - reach(np.where(weights > 0, down, up)), value + reach(np.where(weights > 0, up, down))


def correlate(resampled: NDArray) -> NDArray:
    """Return the correlations [K, K] of K scores over resamples [K, r], 0 of those that do not move.

    NaN in a resample leaves it out of the pairs that need it.
    """
    count = len(resampled)
    known = ~np.isnan(resampled)
    correlation = np.eye(count)
    for i in range(count):
        for j in range(i):
            both = known[i] & known[j]
            first, second = resampled[i, both], resampled[j, both]
            if both.sum() > 2 and min(np.ptp(first), np.ptp(second)) >= STILL:
                correlation[i, j] = correlation[j, i] = np.corrcoef(first, second)[0, 1]
    return correlation


def bound_ratio(values: NDArray, ends: NDArray, correlation: float) -> Interval:
    """Return the interval of a ratio a / b, b above 0: every s at which a - s b may be 0 by `combine`.

    Args:
        values: a and b.
        ends: [2, 2], their intervals.
        correlation: of a and b.
    """
    pair = np.array([[1, correlation], [correlation, 1]])

    def at(ratio: float) -> Interval:
        weights = np.array([1.0, -ratio])
        return combine(float(weights @ values), ends, values, weights, pair)

    ratio = float(values[0] / values[1])

    def search(sign: int) -> float:
        """The ratio farthest from the seen one, going down or up, that is not excluded."""

        def excluded(step: float) -> float:
            low, high = at(ratio + sign * step)
            return -high if sign > 0 else low

        step = 1e-6
        while excluded(step) < 0:
            step *= 2
            if step > 1e6:
                return sign * np.inf
        return ratio + sign * brentq(excluded, step / 2 if step > 1e-6 else 0.0, step)

    return search(-1), search(1)


def _few(patients: float) -> float:
    """How many times a variance over resamples of few patients must be taken, so that a normal quantile holds."""
    degrees = max(patients - 1, 1.0)
    return patients / max(patients - 1, 0.5) * (float(stdtrit(degrees, 1 - TAIL)) / _Z) ** 2


def _auroc_variance(area: float, positives: float, negatives: float) -> float:
    extra = (positives + negatives) / 2 - 1
    spread = (1 - area) / (2 - area) + area / (1 + area)
    return area * (1 - area) * (1 + max(extra, 0.0) * spread) / (positives * negatives)


def _solve(outside: Callable[[float], float], value: float) -> Interval:
    """The ends of what is not outside around a value in 0..1, where `outside` is 0."""
    low = brentq(outside, 0.0, value) if value > STILL and outside(0.0) > 0 > outside(value) else 0.0
    high = brentq(outside, value, 1.0) if value < 1 - STILL and outside(1.0) > 0 > outside(value) else 1.0
    if value <= STILL:
        high = brentq(outside, max(value, 1e-12), 1.0)
    if value >= 1 - STILL:
        low = brentq(outside, 0.0, min(value, 1 - 1e-12))
    return float(low), float(high)
