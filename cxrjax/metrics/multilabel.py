"""Scores of several findings per radiograph, each over the radiographs whose truth is known.

A radiograph whose truth is uncertain or unknown for a finding is left out of the scores of that finding alone. One
without a prediction is a miss of each of its findings, as in `cxrjax.metrics.classification`. Macro averages are means
over the findings that are present in a radiograph; areas need radiographs with and without a finding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num, Shaped

from cxrjax.metrics import calibration, classification, confidence, operating_points, temperature
from cxrjax.metrics.confidence import safe_divide
from cxrjax.metrics.finding_arrays import FindingArrays

AREAS = ("auroc", "average_precision")
ERRORS = ("ece", "brier", "log_loss")  # of probabilities, averaged over the findings


def measure_findings(arrays: FindingArrays, weights: Num[np.ndarray, "r n"]) -> dict[str, Any]:
    """Compute the scores of every finding under r weightings of n radiographs.

    Args:
        arrays: of the n radiographs.
        weights: integers.

    Returns:
        {"n", "no_prediction", "macro": {score: mean}, "classes": {finding: {score: leaf, "n": radiographs whose truth
        is known, "support": those with the finding, "uncertain": those whose truth is uncertain}}}, with each of
        `classification.SCORES`, a tree for `cxrjax.metrics.confidence`.
    """
    scores = {}
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows(k)
        positive = arrays.positive[rows, k]
        called = arrays.called[rows, k]
        finding_weights = weights[:, rows]
        counts = classification.measure_counts(
            correct=finding_weights @ (called & positive),
            support=finding_weights @ positive,
            called=finding_weights @ called,
            total=finding_weights.sum(1),
        )
        areas = _measure_both(positive, arrays.probabilities[rows, k], finding_weights)
        uncertain = weights @ arrays.uncertain[:, k]
        scores[name] = {"n": finding_weights.sum(1), "uncertain": uncertain, **counts, **areas}
    return {
        "n": weights.sum(1),
        "no_prediction": weights @ np.isnan(arrays.probabilities).any(1),
        "macro": classification.average_scores(scores),
        "classes": scores,
    }


def measure_areas(
    arrays: FindingArrays, probabilities: Float[np.ndarray, "n k"], weights: Num[np.ndarray, "r n"]
) -> dict[str, Any]:
    """Compute AUROC and average precision of other probabilities of the findings, such as those from the source alone.

    Args:
        arrays: of the n radiographs.
        probabilities: of the findings.
        weights: r weightings of the radiographs.

    Returns:
        The tree of `measure_findings` with the scores `AREAS`.
    """
    scores = {}
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows(k)
        finding_weights = weights[:, rows]
        positive = arrays.positive[rows, k]
        areas = _measure_both(positive, probabilities[rows, k], finding_weights)
        scores[name] = {"n": finding_weights.sum(1), "support": finding_weights @ positive, **areas}
    return {"n": weights.sum(1), "macro": classification.average_scores(scores, AREAS), "classes": scores}


def _measure_both(
    positive: Bool[np.ndarray, "n"], probabilities: Float[np.ndarray, "n"], weights: Num[np.ndarray, "r n"]
) -> dict[str, Any]:
    """Return the areas of a finding.

    They are NaN where all radiographs have it, since its average precision is 1 for any order.
    """
    areas = classification.measure_areas(positive, probabilities, weights)
    precision = areas["average_precision"]
    value = np.where(np.isnan(areas["auroc"].value), np.nan, precision.value)
    return areas | {"average_precision": precision._replace(value=value)}


def source_probabilities(
    counts: Mapping[str, Mapping[str, Sequence[int]]], sources: Sequence[str], findings: Sequence[str]
) -> Float[np.ndarray, "n k"]:
    """Compute the probability of each finding given the source of a radiograph.

    Args:
        counts: {source: {finding: [number of training radiographs without it, number of those with it]}}.
        sources: source of each of n radiographs.
        findings: names of the k findings.

    Returns:
        The share of radiographs with the finding among the training radiographs of the source whose truth is known;
        among those of all sources where there are none of the source; 0.5 where there are none at all.
    """
    by_source = {source: _tabulate(of_source, findings) for source, of_source in counts.items()}
    prevalence = np.nan_to_num(prevalences(counts, findings), nan=0.5)
    shares = {
        source: np.where(table.sum(1) > 0, safe_divide(table[:, 1], table.sum(1)), prevalence)
        for source, table in by_source.items()
    }
    return np.array([shares.get(source, prevalence) for source in sources]).reshape(-1, len(findings))


def prevalences(counts: Mapping[str, Mapping[str, Sequence[int]]], findings: Sequence[str]) -> Float[np.ndarray, "k"]:
    """Return the share of training radiographs with each finding, of those whose truth is known; NaN without any.

    Args:
        counts: see `source_probabilities`.
        findings: names of the k findings.
    """
    total = sum((_tabulate(of_source, findings) for of_source in counts.values()), np.zeros((len(findings), 2)))
    return safe_divide(total[:, 1], total.sum(1))


def _tabulate(of_source: Mapping[str, Sequence[int]], findings: Sequence[str]) -> Float[np.ndarray, "k 2"]:
    return np.array([of_source.get(name, (0, 0)) for name in findings], float).reshape(-1, 2)


def prepare_calibration(
    arrays: FindingArrays, temperatures: Mapping[str, float]
) -> Callable[[Num[np.ndarray, "r n"]], dict[str, Any]]:
    """Return a function that computes the calibration metrics of every finding.

    Args:
        arrays: of n radiographs.
        temperatures: of the probability of each finding; 1 for a finding that is not in it.

    Returns:
        Weights [r, n] -> {"macro": {each of `ERRORS`: mean over the findings}, "classes": {finding: result of
        `calibration.prepare_event_calibration`, "temperature"}}. A finding without a known truth is left out.
    """
    measures = {}
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows_with_prediction(k)
        if len(rows):
            scaled = temperature.apply_event_temperature(arrays.probabilities[rows, k], temperatures.get(name, 1.0))
            measures[name] = rows, calibration.prepare_event_calibration(scaled, arrays.positive[rows, k])

    def measure(weights: Num[np.ndarray, "r n"]) -> dict[str, Any]:
        scores = {name: measure_one(weights[:, rows]) for name, (rows, measure_one) in measures.items()}
        macro = {error: confidence.mean_of([of_finding[error] for of_finding in scores.values()]) for error in ERRORS}
        classes = {
            name: of_finding | {"temperature": temperatures.get(name, 1.0)} for name, of_finding in scores.items()
        }
        return {"macro": macro, "classes": classes}

    return measure


def fit_temperatures(arrays: FindingArrays) -> dict[str, float]:
    """Fit the temperature of every finding (`temperature.fit_temperature`), but of those always or never present.

    Args:
        arrays: of radiographs that the network was not trained on.
    """
    temperatures = {}
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows_with_prediction(k)
        positive = arrays.positive[rows, k]
        if positive.any() and not positive.all():
            probabilities = temperature.two_sided(arrays.probabilities[rows, k])
            temperatures[name] = temperature.fit_temperature(probabilities, positive.astype(int))
    return temperatures


def choose_operating_points(
    arrays: FindingArrays, patients: Sequence[str] | Shaped[np.ndarray, "n"], target: float
) -> dict[str, dict[str, float | None]]:
    """Choose thresholds of the probability of every finding at which specificity or sensitivity reaches a target.

    Args:
        arrays: of n radiographs that the network was not trained on.
        patients: patient of each radiograph.
        target: 0..1.

    Returns:
        {finding: result of `operating_points.choose_thresholds`}; a finding that is always or never present is left
        out.
    """
    patient_ids = np.asarray(patients)
    points = {}
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows(k)
        positive = arrays.positive[rows, k]
        if positive.any() and not positive.all():
            points[name] = operating_points.choose_thresholds(
                positive, arrays.probabilities[rows, k], patient_ids[rows], target
            )
    return points


def measure_operating_points(
    arrays: FindingArrays, points: Mapping[str, Mapping[str, float | None]], weights: Num[np.ndarray, "r n"]
) -> dict[str, Any]:
    """Compute sensitivity and specificity at each threshold of `choose_operating_points` under r weightings.

    Returns:
        {finding: {kind: result of `operating_points.measure_threshold`}}, of the findings in `points`.
    """
    tree = {}
    for name, thresholds in points.items():
        k = arrays.findings.index(name)
        rows = arrays.rows(k)
        positive = arrays.positive[rows, k]
        probabilities = arrays.probabilities[rows, k]
        tree[name] = {
            kind: operating_points.measure_threshold(positive, probabilities, threshold, weights[:, rows])
            for kind, threshold in thresholds.items()
        }
    return tree
