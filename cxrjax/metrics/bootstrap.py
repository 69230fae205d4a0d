"""Bootstrap by patients (Efron 1979; Davison & Hinkley 1997, section 3.8), with resamples as matrices of weights.

A resample draws as many patients as there are, with replacement. The weight of a radiograph is the number of times its
patient was drawn, so that a resample is a row of integers, and a metric is a few products with a matrix of such rows
(`cxrjax.metrics.patient_weights`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from cxrjax.metrics import patient_weights
from cxrjax.metrics.patient_weights import PatientWeights

RESAMPLES = 2000  # for 95% percentiles; Efron & Tibshirani 1993, section 19.3, recommend 1,000 or more
_PATIENT_CELLS = 2**19  # weights of patients per block, which fit in the cache of a processor
_RADIOGRAPH_CELLS = 2**22  # weights of radiographs per block, which bound the memory of a metric


def fill_missing_patients(patients: Iterable[str]) -> list[str]:
    """Return patient ids in which each missing id, "", is replaced by a unique one."""
    return [patient or f"\0{i}" for i, patient in enumerate(patients)]  # no patient id begins with \0


def patient_draws(
    patients: Sequence[str] | Shaped[np.ndarray, "n"], resamples: int, seed: int
) -> Iterator[PatientWeights]:
    """Yield the weights of the data itself, then those of resamples, in blocks that bound the memory.

    Args:
        patients: patient of each of n radiographs, n > 0.
        resamples: number of resamples.
        seed: random seed.

    Yields:
        Ones [1, n], then integers [r, n], with r adding up to `resamples`; no resamples where there is one patient, as
        they would all be equal.
    """
    count, patient_index = patient_weights.index_patients(patients)
    yield PatientWeights(np.ones((count, 1)), patient_index)
    if count < 2:
        return
    rng = np.random.default_rng(seed)
    rows = max(1, min(_PATIENT_CELLS // count, _RADIOGRAPH_CELLS // len(patient_index)))
    for start in range(0, resamples, rows):
        shape = (min(rows, resamples - start), count)
        drawn = rng.integers(count, size=shape) + count * np.arange(shape[0])[:, None]
        times = np.bincount(drawn.ravel(), minlength=shape[0] * count).reshape(shape)
        yield PatientWeights(np.ascontiguousarray(times.T, float), patient_index)


def bootstrap_weights(
    patients: Sequence[str] | Shaped[np.ndarray, "n"], resamples: int, seed: int
) -> Iterator[Float[np.ndarray, "r n"]]:
    """Yield the weights of `patient_draws` as arrays."""
    return (np.asarray(weights) for weights in patient_draws(patients, resamples, seed))


def bootstrap(
    measure: Callable[[PatientWeights], Any],
    patients: Sequence[str] | Shaped[np.ndarray, "n"],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Any:
    """Compute a metric on the data and on resamples of the patients, as a tree for `confidence.summarize`.

    Args:
        measure: weights [r, n] -> tree of arrays with a first axis r (see `confidence`).
        patients: patient of each of n radiographs, n > 0.
        resamples: number of resamples.
        seed: random seed.

    Returns:
        The tree of the metric, with first axes of length 1 + `resamples`, or 1 where there is one patient.
    """
    return _concatenate([measure(weights) for weights in patient_draws(patients, resamples, seed)], {})


def design_effect(patients: Sequence[str] | Shaped[np.ndarray, "n"]) -> float:
    """Compute how many radiographs count as one if those of a patient are all equal.

    It is sum m² / sum m over the m radiographs of each patient, the design effect of Kish (1965, section 5.4) at an
    intraclass correlation of 1.
    """
    counts = np.unique(patients, return_counts=True)[1].astype(float)
    return float((counts**2).sum() / counts.sum())


def _concatenate(parts: Sequence[Any], cache: dict[tuple[int, ...], np.ndarray]) -> Any:
    """Concatenate trees leaf by leaf; arrays that occur several times in a tree are concatenated once."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: _concatenate([part[key] for part in parts], cache) for key in first}
    if isinstance(first, tuple):
        joined = [_concatenate(children, cache) for children in zip(*parts, strict=True)]
        return type(first)(*joined) if hasattr(first, "_fields") else tuple(joined)
    if not isinstance(first, np.ndarray):
        return first
    key = tuple(map(id, parts))
    if key not in cache:
        cache[key] = np.concatenate(parts)
    return cache[key]
