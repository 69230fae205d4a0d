"""Scores of the rows of an experiment of several findings: the metrics of `cxrjax.audit.metrics` over known entries.

Accuracy is the mean over the findings of the share of radiographs for which the finding is correctly called present or
absent; macro F1 and macro AUROC are means over the findings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.metrics import baselines, classification, confidence, finding_arrays, multilabel
from cxrjax.metrics.finding_arrays import FindingArrays

_VALUES = ("absent", "present")


def measure_predictions(rows: Sequence[Mapping[str, Any]], weights: NDArray) -> dict[str, Any]:
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


def measure_baseline(rows: Sequence[Mapping[str, Any]], weights: NDArray) -> dict[str, Any]:
    """Compute the metrics of predictions from metadata, each as high as it can be (`classification.measure_baseline`)."""
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


def chance_level(train_targets: NDArray, targets: NDArray) -> dict[str, float]:
    """Compute the scores of the better of two predictors that know only the findings of training.

    Args:
        train_targets: [m, k] of the training radiographs, as `cxrjax.io.findings` describes.
        targets: [n, k] of those that are predicted.

    Returns:
        The means over the findings of `baselines.chance_level` for absent and present, with the F1 of present. A
        finding that is not known in both is left out, and from F1 also one that is never present.
    """
    f1 = []
    accuracy = []
    for train, test in zip(train_targets.T, targets.T, strict=True):
        train_present = train[train >= 0] >= 0.5
        test_present = test[test >= 0] >= 0.5
        if not len(train_present) or not len(test_present):
            continue
        p = float(test_present.mean())
        q = float(train_present.mean())
        accuracy.append(baselines.chance_level(_name(train_present), _name(test_present), _VALUES)["accuracy"])
        always = 2 * p / (p + 1) if q >= 0.5 else 0.0
        drawn = 2 * p * q / max(p + q, 1e-12)
        if p:
            f1.append(max(always, drawn))
    return {
        "macro_f1": float(np.mean(f1)) if f1 else 0.0,
        "accuracy": float(np.mean(accuracy)) if accuracy else 0.0,
        "macro_auroc": 0.5,
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


def _name(present: NDArray) -> list[str]:
    return [_VALUES[int(value)] for value in present]


def _mean_accuracy(arrays: FindingArrays, correct: NDArray, weights: NDArray) -> confidence.Combination:
    shares = []
    for k in range(len(arrays.findings)):
        rows = arrays.rows(k)
        finding_weights = weights[:, rows]
        shares.append(confidence.proportion(finding_weights @ correct[rows, k], finding_weights.sum(1)))
    return confidence.mean_of(shares)
