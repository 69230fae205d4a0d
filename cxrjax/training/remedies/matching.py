"""Sampling probabilities by which the classes are alike in age, sex and view.

Coarsened exact matching (Iacus, King & Porro 2012, "Causal inference without balance checking"): the radiographs are
divided into strata of equal age group, sex and view; a stratum that lacks a class is left out, and in each of the
others every class is drawn as often as the stratum's size tells. The age groups are ours.
"""

from collections.abc import Callable, Sequence

import numpy as np

from cxrjax.data.batch import RadiographBatch
from cxrjax.data.dataset import RadiographDataset

_Radiographs = RadiographBatch | RadiographDataset
_AGE_LIMITS = (2, 18, 40, 65)  # years: infants, children, and adults in three groups


def _group_ages(radiographs: _Radiographs) -> list[str]:
    groups = np.digitize(radiographs.ages, _AGE_LIMITS)
    return ["" if unknown else str(group) for unknown, group in zip(np.isnan(radiographs.ages), groups, strict=True)]


ATTRIBUTES: dict[str, Callable[[_Radiographs], list[str]]] = {
    "age": _group_ages,
    "sex": lambda radiographs: [sex.upper()[:1] for sex in radiographs.sexes],
    "view": lambda radiographs: [view.upper() for view in radiographs.views],
}


def list_strata(radiographs: _Radiographs, attributes: Sequence[str]) -> list[str]:
    """Return the stratum of each radiograph, as "AGE GROUP SEX VIEW"; an unknown value is one of its own.

    Raises:
        ValueError: an attribute is not in `ATTRIBUTES`.
    """
    unknown = [name for name in attributes if name not in ATTRIBUTES]
    if unknown:
        raise ValueError(f"remedy.match: {unknown[0]!r} is none of {', '.join(ATTRIBUTES)}")
    columns = [ATTRIBUTES[name](radiographs) for name in attributes]
    return [" ".join(values) for values in zip(*columns, strict=True)]


def sampling_weights(strata: Sequence[str], labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the weight by which each of n radiographs is drawn, float [n].

    Args:
        strata: stratum of each radiograph.
        labels: int [n], index of the class of each.
        num_classes: number of classes.

    Raises:
        ValueError: no stratum has all classes.
    """
    _, ids = np.unique(np.array(strata, str), return_inverse=True)
    counts = np.zeros((ids.max() + 1, num_classes))
    np.add.at(counts, (ids, labels), 1)
    is_complete = np.all(counts > 0, axis=1)
    if not is_complete.any():
        raise ValueError(
            "remedy.match: no group of equal age, sex and view has radiographs of all classes; match by fewer of them, "
            "or leave a class out"
        )
    sizes = counts.sum(1)
    return np.where(is_complete[ids], sizes[ids] / np.maximum(counts[ids, labels], 1), 0.0)
