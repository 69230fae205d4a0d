"""Probabilities from which on findings are predicted, in words and as cells of predictions.csv."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxrjax.config import Config
from cxrjax.io import predictions_csv
from cxrjax.runtime.formatting import format_label, join_words

DEFAULT = 0.5  # of a finding without a threshold


def describe(classes: Sequence[str], thresholds: NDArray[np.float64], config: Config) -> str:
    """Return a sentence on where the thresholds of the findings come from.

    Args:
        classes: the k findings.
        thresholds: chosen on validation; NaN for a finding without one.
        config: config of the run.
    """
    missing = [format_label(name) for name, is_missing in zip(classes, np.isnan(thresholds), strict=True) if is_missing]
    if len(missing) < len(classes):
        chosen = "A finding is predicted from its operating point on the validation split on"
        return f"{chosen}; {join_words(missing)} without one from 0.5 on." if missing else f"{chosen}."
    if config.classifier.thresholds:
        return "A finding is predicted from a probability of 0.5 on, to which its published operating point was moved."
    return "A finding is predicted from a probability of 0.5 on; no operating point was chosen on validation."


def to_cells(classes: Sequence[str], thresholds: NDArray[np.float64]) -> dict[str, float]:
    """Return the cells of the thresholds of the findings, `DEFAULT` for NaN."""
    return {
        f"{predictions_csv.THRESHOLD_PREFIX}{name}": DEFAULT if np.isnan(threshold) else float(threshold)
        for name, threshold in zip(classes, thresholds, strict=True)
    }
