"""Scores of the rows of an experiment of several findings: the metrics of `cxrjax.audit.metrics` over known entries.

Accuracy is the mean over the findings of the share of radiographs for which the finding is correctly called present or
absent; macro F1 and macro AUROC are means over the findings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.io import findings
from cxrjax.metrics import classification, confidence, finding_arrays, multilabel
from cxrjax.metrics.finding_arrays import FindingArrays
from cxrjax.metrics.patient_weights import Weights

_VALUES = ("absent", "present")


def measure_predictions(rows: Sequence[Mapping[str, Any]], weights: Weights) -> dict[str, Any]:
    """Compute the metrics under weightings [r, n] of n rows; a radiograph without a prediction counts as wrong.

    Returns:
        {"macro_f1", "accuracy", "macro_auroc", "classes": {finding: scores}}, a tree for `cxrjax.metrics.confidence`.
    """
    arrays = finding_arrays.collect(rows)
    tree = multilabel.measure_findings(arrays, weights)
    correct = (arrays.called == arrays.positive) & ~np.isnan(arrays.probabilities)
    return {
        "macro_f1": tree["macro"]["f1"],
        "accuracy": _mean_accuracy(arrays, correct, weights),
        "macro_auroc": tree["macro"]["auroc"],
        "classes": tree["classes"],
    }


def measure_baseline(rows: Sequence[Mapping[str, Any]], weights: Weights) -> dict[str, Any]:
    """Compute the metrics of predictions from metadata, the highest possible (`classification.measure_baseline`)."""
    arrays = finding_arrays.collect(rows)
    scores = {}
    accuracies = []
    for k, name in enumerate(arrays.findings):
        known = arrays.rows(k)
        probability = arrays.probabilities[known, k]
        two_sided = np.stack([1 - probability, probability], 1)
        truth = arrays.positive[known, k].astype(int)
        tree = classification.measure_baseline(truth, two_sided, _VALUES, weights[:, known])
        scores[name] = tree["classes"]["present"]
        accuracies.append(tree["accuracy"])
    macro = classification.average_scores(scores, ("f1", "auroc"))
    return {
        "macro_f1": macro["f1"],
        "accuracy": confidence.mean_of(accuracies),
        "macro_auroc": macro["auroc"],
        "classes": scores,
    }


def chance_level(train_shares: NDArray, targets: NDArray) -> dict[str, float]:
    """Compute the scores of the better of two predictors that know only how frequent the findings are in training.

    One calls a finding if most radiographs of training have it, the other draws it by its share. F1 is that of the
    expected counts, as in `baselines.chance_level`.

    Args:
        train_shares: [k], share of the training radiographs with each finding; NaN where it is not known.
        targets: [n, k] of the radiographs that are predicted, as `cxrjax.io.findings` describes.

    Returns:
        {"macro_f1", "accuracy", "macro_auroc", "macro_average_precision"}, means over the findings that are known in
        training and here; of these, F1 and average precision over those that are present in a radiograph.
    """
    f1 = []
    accuracy = []
    precision = []
    for q, values in zip(train_shares, targets.T, strict=True):
        present = findings.is_present(values[findings.is_known(values)])
        if np.isnan(q) or not len(present):
            continue
        p = float(present.mean())
        accuracy.append(max(p if q >= 0.5 else 1 - p, p * q + (1 - p) * (1 - q)))
        if p:
            f1.append(max(2 * p / (p + 1) if q >= 0.5 else 0.0, 2 * p * q / (p + q)))
            precision.append(p)
    return {
        "macro_f1": float(np.mean(f1)) if f1 else 0.0,
        "accuracy": float(np.mean(accuracy)) if accuracy else 0.0,
        "macro_auroc": 0.5,
        "macro_average_precision": float(np.mean(precision)) if precision else 0.0,
    }


def mixed_sources(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the sources in which some finding is present in one radiograph and absent in another."""
    arrays = finding_arrays.collect(rows)
    sources = np.array([row["source"] for row in rows])
    mixed = []
    for source in sorted(set(sources.tolist())):
        part = arrays.select(np.flatnonzero(sources == source))
        if ((part.positive & part.known).any(0) & (~part.positive & part.known).any(0)).any():
            mixed.append(source)
    return mixed


def _mean_accuracy(arrays: FindingArrays, correct: NDArray, weights: Weights) -> confidence.Combination:
    shares = []
    for k in range(len(arrays.findings)):
        rows = arrays.rows(k)
        finding_weights = weights[:, rows]
        shares.append(confidence.proportion(finding_weights @ correct[rows, k], finding_weights.sum(1)))
    return confidence.mean_of(shares)
