"""Confidence intervals of single scores, also near the ends of their range and for few patients.

The function of a kind of score takes the value in the data and in resamples of patients, and the radiographs that it is
of, and returns both ends of the interval of level LEVEL. `benchmarks/COVERAGE.md` has the measured coverage.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num
from scipy.optimize import brentq
from scipy.special import betaincinv, ndtr, ndtri, stdtrit

LEVEL = 0.95  # confidence level of every interval
TAIL = (1 - LEVEL) / 2
STILL = 1e-9  # scores are of the order of 1; a smaller change is rounding
_Z = float(ndtri(1 - TAIL))

Interval = tuple[float, float]


class Sample(NamedTuple):
    """Size of the sample that a score is of."""

    n: float  # number of radiographs
    patients: float  # effective number of patients, if the radiographs of a patient are all alike


class Design(NamedTuple):
    """Design of the resamples of a data set."""

    patients: int | None = None  # number of resampled patients; None if each radiograph is of another patient
    design_effect: float = 1.0  # `bootstrap.design_effect`


def count_sample(counts: Num[np.ndarray, "r"], patients: int | None) -> Sample:
    """Return the sample size of radiographs that are counted over resamples of all patients.

    The patients are Kish's effective number (1965, section 5.4) at an intraclass correlation of 1, (sum m)² / sum m²
    of the m radiographs that a patient has in the sample. The variance of the count over resamples is
    sum m² - (sum m)² / P of P patients (each drawn multinomially), which gives sum m².

    Args:
        counts: of the data itself and of resamples.
        patients: P, of `Design`.
    """
    n = float(counts[0])
    if patients is None or n == 0:
        return Sample(n, n)
    squares = counts[1:].var() + n * n / patients
    return Sample(n, float(np.clip(n * n / squares, 1.0, n)))


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Compute Wilson's score interval of a proportion (Wilson 1927), which has its level near 0 and 1 too.

    Args:
        share: the observed proportion in 0..1.
        n: sample size above 0; an effective size may be fractional.
        level: confidence level in 0..1.

    Returns:
        (low, high), in 0..1.
    """
    z = ndtri(0.5 + level / 2)
    middle = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low = (middle - half) / (1 + z * z / n)
    high = (middle + half) / (1 + z * z / n)
    # At 0 and 1, rounding errors would move the bound away from its exact value.
    return 0.0 if share == 0 else float(low), 1.0 if share == 1 else float(high)


def bound_share(shares: Float[np.ndarray, "r"], counts: Num[np.ndarray, "r"], design: Design) -> Interval:
    """Return the modified Jeffreys interval of a share (Brown, Cai & DasGupta 2001, Stat Sci 16:101, section 4.1.2).

    Jeffreys' interval has the quantiles of a Beta distribution of h + 1/2 and m + 1/2, for h hits and m misses. The
    modified one has the bound of Clopper and Pearson if all are hits or all are misses, extends to 1 for a single miss
    and to 0 for a single hit.

    Where patients have several radiographs, hits and misses are sums over patients, weighted by their radiographs.
    Each sum is approximated by a scaled Gamma variable of equal mean and variance (as Fay & Feuer 1997, Stat Med
    16:791, approximate weighted sums of counts). The half that is added is half a patient, of `design_effect`
    radiographs. The variances are first those of patients whose radiographs are all alike (`count_sample`), then scaled
    so that the share has its variance over the resamples.

    Args:
        shares: of the data, in 0..1, and of resamples, NaN where there is nothing to count.
        counts: their numbers of radiographs.
        design: design of the resamples.
    """
    value = float(shares[0])
    whole = count_sample(counts, design.patients)
    if whole.n == 0:
        return 0.0, 1.0
    if min(value, 1 - value) < STILL:
        return _bound_extreme(value, whole.patients)
    hit_counts = np.nan_to_num(shares) * counts
    hits = count_sample(hit_counts, design.patients)
    misses = count_sample(counts - hit_counts, design.patients)
    # Variances of the log odds: if a patient's radiographs are all alike, and over the resamples.
    all_alike = 1 / hits.patients + 1 / misses.patients
    variance = np.nanvar(shares[1:]) / (value * (1 - value)) ** 2
    gain = all_alike / variance if np.nanmax(shares[1:]) - np.nanmin(shares[1:]) >= STILL else 1.0
    half = max(design.design_effect, whole.n / whole.patients) / 2
    effective = [min(part.patients * gain, part.n) for part in (hits, misses)]
    sums = [part.n + half for part in (hits, misses)]
    variances = [part.n**2 / n + 2 * half**2 for part, n in zip((hits, misses), effective, strict=True)]
    shapes = [total**2 / of_total for total, of_total in zip(sums, variances, strict=True)]
    x = betaincinv(*shapes, [TAIL, 1 - TAIL])
    scale = sums[0] / shapes[0] * shapes[1] / sums[1]
    low, high = (x * scale / (x * scale + 1 - x)).tolist()
    is_several = [n > 1 + STILL for n in effective]
    return min(low, value) if is_several[0] else 0.0, max(high, value) if is_several[1] else 1.0


def bound_f1(scores: Float[np.ndarray, "r"], counts: Num[np.ndarray, "r"], design: Design) -> Interval:
    """Return the interval of an F1 score.

    F1 is 2 J / (1 + J) of the Jaccard index J, which is a plain share: among the radiographs that are of the class or
    are predicted to be, those that are both.

    Args:
        scores: of the data and of resamples; NaN where there is nothing to count.
        counts: mean of the number of radiographs of the class and of those predicted to be.
        design: design of the resamples.
    """
    low, high = bound_share(scores / (2 - scores), counts * (2 - np.nan_to_num(scores)), design)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def bound_mean(value: float, resampled: Float[np.ndarray, "r"], sample: Sample, extremes: Interval) -> Interval | None:
    """Return the interval of a mean of values in 0..1, after Fay & Feuer (1997, Stat Med 16:791).

    A mean has a long tail where few radiographs are far from the rest. Each end is therefore a quantile of a mean with
    one more radiograph that is as far to this side as any observed, since the sample may lack such a radiograph. Fay
    and Feuer, whose sums have no upper bound, take the Gamma distribution of equal mean and variance; this is the Beta
    distribution of equal mean and variance. The variance is that of the resamples, with Student's quantile for few
    patients.

    Args:
        value: mean of the data.
        resampled: means of the resamples.
        sample: size of the sample.
        extremes: the lowest and the highest value that one more radiograph may have.

    Returns:
        Both ends; None for a mean between 0 and 1 that is equal in all resamples.
    """
    if min(value, 1 - value) < STILL:
        return _bound_extreme(value, sample.patients)
    if np.ptp(resampled) < STILL:
        return None
    variance = min(float(resampled.var()) * _few(sample.patients), value * (1 - value) / sample.patients)

    def reach(distance: float, extreme: float) -> float:
        """Return the upper end of a distance from 0 or 1."""
        more = max(extreme - distance, 0.0) / (sample.n + 1)
        return _beta_quantile(distance + more, variance + more**2, 1 - TAIL)

    low = 1 - reach(1 - value, 1 - extremes[0])
    high = reach(value, extremes[1])
    return min(low, value), max(high, value)


def exceed(shares: Float[np.ndarray, "r"], counts: Num[np.ndarray, "r"], design: Design) -> float:
    """Return how much higher the upper end of the interval of a share is than that of its resamples.

    It is the whole length if there is no case, and vanishes as the number of cases grows. The arguments are those of
    `bound_share`.
    """
    high = bound_share(shares, counts, design)[1]
    return max(high - float(shares[0]) - _Z * float(np.nanstd(shares[1:])), 0.0)


def bound_auroc(value: float, resampled: Float[np.ndarray, "r"], positives: Sample, negatives: Sample) -> Interval:
    """Return the score interval of an AUROC, method 5 of Newcombe 2006 (Stat Med 25:559), which also holds at 1.

    Its variance is that of Hanley & McNeil 1982, at the AUROC of each end. Where patients have several radiographs, it
    is multiplied by the ratio of the variance over the resamples (with Student's quantile) to it, at most by the ratio
    if each patient's radiographs were all alike; by the latter at an AUROC of 0 or 1.
    """
    patients = (positives.patients, negatives.patients)
    radiographs = (positives.n, negatives.n)
    inner = min(max(value, 0.1), 0.9)
    max_factor = _auroc_variance(inner, *patients) / _auroc_variance(inner, *radiographs)
    factor = max_factor
    if STILL < value < 1 - STILL:
        ratio = resampled.var() / _auroc_variance(value, *radiographs) * _few(min(patients))
        factor = 1.0 if max_factor == 1 else float(np.clip(ratio, 1.0, max_factor))
    return _solve(lambda area: (value - area) ** 2 - _Z**2 * factor * _auroc_variance(area, *radiographs), value)


def bound_average_precision(
    value: float, resampled: Float[np.ndarray, "r"], positives: Sample, prevalence: float
) -> Interval:
    """Return the interval of an average precision: Wilson's for an effective number of positives.

    An average precision is a mean over the positives of values in 0..1. The effective number is the one with the
    variance of the resamples, between the number of patients of the positives and twice the number of positives; it is
    the number of patients if the average precision is 0 or 1. For few positives an average precision is too high on
    average. The lower end therefore starts from the value less the bias over the resamples, with one more positive that
    is found by chance (`prevalence`).
    """
    n = positives.patients
    if STILL < value < 1 - STILL and np.ptp(resampled) >= STILL:
        effective = value * (1 - value) / resampled.var() / _few(positives.patients)
        n = min(max(effective, positives.patients), 2 * positives.n)
    bias = max(float(resampled.mean()) - value, 0.0) if len(resampled) else 0.0
    start = (n * max(value - bias, 0.0) + prevalence) / (n + 1)
    low = wilson(start, n)[0]
    return min(low, value), wilson(value, n)[1]


def bound_plain(value: float, resampled: Float[np.ndarray, "r"], patients: float) -> Interval | None:
    """Return the bias-corrected and accelerated percentiles of a score (BCa, Efron 1987), widened for few patients.

    The acceleration is a sixth of the skewness of the resamples. The percentiles are those of Student's quantile
    (Hesterberg 2015, Am Stat 69:371, section 5.3).

    Returns:
        Both ends; None if the score is equal in all resamples.
    """
    if np.ptp(resampled) < STILL:
        return None
    deviations = resampled - resampled.mean()
    acceleration = float(np.clip((deviations**3).mean() / (deviations**2).mean() ** 1.5 / 6, -0.2, 0.2))
    below = ((resampled < value - STILL).mean() + (resampled <= value + STILL).mean()) / 2
    bias = float(np.clip(ndtri(np.clip(below, 1e-3, 1 - 1e-3)), -0.5, 0.5))
    reach = bias + np.array([-1, 1]) * _Z * np.sqrt(_few(patients))
    low, high = np.quantile(resampled, ndtr(bias + reach / (1 - acceleration * reach)))
    # Roots are numbers, since full_output is False.
    return float(low), float(high)  # pyright: ignore[reportArgumentType]


def combine(
    value: float,
    ends: Float[np.ndarray, "k 2"],
    values: Float[np.ndarray, "k"],
    weights: Float[np.ndarray, "k"],
    correlation: Num[np.ndarray, "k k"],
) -> Interval:
    """Return the interval of a weighted sum from those of its parts (MOVER, Zou & Donner 2008, Stat Med 27:1693).

    Args:
        value: the sum.
        ends: intervals of the parts.
        values: values of the parts.
        weights: of either sign.
        correlation: of the parts.
    """
    down = values - ends[:, 0]
    up = ends[:, 1] - values
    products = weights[:, None] * weights * correlation
    low = value - _norm(np.where(weights > 0, down, up), products)
    return low, value + _norm(np.where(weights > 0, up, down), products)


def reach_bounds(ends: Interval, value: float, resampled: Float[np.ndarray, "r"], patients: float) -> Interval:
    """Return the interval of a mean of scores in 0..1, no shorter than that of a sum with as long a tail.

    The sum of the few misses of each part is less skewed than the parts, for which `combine` returns too short an end
    towards 0 or 1. That end is at least that of Fay and Feuer (1997, Stat Med 16:791) for weighted sums over strata.

    Args:
        ends: result of `combine`.
        value: mean of the data.
        resampled: means of the resamples.
        patients: number of resampled patients.
    """
    if min(value, 1 - value) < STILL or np.ptp(resampled) < STILL:
        return ends
    variance = float(resampled.var()) * _few(patients)
    low = _beta_quantile(value, variance, TAIL)
    high = 1 - _beta_quantile(1 - value, variance, TAIL)
    return (min(ends[0], low) if value < 0.5 else ends[0]), (max(ends[1], high) if value >= 0.5 else ends[1])


def correlate(resampled: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "k k"]:
    """Return the correlations of k scores over r resamples, 0 for a score that is constant.

    A resample in which a score is NaN is left out of the pairs of that score.
    """
    count = len(resampled)
    defined = ~np.isnan(resampled)
    correlation = np.eye(count)
    for i in range(count):
        for j in range(i):
            both = defined[i] & defined[j]
            first = resampled[i, both]
            second = resampled[j, both]
            if both.sum() > 2 and min(np.ptp(first), np.ptp(second)) >= STILL:
                correlation[i, j] = np.corrcoef(first, second)[0, 1]
                correlation[j, i] = correlation[i, j]
    return correlation


def bound_ratio(values: Float[np.ndarray, "2"], ends: Float[np.ndarray, "2 2"], correlation: float) -> Interval:
    """Return the interval of a ratio a / b, b above 0: every s at which a - s b may be 0 by `combine`.

    Args:
        values: a and b.
        ends: their intervals.
        correlation: of a and b.
    """
    pair = np.array([[1, correlation], [correlation, 1]])

    def at(ratio: float) -> Interval:
        weights = np.array([1.0, -ratio])
        return combine(float(weights @ values), ends, values, weights, pair)

    ratio = float(values[0] / values[1])

    def search(sign: int) -> float:
        """Return the ratio farthest below or above the observed one that is not excluded."""

        def excluded(step: float) -> float:
            low, high = at(ratio + sign * step)
            return -high if sign > 0 else low

        step = 1e-6
        while excluded(step) < 0:
            step *= 2
            if step > 1e6:
                return sign * np.inf
        root = brentq(excluded, step / 2 if step > 1e-6 else 0.0, step)
        return ratio + sign * root  # pyright: ignore[reportOperatorIssue] a number, since full_output is False

    return search(-1), search(1)


def _norm(distances: Float[np.ndarray, "k"], products: Float[np.ndarray, "k k"]) -> float:
    """Return the square root of a quadratic form, and 0 where rounding makes it negative."""
    return float(np.sqrt(max(distances @ products @ distances, 0.0)))


def _bound_extreme(value: float, n: float) -> Interval:
    """Return the interval of Clopper & Pearson (1934) of a share that is 0 or 1."""
    reach = 1 - TAIL ** (1 / n)
    return (0.0, reach) if value < 0.5 else (1 - reach, 1.0)


def _beta_quantile(mean: float, variance: float, level: float) -> float:
    """Return a quantile of the Beta distribution of a mean and a variance; 1 if there is none."""
    total = mean * (1 - mean) / variance
    return float(betaincinv(mean * total, (1 - mean) * total, level)) if mean < 1 else 1.0


def _few(patients: float) -> float:
    """Return the factor of a variance over resamples of few patients with which a normal quantile holds."""
    degrees = max(patients - 1, 1.0)
    return patients / max(patients - 1, 0.5) * (float(stdtrit(degrees, 1 - TAIL)) / _Z) ** 2


def _auroc_variance(area: float, positives: float, negatives: float) -> float:
    extra = (positives + negatives) / 2 - 1
    spread = (1 - area) / (2 - area) + area / (1 + area)
    return area * (1 - area) * (1 + max(extra, 0.0) * spread) / (positives * negatives)


def _solve(outside: Callable[[float], float], value: float) -> Interval:
    """Return the bounds in 0..1 around a value at which `outside` is 0."""
    low = brentq(outside, 0.0, value) if value > STILL and outside(0.0) > 0 > outside(value) else 0.0
    high = brentq(outside, value, 1.0) if value < 1 - STILL and outside(1.0) > 0 > outside(value) else 1.0
    if value <= STILL:
        high = brentq(outside, max(value, 1e-12), 1.0)
    if value >= 1 - STILL:
        low = brentq(outside, 0.0, min(value, 1 - 1e-12))
    # Roots are numbers, since full_output is False.
    return float(low), float(high)  # pyright: ignore[reportArgumentType]
