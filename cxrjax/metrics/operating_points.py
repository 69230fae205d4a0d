"""Operating points of one class: thresholds of its probability, and the rates at them."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from cxrjax.metrics import bootstrap, confidence, roc
from cxrjax.metrics.patient_weights import Weights

FEWEST = 10  # radiographs with and without a finding, for a threshold between them; ours


def choose_thresholds(
    positive: Bool[np.ndarray, "n"],
    probabilities: Float[np.ndarray, "n"],
    patients: Shaped[np.ndarray, "n"],
    target: float,
) -> dict[str, float | None]:
    """Choose the two thresholds of a class by `roc.choose_threshold`.

    Args:
        positive: whether each radiograph is of the class, True for some and False for others.
        probabilities: of the class, NaN without a prediction.
        patients: patient of each radiograph.
        target: of specificity or sensitivity.

    Returns:
        {"at_specificity", "at_sensitivity"}; None where no threshold guarantees the target.
    """
    counts = roc.roc_counts(positive, np.nan_to_num(probabilities, nan=-np.inf), np.ones((1, len(positive))))
    thresholds = {
        "at_specificity": roc.choose_threshold(
            counts, specificity=target, more=bootstrap.design_effect(patients[~positive])
        ),
        "at_sensitivity": roc.choose_threshold(
            counts, sensitivity=target, more=bootstrap.design_effect(patients[positive])
        ),
    }
    return {kind: threshold if np.isfinite(threshold) else None for kind, threshold in thresholds.items()}


def choose_balanced_threshold(positive: Bool[np.ndarray, "n"], probabilities: Float[np.ndarray, "n"]) -> float | None:
    """Choose the threshold of the highest sum of sensitivity and specificity (Youden 1950, Cancer 3:32).

    Of several such thresholds it is the highest, and of those between two scores the middle.

    Args:
        positive: whether each radiograph is of the class.
        probabilities: of the class; NaN, without a prediction, never reaches a threshold.

    Returns:
        The threshold; None with fewer than `FEWEST` radiographs of the class or of the others, or if no radiograph
        reaches it.
    """
    if min(positive.sum(), (~positive).sum()) < FEWEST:
        return None
    counts = roc.roc_counts(positive, np.nan_to_num(probabilities, nan=-np.inf), np.ones((1, len(positive))))
    sensitivity = counts.true_positives[0] / counts.true_positives[0, -1]
    specificity = 1 - counts.false_positives[0] / counts.false_positives[0, -1]
    threshold = roc.find_middle(counts, int(np.argmax(sensitivity + specificity)))
    return threshold if np.isfinite(threshold) else None


def measure_threshold(
    positive: Bool[np.ndarray, "n"],
    probabilities: Float[np.ndarray, "n"],
    threshold: float | None,
    weights: Weights,
) -> dict[str, Any]:
    """Compute sensitivity and specificity at a threshold of the probability of one class under r weightings.

    Args:
        positive: whether each radiograph is of the class.
        probabilities: of the class; NaN never reaches a threshold.
        threshold: None where none can be reached.
        weights: of the radiographs.

    Returns:
        {"threshold", "sensitivity", "specificity"}; {"threshold": None} without a threshold.
    """
    if threshold is None:
        return {"threshold": None}
    called = probabilities >= threshold
    return {
        "threshold": threshold,
        "sensitivity": confidence.proportion(weights @ (called & positive), weights @ positive),
        "specificity": confidence.proportion(weights @ ~(called | positive), weights @ ~positive),
    }
