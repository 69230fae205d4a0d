"""Scores of several findings per radiograph, each over the radiographs whose truth is known.

A radiograph whose truth is uncertain or unknown for a finding is left out of the scores of that finding alone. One
without a prediction is a miss of each of its findings, as in `cxrjax.metrics.classification`. Macro averages are means
over the findings that are present in a radiograph; areas need radiographs with and without a finding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from cxrjax.metrics import calibration, classification, confidence, operating_points, roc, temperature
from cxrjax.metrics.confidence import safe_divide
from cxrjax.metrics.finding_arrays import FindingArrays
from cxrjax.metrics.patient_weights import Weights

AREAS = ("auroc", "average_precision")
ERRORS = ("ece", "brier", "log_loss")  # of probabilities, averaged over the findings


def prepare_findings(arrays: FindingArrays) -> Callable[[Weights], dict[str, Any]]:
    """Return a function that computes the scores of every finding of n radiographs; it ranks them once.

    Returns:
        Weights [r, n] -> {"n", "no_prediction", "macro": {score: mean}, "classes": {finding: {score: leaf, "n":
        radiographs whose truth is known, "support": those with the finding, "uncertain": those whose truth is
        uncertain}}}, with each of `classification.SCORES`, a tree for `cxrjax.metrics.confidence`.
    """
    measures = {name: _prepare_finding(arrays, k) for k, name in enumerate(arrays.findings)}
    has_no_prediction = np.asarray(np.isnan(arrays.probabilities).any(1))

    def measure(weights: Weights) -> dict[str, Any]:
        scores = {name: measure_one(weights) for name, measure_one in measures.items()}
        return {
            "n": weights.sum(1),
            "no_prediction": weights @ has_no_prediction,
            "macro": classification.average_scores(scores),
            "classes": scores,
        }

    return measure


def _prepare_finding(arrays: FindingArrays, k: int) -> Callable[[Weights], dict[str, Any]]:
    """Return a function that computes the scores of finding k."""
    rows = arrays.rows(k)
    positive = arrays.positive[rows, k]
    called = arrays.called[rows, k]
    counted = np.stack([called & positive, positive, called, np.ones_like(called)], 1)
    measure_areas_of_finding = _prepare_areas_of_finding(positive, arrays.probabilities[rows, k])

    def measure(weights: Weights) -> dict[str, Any]:
        finding_weights = weights[:, rows]
        correct, support, num_called, total = (finding_weights @ counted).T
        counts = classification.measure_counts(correct=correct, support=support, called=num_called, total=total)
        uncertain = weights @ arrays.uncertain[:, k]
        return {"n": total, "uncertain": uncertain, **counts, **measure_areas_of_finding(finding_weights)}

    return measure


def measure_findings(arrays: FindingArrays, weights: Weights) -> dict[str, Any]:
    """Compute the scores of `prepare_findings` under r weightings of n radiographs."""
    return prepare_findings(arrays)(weights)


def prepare_areas(
    arrays: FindingArrays, probabilities: Float[np.ndarray, "n k"]
) -> Callable[[Weights], dict[str, Any]]:
    """Return a function that computes the areas of other probabilities, such as those from the source alone.

    Args:
        arrays: of the n radiographs.
        probabilities: of the findings.

    Returns:
        Weights [r, n] -> the tree of `prepare_findings` with the scores `AREAS`.
    """
    measures = {}
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows(k)
        positive = arrays.positive[rows, k]
        measures[name] = rows, positive, _prepare_areas_of_finding(positive, probabilities[rows, k])

    def measure(weights: Weights) -> dict[str, Any]:
        scores = {}
        for name, (rows, positive, measure_one) in measures.items():
            finding_weights = weights[:, rows]
            support = finding_weights @ positive
            scores[name] = {"n": finding_weights.sum(1), "support": support, **measure_one(finding_weights)}
        return {"n": weights.sum(1), "macro": classification.average_scores(scores, AREAS), "classes": scores}

    return measure


def _prepare_areas_of_finding(
    positive: Bool[np.ndarray, "n"], probabilities: Float[np.ndarray, "n"]
) -> Callable[[Weights], dict[str, Any]]:
    """Return a function that computes the areas of a finding.

    They are NaN where all radiographs have it, since its average precision is 1 for any order.
    """
    ranking = roc.rank(positive, probabilities)

    def measure(weights: Weights) -> dict[str, Any]:
        areas = classification.measure_ranking(ranking, weights)
        precision = areas["average_precision"]
        value = np.where(np.isnan(areas["auroc"].value), np.nan, precision.value)
        return areas | {"average_precision": precision._replace(value=value)}

    return measure


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
) -> Callable[[Weights], dict[str, Any]]:
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

    def measure(weights: Weights) -> dict[str, Any]:
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
        {finding: {"decision": result of `operating_points.choose_balanced_threshold`, and the result of
        `operating_points.choose_thresholds`}}; a finding that is always or never present is left out.
    """
    patient_ids = np.asarray(patients)
    points = {}
    for k, name in enumerate(arrays.findings):
        rows = arrays.rows(k)
        positive = arrays.positive[rows, k]
        if positive.any() and not positive.all():
            probabilities = arrays.probabilities[rows, k]
            points[name] = {
                "decision": operating_points.choose_balanced_threshold(positive, probabilities),
                **operating_points.choose_thresholds(positive, probabilities, patient_ids[rows], target),
            }
    return points


def measure_operating_points(
    arrays: FindingArrays, points: Mapping[str, Mapping[str, float | None]], weights: Weights
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
