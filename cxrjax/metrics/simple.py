"""Single scores of plain arrays; evaluation computes the same over all resamples of patients at once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cxrjax.metrics import bootstrap, calibration, hypothesis_tests, intervals, roc


class ScoreWithCI(NamedTuple):
    """A score with its 95% confidence interval; NaN where there is none."""

    value: float
    low: float
    high: float


def auroc(positive: ArrayLike, scores: ArrayLike) -> float:
    """Compute the area under the ROC curve: the share of (positive, negative) pairs in the right order, ties half.

    Args:
        positive: bool [n].
        scores: float [n], higher for positive.

    Returns:
        0..1; NaN without positives or without negatives.

    Examples:
        >>> import cxrjax as cx
        >>> cx.metrics.auroc([False, False, True, True], [0.1, 0.4, 0.35, 0.8])
        0.75
    """
    return float(roc.auroc(_rank(positive, scores))[0])


def average_precision(positive: ArrayLike, scores: ArrayLike) -> float:
    """Compute the average precision: the mean over the positives of the precision at which each is found.

    Args:
        positive: bool [n].
        scores: float [n], higher for positive.

    Returns:
        0..1; NaN without positives.

    Examples:
        >>> import cxrjax as cx
        >>> round(cx.metrics.average_precision([False, False, True, True], [0.1, 0.4, 0.35, 0.8]), 4)
        0.8333
    """
    return float(roc.average_precision(_rank(positive, scores))[0])


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, *, num_bins: int = calibration.BINS) -> float:
    """Compute the expected calibration error (Naeini et al. 2015), over bins of about equal numbers.

    Args:
        confidence: float [n] in 0..1.
        correct: bool [n], whether the prediction of that confidence is right.
        num_bins: of confidence; equal values share a bin.

    Returns:
        The mean gap between confidence and accuracy, 0..1.

    Examples:
        >>> import cxrjax as cx
        >>> round(cx.metrics.expected_calibration_error([0.9, 0.9, 0.6, 0.6], [True, True, True, False]), 4)
        0.1
    """
    confidence = np.asarray(confidence, np.float64)
    correct = np.asarray(correct, bool)
    _check_lengths(confidence, correct)
    bins = calibration.equal_count_bins(confidence, num_bins)
    curve = calibration.reliability(confidence, correct, bins, np.ones((1, len(confidence))))
    return float(calibration.calibration_error(curve)[0])


def bootstrap_ci(
    metric: Callable[..., float],
    *arrays: ArrayLike,
    patients: Sequence[str] | None = None,
    num_resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> ScoreWithCI:
    """Compute a score and its 95% interval by resampling patients with replacement (BCa, Efron 1987).

    Args:
        metric: function of the arrays, such as `auroc`.
        *arrays: each with a first axis of n radiographs.
        patients: the patient of each radiograph, "" for one of its own; None if each has its own.
        num_resamples: how many.
        seed: of the draw.

    Returns:
        The score and its interval, whose ends are NaN with fewer than two patients, or if no resample moves the score.

    Raises:
        ValueError: the arrays differ in length, or are empty.

    Examples:
        >>> import cxrjax as cx
        >>> ci = cx.metrics.bootstrap_ci(cx.metrics.auroc, [0, 0, 1, 0, 1, 1], [0.1, 0.4, 0.35, 0.2, 0.8, 0.7])
        >>> ci.low < ci.value < ci.high
        True
    """
    columns = [np.asarray(array) for array in arrays]
    _check_lengths(*columns, *([] if patients is None else [patients]))
    n = len(columns[0])
    names = bootstrap.fill_missing_patients([""] * n if patients is None else patients)
    value = float(metric(*columns))
    scores = []
    blocks = bootstrap.bootstrap_weights(names, num_resamples, seed)
    next(blocks)  # the data themselves
    for weights in blocks:
        for weight in weights.astype(int):
            rows = np.repeat(np.arange(n), weight)
            scores.append(float(metric(*(column[rows] for column in columns))))
    resampled = np.array(scores)
    resampled = resampled[np.isfinite(resampled)]
    interval = intervals.bound_plain(value, resampled, float(len(set(names)))) if len(resampled) > 1 else None
    return ScoreWithCI(value, *(interval or (np.nan, np.nan)))


def mcnemar_test(first_correct: ArrayLike, second_correct: ArrayLike, patients: Sequence[str] | None = None) -> float:
    """Compute the p value of the exact test that two classifiers are equally often right (McNemar 1947), by patient.

    Args:
        first_correct: bool [n], whether the first classifier is right on each radiograph.
        second_correct: bool [n], of the second.
        patients: the patient of each radiograph, "" for one of its own; None if each has its own.

    Returns:
        The two-sided p value, 0..1; see `cxrjax.metrics.hypothesis_tests.mcnemar_test`.

    Raises:
        ValueError: the arrays differ in length, or are empty.

    Examples:
        >>> import cxrjax as cx
        >>> cx.metrics.mcnemar_test([True, True, True, True, True, False], [False] * 6)
        0.0625
    """
    first = np.asarray(first_correct, bool)
    second = np.asarray(second_correct, bool)
    _check_lengths(first, second, *([] if patients is None else [patients]))
    names = bootstrap.fill_missing_patients([""] * len(first) if patients is None else patients)
    patient_index = np.unique(names, return_inverse=True)[1]
    differences = np.zeros(patient_index.max() + 1, np.int64)
    np.add.at(differences, patient_index, first.astype(np.int64) - second.astype(np.int64))
    return hypothesis_tests.mcnemar_test(differences)


def _rank(positive: ArrayLike, scores: ArrayLike) -> roc.RocCounts:
    positive = np.asarray(positive, bool)
    scores = np.asarray(scores, np.float64)
    _check_lengths(positive, scores)
    return roc.roc_counts(positive, scores, np.ones((1, len(positive))))


def _check_lengths(*columns: Sequence | np.ndarray) -> None:
    lengths = [len(column) for column in columns]
    if min(lengths, default=0) == 0 or len(set(lengths)) > 1:
        raise ValueError(f"the arrays have {' and '.join(map(str, lengths))} radiographs; as many in each are needed")
