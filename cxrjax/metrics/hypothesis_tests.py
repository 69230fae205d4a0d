"""Hypothesis tests by patient: of two paired AUROCs or accuracies, and of a measure between groups; effect sizes."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped
from numpy.typing import ArrayLike
from scipy import stats
from scipy.signal import fftconvolve
from scipy.special import gammaln, ndtr
from scipy.stats import rankdata

from cxrjax.metrics import bootstrap

FEWEST = 3  # patients; a smaller group is not compared
CONFIDENCE = 0.95
_ROUNDING = 1e-9  # of shares of pairs
_MAX_DIRECT = 2000  # sums, above which the fast Fourier transform is faster


class DelongResult(NamedTuple):
    """Test of the difference of two AUROCs, the first minus the second."""

    difference: float
    deviation: float  # standard error of the difference
    p: float  # two-sided


def delong_test(
    positive: ArrayLike, first: ArrayLike, second: ArrayLike, patients: Sequence[str] | Shaped[np.ndarray, "n"]
) -> DelongResult | None:
    """Test whether two AUROCs on the same radiographs differ (DeLong, DeLong & Clarke-Pearson 1988).

    The radiographs of a patient count together (Obuchowski 1997); where every patient has one radiograph, the test is
    DeLong's own. Computed from ranks (Sun & Xu 2014).

    Args:
        positive: bool [n].
        first: scores of the first classifier [n], higher for positive; NaN loses every pair it is in.
        second: scores of the second classifier [n], as `first`.
        patients: patient of each radiograph.

    Returns:
        The result; None where there are fewer than two patients with positives, or with negatives, or where the
        AUROCs differ by the same in all patients, so that the variance of the difference is unknown.

    Examples:
        >>> import cxrjax as cx
        >>> positive = [0, 0, 0, 1, 1, 1]
        >>> result = cx.metrics.delong_test(positive, [1, 2, 5, 3, 4, 6], [3, 1, 4, 2, 5, 0], list("abcdef"))
        >>> round(result.difference, 4), 0 < result.p <= 1
        (0.3333, True)
    """
    positive = np.asarray(positive, bool)
    patient_index = np.unique(patients, return_inverse=True)[1]
    if min(len(set(patient_index[positive])), len(set(patient_index[~positive]))) < 2:
        return None
    differences = _placements(positive, np.asarray(first, float)) - _placements(positive, np.asarray(second, float))
    difference = differences[positive].mean()  # equal to the mean over the negatives
    num_patients = patient_index.max() + 1
    variance = 0.0
    sums = []
    for side in (positive, ~positive):
        deviations = differences[side] - difference
        total = np.bincount(patient_index[side], deviations, minlength=num_patients) / side.sum()
        count = len(set(patient_index[side]))
        variance += count / (count - 1) * (total**2).sum()
        sums.append(total)
    variance += 2 * num_patients / (num_patients - 1) * (sums[0] * sums[1]).sum()
    deviation = np.sqrt(max(variance, 0.0))
    if deviation < _ROUNDING:
        return DelongResult(0.0, 0.0, 1.0) if abs(difference) < _ROUNDING else None
    return DelongResult(float(difference), float(deviation), float(2 * ndtr(-abs(difference) / deviation)))


def mcnemar_test(differences: Integer[np.ndarray, "patients"]) -> float:
    """Test exactly whether two classifiers are correct equally often, patient by patient.

    If the classifiers are equal, exchanging them in a patient is as likely as not, so that each difference may as well
    have the other sign. Where every patient has one radiograph, this is the exact test of McNemar (1947).

    Args:
        differences: the number of radiographs that only the first classifier got right minus the number that only the
            second got right.

    Returns:
        The two-sided p-value in 0..1: the share of all signs whose sum is at least as far from 0 as that observed; 1
        where all differences are 0.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    probabilities = np.ones(1)  # of each sum, from the lowest to the highest
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        binomial = np.zeros(2 * size * count + 1)
        binomial[:: 2 * size] = np.exp(_log_binomial(count))
        if len(probabilities) > _MAX_DIRECT:
            probabilities = fftconvolve(probabilities, binomial)
        else:
            probabilities = np.convolve(probabilities, binomial)
    highest = (len(probabilities) - 1) // 2
    sums = np.abs(np.arange(-highest, highest + 1))
    return float(min(1.0, np.maximum(probabilities, 0)[sums >= abs(int(differences.sum()))].sum()))


def holm(p: ArrayLike) -> Float[np.ndarray, "tests"]:
    """Return adjusted p-values of m tests, the k-th smallest times m - k + 1, monotonic and at most 1 (Holm 1979)."""
    p = np.asarray(p, np.float64)
    order = p.argsort()
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def compare_groups(
    measures: Mapping[str, ArrayLike], labels: Sequence[str], patients: Sequence[str], groups: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Compare groups of patients in every measure.

    A patient counts once in a group, by the mean of their radiographs; NaN is left out. All groups are compared by the
    Kruskal-Wallis test and each pair by the two-sided Mann-Whitney test. Both families of tests are corrected by Holm's
    method over all measures (and pairs).

    Args:
        measures: name -> n values.
        labels: group of each of the n radiographs.
        patients: patient of each radiograph; each "" is a patient of its own.
        groups: names of the groups to compare, in order.

    Returns:
        {"across": [{"measure", "patients" and "medians" by group, "statistic", "p", "p_holm"}], "pairs": [{"measure",
        "groups", "delta", "interval", "p", "p_holm"}]}; delta is that of `cliffs_delta`. Measures with values in fewer
        than two groups are left out.
    """
    across: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for name, values in measures.items():
        samples = {group: by_patient(values, labels, patients, group) for group in groups}
        samples = {group: sample for group, sample in samples.items() if len(sample) >= FEWEST}
        if len(samples) < 2:
            continue
        statistic, p = _kruskal(list(samples.values()))
        across.append(
            {
                "measure": name,
                "patients": {group: len(sample) for group, sample in samples.items()},
                "medians": {group: float(np.median(sample)) for group, sample in samples.items()},
                "statistic": statistic,
                "p": p,
            }
        )
        for a, b in combinations(samples, 2):
            delta, interval = cliffs_delta(samples[a], samples[b])
            p = float(stats.mannwhitneyu(samples[a], samples[b]).pvalue)
            pairs.append({"measure": name, "groups": [a, b], "delta": delta, "interval": interval, "p": p})
    for family in (across, pairs):
        for test, p_holm in zip(family, holm([test["p"] for test in family]), strict=True):
            test["p_holm"] = float(p_holm)
    return {"across": across, "pairs": pairs}


def by_patient(
    values: ArrayLike, labels: Sequence[str], patients: Sequence[str], group: str
) -> Float[np.ndarray, "patients"]:
    """Return the mean value of each patient of a group, without NaN."""
    values = np.asarray(values, np.float64)
    values_by_patient: dict[str, list[float]] = {}
    for value, label, patient in zip(values, labels, bootstrap.fill_missing_patients(patients), strict=True):
        if label == group and not np.isnan(value):
            values_by_patient.setdefault(patient, []).append(value)
    return np.array([np.mean(patient_values) for patient_values in values_by_patient.values()], np.float64)


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> tuple[float, list[float]]:
    """Compute Cliff's delta, P(a > b) - P(a < b), which is 2 AUROC - 1, and its confidence interval.

    The interval is the asymmetric one of Cliff 1996 ("Ordinal Methods for Behavioral Data Analysis"), with his
    consistent variance; where no values overlap it is (n - z²) / (n + z²) to 1, n being the size of the smaller group
    (Feng & Cliff 2004).

    Args:
        a: values of one group, two or more.
        b: values of the other group, two or more.

    Returns:
        The delta in -1..1, and the lower and upper end of its interval of level CONFIDENCE.
    """
    a = np.asarray(a, np.float64)
    b = np.asarray(b, np.float64)
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    n = len(a)
    m = len(b)
    # The mean of sign(a - b) over b for each of a, and over a for each of b, by counting.
    row_means = _mean_signs(a, np.sort(b))
    column_means = _mean_signs(b, np.sort(a))
    delta = float(row_means.mean())
    if abs(delta) == 1:
        bound = (min(n, m) - z**2) / (min(n, m) + z**2)
        return delta, [bound, 1.0] if delta > 0 else [-1.0, -bound]
    ties = np.searchsorted(np.sort(b), a, "right") - np.searchsorted(np.sort(b), a, "left")
    mean_square = 1 - ties.sum() / (n * m)  # of the signs of all pairs
    row_variance = row_means.var(ddof=1)
    column_variance = column_means.var(ddof=1)
    pair_variance = (mean_square - delta**2) * n * m / (n * m - 1)
    variance = max(((m - 1) * row_variance + (n - 1) * column_variance + pair_variance) / (n * m), 0.0)
    half = z * np.sqrt(variance * ((1 - delta**2) ** 2 + z**2 * variance))
    low = (delta - delta**3 - half) / (1 - delta**2 + z**2 * variance)
    high = (delta - delta**3 + half) / (1 - delta**2 + z**2 * variance)
    return delta, [max(float(low), -1.0), min(float(high), 1.0)]


def _placements(positive: Bool[np.ndarray, "n"], scores: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Return, for each radiograph, the share of the other class that it is ordered correctly with, ties half."""
    scores = np.where(np.isnan(scores), np.where(positive, -np.inf, np.inf), scores)
    ranks = rankdata(scores)
    placements = np.empty(len(scores))
    for side in (positive, ~positive):
        placements[side] = (ranks[side] - rankdata(scores[side])) / (~side).sum()
    return np.where(positive, placements, 1 - placements)


def _log_binomial(count: int) -> Float[np.ndarray, "{count}+1"]:
    """Return the log probability of 0..count heads of `count` fair coins."""
    heads = np.arange(count + 1)
    return gammaln(count + 1) - gammaln(heads + 1) - gammaln(count - heads + 1) - count * np.log(2)


def _mean_signs(x: Float[np.ndarray, "n"], sorted_others: Float[np.ndarray, "m"]) -> Float[np.ndarray, "n"]:
    """Return, for each of x, the share of the others that is smaller minus the share that is larger."""
    num_smaller = np.searchsorted(sorted_others, x, "left")
    num_not_larger = np.searchsorted(sorted_others, x, "right")
    return (num_smaller + num_not_larger) / len(sorted_others) - 1


def _kruskal(groups: list[Float[np.ndarray, "_"]]) -> tuple[float, float]:
    if np.ptp(np.concatenate(groups)) == 0:  # scipy raises an error for equal values
        return 0.0, 1.0
    result = stats.kruskal(*groups)
    return float(result.statistic), float(result.pvalue)
