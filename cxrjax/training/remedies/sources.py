"""Sources of the training radiographs as numbers, and as a column of the training data."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Sources(NamedTuple):
    """Sources of n training radiographs."""

    names: tuple[str, ...]  # sorted
    ids: np.ndarray  # int32 [n], index of the source of each radiograph
    counts: np.ndarray  # int [sources, classes], number of radiographs

    @property
    def group_counts(self) -> np.ndarray:
        """Number of radiographs of each group: int [sources * classes], group = source * classes + class."""
        return self.counts.reshape(-1)


def index_sources(sources: Sequence[str], labels: np.ndarray, num_classes: int) -> Sources:
    """Number the sources of n radiographs, and count their classes.

    Args:
        sources: source of each radiograph.
        labels: int [n], index of the class of each.
        num_classes: number of classes.
    """
    names, ids = np.unique(np.array(sources, dtype=str), return_inverse=True)
    counts = np.zeros((len(names), num_classes), int)
    np.add.at(counts, (ids, labels), 1)
    return Sources(tuple(names.tolist()), ids.astype(np.int32), counts)


def add_sources(
    data: dict[str, Any] | Callable[[int], dict[str, Any]], ids: np.ndarray
) -> dict[str, Any] | Callable[[int], dict[str, Any]]:
    """Add the entry "sources" to the data of a `Task`.

    Args:
        data: dictionary of arrays [n, …], or a function: row -> dictionary of arrays of one radiograph.
        ids: int32 [n], index of the source of each radiograph.
    """
    if callable(data):
        return lambda row: data(row) | {"sources": ids[row]}
    return data | {"sources": ids}
