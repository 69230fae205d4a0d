"""Metrics of validation by which an epoch is chosen for its worst group.

Yang et al. 2023, "Change is hard: a closer look at subpopulation shift", section 5.4: choosing by the worst class alone
works nearly as well as by the worst group where groups are not known.
"""

from collections.abc import Sequence

import numpy as np

from cxrjax.metrics.identifiability import MIN_COUNT

METRICS = ("worst_class", "worst_group")


def worst_recalls(correct: np.ndarray, labels: np.ndarray, sources: Sequence[str]) -> dict[str, float]:
    """Return the recall of the worst class, and of the worst class of a source.

    Groups of fewer than `MIN_COUNT` radiographs do not count, unless all are as small: the recall of one radiograph is
    0 or 1, and where it is 0 in every epoch, the first epoch would be chosen.

    Args:
        correct: bool [n], whether each radiograph is predicted correctly.
        labels: int [n], index of the class of each.
        sources: source of each.

    Returns:
        {"worst_class", "worst_group"}, 0..1; NaN without radiographs.
    """
    if not len(labels):
        return dict.fromkeys(METRICS, float("nan"))
    _, source_ids = np.unique(np.array(sources, dtype=str), return_inverse=True)
    groups = source_ids * (int(labels.max()) + 1) + labels
    names, counts = np.unique(groups, return_counts=True)
    is_large = (counts >= MIN_COUNT) | (counts.max() < MIN_COUNT)
    return {
        "worst_class": min(float(correct[labels == label].mean()) for label in np.unique(labels)),
        "worst_group": min(float(correct[groups == group].mean()) for group in names[is_large]),
    }
