"""Radiographs drawn in pairs of one source and two classes.

Within a pair, the source says nothing of the class, as between a case and its control of one hospital (Breslow & Day
1980, "Statistical methods in cancer research I", chapter VII). Equal shares of the cells, as `sampling` draws them,
give the same on average; here it holds in every batch.
"""

import numpy as np

from cxrjax.training.remedies.sources import Sources


def draw_partners(rng: np.random.Generator, rows: np.ndarray, sources: Sources, labels: np.ndarray) -> np.ndarray:
    """Draw a partner for each of m radiographs: of the same source and another class, if the source has one.

    Every other class of the source is equally likely, and so is each of its radiographs. In a source of one class, the
    partner is any of its radiographs.

    Args:
        rng: random generator.
        rows: int [m], rows of the radiographs.
        sources: sources of all n training radiographs.
        labels: int [n], index of the class of each.

    Returns:
        int [m], rows of the partners.
    """
    num_classes = sources.counts.shape[1]
    cells = sources.ids * num_classes + labels  # one for each (source, class), ascending in `by_cell`
    by_cell = np.argsort(cells, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sources.group_counts)])

    present = sources.counts[sources.ids[rows]] > 0
    is_own = np.arange(num_classes) == labels[rows, None]
    is_single = present.sum(1, keepdims=True) == 1
    candidates = present & (~is_own | is_single)
    classes = np.where(candidates, rng.random(candidates.shape), -1.0).argmax(1)
    partner_cells = sources.ids[rows] * num_classes + classes
    positions = rng.integers(0, sources.group_counts[partner_cells])
    return by_cell[starts[partner_cells] + positions].astype(rows.dtype)
