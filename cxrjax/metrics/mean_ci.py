"""The interval of a plain mean over radiographs: that of `metrics.confidence`, by resamples of their patients."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrjax.metrics import bootstrap, confidence


def interval(
    values: ArrayLike, patients: Sequence[str], seed: int, bounded: bool = False, less: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the 95% interval of a mean, or of a difference of two.

    Means of values in 0..1, and their differences, have the intervals of `confidence.MeanEstimate` and
    `confidence.difference`, as scores have; other means have corrected percentiles, widened for few patients
    (`intervals.bound_plain`).

    Args:
        values: float [n] or [n, m], m columns at once.
        patients: of n > 0 radiographs, "" as in `bootstrap.fill_missing_patients`.
        seed: of the draws.
        bounded: whether all values are in 0..1.
        less: float [n] or [n, m], whose mean is taken away; of values that are bounded.

    Returns:
        Both ends, [2] or [2, m]; NaN where there are fewer than two patients, or no resample moves the mean (unless it
        is 0 or 1, and the values are bounded).
    """
    values = np.asarray(values, np.float64)
    columns = values.reshape(len(values), -1)
    others = None if less is None else np.asarray(less, np.float64).reshape(columns.shape)
    names = bootstrap.fill_missing_patients(patients)

    def measure(weights: NDArray) -> dict[int, confidence.Leaf]:
        if not bounded:
            return dict(enumerate((weights @ columns / weights.sum(1, keepdims=True)).T))
        means = [confidence.mean_estimate(each, weights) for each in columns.T]
        if others is None:
            return dict(enumerate(means))
        pairs = zip(means, others.T, strict=True)
        return {
            i: confidence.difference(mean, confidence.mean_estimate(other, weights))
            for i, (mean, other) in enumerate(pairs)
        }

    described = confidence.summarize(bootstrap.bootstrap(measure, names, seed=seed), names)
    ends = [described[i]["interval"] or (np.nan, np.nan) for i in range(columns.shape[1])]
    return np.array(ends).T.reshape(2, *values.shape[1:])
