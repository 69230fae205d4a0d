"""The bootstrap by patients (Efron 1979; Davison & Hinkley 1997, section 3.8): many resamples at once, as weights.

A resample draws as many patients as there are, with replacement. A radiograph weighs in it as often as its patient was
drawn; so a resample is a row of whole numbers, a measure a few products with a matrix of them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000  # for percentiles at 95%; Efron & Tibshirani 1993, section 19.3, ask for 1,000 and more
_CELLS = 2**19  # weights at once: what a processor's cache holds


def fill_missing_patients(patients: Sequence[str]) -> list[str]:
    """Patients by names that part them: one of no name, "", is a patient of his own each time."""
    return [patient or f"\0{i}" for i, patient in enumerate(patients)]  # no patient's name begins so


def bootstrap_weights(patients: Sequence[str], resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Weights of the data themselves, then of resamples, in blocks.

    Args:
        patients: the patient of each of n radiographs, n > 0.
        resamples: how many.
        seed: of the draw.

    Yields:
        [1, n] of ones, then whole numbers [r, n], r adding up to `resamples`; of one patient, who is the same however
        often he is drawn, there is no resample.
    """
    names, of = np.unique(patients, return_inverse=True)
    yield np.ones((1, len(of)))
    if len(names) < 2:
        return
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // len(of))
    for start in range(0, resamples, rows):
        shape = min(rows, resamples - start), len(names)
        drawn = rng.integers(len(names), size=shape) + len(names) * np.arange(shape[0])[:, None]
        yield np.bincount(drawn.ravel(), minlength=shape[0] * len(names)).reshape(shape)[:, of].astype(float)


def bootstrap(
    measure: Callable[[NDArray], Any], patients: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> Any:
    """A measure of the data and of resamples of their patients: a tree for `confidence.describe`.

    Args:
        measure: weights [r, n] -> tree whose arrays have a first axis r (see `estimates`).
        patients: the patient of each of n radiographs, n > 0.
        resamples: how many.
        seed: of the draw.

    Returns:
        The measure's tree, every first axis 1 + `resamples` long, and 1 of one patient.
    """
    return _join([measure(weights) for weights in bootstrap_weights(patients, resamples, seed)], {})


def design_effect(patients: Sequence[str]) -> float:
    """How many radiographs count as one if a patient's are all alike: sum m² / sum m of the m a patient has.

    It is the design effect of Kish (1965, section 5.4) at an intraclass correlation of 1.
    """
    counts = np.unique(patients, return_counts=True)[1].astype(float)
    return float((counts**2).sum() / counts.sum())


def _join(parts: Sequence[Any], known: dict[tuple[int, ...], NDArray]) -> Any:
    """Join trees leaf by leaf; arrays that stand in several places of a tree are joined once."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: _join([part[key] for part in parts], known) for key in first}
    if isinstance(first, tuple):
        joined = [_join(each, known) for each in zip(*parts, strict=True)]
        return type(first)(*joined) if hasattr(first, "_fields") else tuple(joined)
    if not isinstance(first, np.ndarray):
        return first
    place = tuple(map(id, parts))
    if place not in known:
        known[place] = np.concatenate(parts)
    return known[place]
