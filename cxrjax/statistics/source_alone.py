"""What is known of a radiograph's label from its source alone: how often training has each label from there."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def guess(
    counts: Mapping[str, Mapping[str, int]], sources: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return the probability of each class by the source of a radiograph.

    Args:
        counts: {source: {label: radiographs of training}}; labels that are no class do not count.
        sources: of n radiographs.
        classes: the K class names.

    Returns:
        [n, K], the shares of the labels among the radiographs of the source; among all, where the source is not known.

    Raises:
        ValueError: training has no radiograph of any class.
    """
    table = {source: np.array([of.get(name, 0) for name in classes], float) for source, of in counts.items()}
    everywhere = sum(table.values(), np.zeros(len(classes)))
    if not everywhere.sum():
        raise ValueError(f"there is no radiograph of {', '.join(classes)} in training to learn from")
    each = [table.get(source, everywhere) for source in sources]
    shares = np.array([of if of.any() else everywhere for of in each]).reshape(-1, len(classes))
    return shares / shares.sum(1, keepdims=True)
