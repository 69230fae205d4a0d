"""Intervals of means over radiographs, the patients resampled."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 2000


def interval(values: ArrayLike, patients: Sequence[str], seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean, whole patients being drawn (Efron & Tibshirani 1993, ch. 13).

    Args:
        values: float [n].
        patients: n, whose radiographs go together; a radiograph of "" is a patient of its own.
        seed: of the draws.

    Returns:
        Both ends; NaN where there are fewer than two patients.
    """
    names = [patient or f"\0{i}" for i, patient in enumerate(patients)]
    _, which = np.unique(names, return_inverse=True)
    sums, counts = np.bincount(which, np.asarray(values, np.float64)), np.bincount(which)
    if len(counts) < 2:
        return np.nan, np.nan
    times = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    low, high = np.percentile(times @ sums / (times @ counts), (2.5, 97.5))
    return float(low), float(high)
