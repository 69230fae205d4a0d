"""Whether a measure differs between groups of patients: rank tests, corrected for their number, and effect sizes."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from cxrjax.metrics import bootstrap
from cxrjax.metrics.proportions import holm

FEWEST = 3  # patients; a group of fewer is not compared
CONFIDENCE = 0.95


def compare_groups(
    measures: Mapping[str, ArrayLike], labels: Sequence[str], patients: Sequence[str], groups: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Compare groups of patients in every measure.

    A patient counts once in a group, by the mean of his radiographs; NaN is left out. All groups are compared by
    Kruskal and Wallis's test and each pair by Mann and Whitney's, two-sided. Both families of tests are corrected by
    Holm's method over all measures (and pairs).

    Args:
        measures: name -> n values.
        labels: n, the group of each radiograph.
        patients: n; "" is a patient each time.
        groups: those to compare, in order.

    Returns:
        {"across": [{"measure", "patients" and "medians" by group, "statistic", "p", "p_holm"}], "pairs": [{"measure",
        "groups", "delta", "interval", "p", "p_holm"}]}; delta as in `cliffs_delta`. Measures that fewer than two
        groups have are left out.
    """
    across, pairs = [], []
    for name, values in measures.items():
        each = {group: by_patient(values, labels, patients, group) for group in groups}
        each = {group: there for group, there in each.items() if len(there) >= FEWEST}
        if len(each) < 2:
            continue
        statistic, p = _kruskal(list(each.values()))
        known = {
            "patients": {group: len(there) for group, there in each.items()},
            "medians": {group: float(np.median(there)) for group, there in each.items()},
        }
        across.append({"measure": name, **known, "statistic": statistic, "p": p})
        for one, other in combinations(each, 2):
            delta, interval = cliffs_delta(each[one], each[other])
            p = float(stats.mannwhitneyu(each[one], each[other]).pvalue)
            pairs.append({"measure": name, "groups": [one, other], "delta": delta, "interval": interval, "p": p})
    for family in (across, pairs):
        for test, p in zip(family, holm([test["p"] for test in family]), strict=True):
            test["p_holm"] = float(p)
    return {"across": across, "pairs": pairs}


def by_patient(values: ArrayLike, labels: Sequence[str], patients: Sequence[str], group: str) -> NDArray[np.float64]:
    """The mean value of each of a group's patients, NaN left out."""
    values = np.asarray(values, np.float64)
    kept: dict[str, list[float]] = {}
    for value, label, patient in zip(values, labels, bootstrap.fill_missing_patients(patients), strict=True):
        if label == group and not np.isnan(value):
            kept.setdefault(patient, []).append(value)
    return np.array([np.mean(each) for each in kept.values()])


def cliffs_delta(a: ArrayLike, b: ArrayLike) -> tuple[float, list[float]]:
    """Cliff's delta, P(a > b) - P(a < b), which is 2 AUROC - 1, and its interval.

    The interval is the asymmetric one of Cliff 1996 ("Ordinal Methods for Behavioral Data Analysis"), with his
    consistent variance; where no value overlaps it reaches from (n - z²) / (n + z²), n of the smaller group, to 1
    (Feng & Cliff 2004).

    Args:
        a: values of one group, two or more.
        b: values of the other.

    Returns:
        The delta in -1..1, and the lower and upper end of its interval of CONFIDENCE.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    n, m = len(a), len(b)
    # The mean of sign(a - b) over b for each of a, and over a for each of b, by counting.
    rows, columns = (_wins(x, np.sort(y)) for x, y in ((a, b), (b, a)))
    delta = float(rows.mean())
    if abs(delta) == 1:
        far = (min(n, m) - z**2) / (min(n, m) + z**2)
        return delta, [far, 1.0] if delta > 0 else [-1.0, -far]
    ties = np.searchsorted(np.sort(b), a, "right") - np.searchsorted(np.sort(b), a, "left")
    square = 1 - ties.sum() / (n * m)  # mean of sign², over all pairs
    of_rows, of_columns = rows.var(ddof=1), columns.var(ddof=1)
    of_pairs = (square - delta**2) * n * m / (n * m - 1)
    variance = max(((m - 1) * of_rows + (n - 1) * of_columns + of_pairs) / (n * m), 0.0)
    half = z * np.sqrt(variance * ((1 - delta**2) ** 2 + z**2 * variance))
    low, high = ((delta - delta**3 + sign * half) / (1 - delta**2 + z**2 * variance) for sign in (-1, 1))
    return delta, [max(float(low), -1.0), min(float(high), 1.0)]


def _wins(x: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each of x the share of sorted others that is smaller, less the share that is larger."""
    below, not_above = np.searchsorted(others, x, "left"), np.searchsorted(others, x, "right")
    return (below + not_above) / len(others) - 1


def _kruskal(groups: list[NDArray[np.float64]]) -> tuple[float, float]:
    if np.ptp(np.concatenate(groups)) == 0:  # which scipy refuses
        return 0.0, 1.0
    result = stats.kruskal(*groups)
    return float(result.statistic), float(result.pvalue)
