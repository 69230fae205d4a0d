"""The interval of a plain mean over radiographs, their patients resampled."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrjax.statistics import proportions, resampling


def interval(values: ArrayLike, patients: Sequence[str], seed: int) -> NDArray[np.float64]:
    """The percentile bootstrap interval of a mean (see `resampling`).

    Args:
        values: float [n] or [n, m], m columns at once.
        patients: of n > 0 radiographs, "" as in `resampling.name_patients`.
        seed: of the draws.

    Returns:
        Both ends, [2] or [2, m]; NaN where there are fewer than two patients.
    """
    values = np.asarray(values, np.float64)
    names = resampling.name_patients(patients)
    _, *means = resampling.bootstrap(lambda weights: ((weights @ values).T / weights.sum(1)).T, names, seed=seed)
    if not means:
        return np.full((2, *values.shape[1:]), np.nan)
    tail = (1 - proportions.LEVEL) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0)
