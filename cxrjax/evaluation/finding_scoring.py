"""Scores of a classifier of several findings per radiograph (`classifier.targets="multi"`), from its rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.metrics import confidence, finding_arrays, multilabel
from cxrjax.metrics.finding_arrays import FindingArrays
from cxrjax.metrics.patient_weights import Weights


def metric_fn(
    rows: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Mapping[str, NDArray]],
    stored_calibration: Mapping[str, Any] | None,
    counts: Mapping[str, Mapping[str, Sequence[int]]] | None,
) -> Callable[[Weights], dict[str, Any]]:
    """Return a function that computes all scores of the findings.

    Args:
        rows: n rows of predictions.csv.
        groups: result of `subgroups.partition`.
        stored_calibration: result of `calibration.load`.
        counts: result of `finding_arrays.count_by_source` for the training radiographs; None where it is not known.

    Returns:
        Weights [r, n] -> a tree for `bootstrap.bootstrap`: "all" (`multilabel.measure_findings`); "source_baseline",
        the areas of the prevalence of each finding in the source of a radiograph, and "gain_over_source", the network's
        areas less those (both None without counts); "calibration" of the probabilities and at the temperature of each
        finding; "operating_points"; and "subgroups", the areas within each.
    """
    arrays = finding_arrays.collect(rows)
    measure_network = multilabel.prepare_findings(arrays)
    group_metrics = {
        attribute: {name: (members, _prepare_own_areas(arrays.select(members))) for name, members in parts.items()}
        for attribute, parts in groups.items()
    }
    temperatures = {"raw": {}} | ({"scaled": stored_calibration["temperature"]} if stored_calibration else {})
    calibration_metrics = {}
    if not np.isnan(arrays.probabilities).all():
        calibration_metrics = {
            kind: multilabel.prepare_calibration(arrays, values) for kind, values in temperatures.items()
        }
    points = stored_calibration["operating_points"] if stored_calibration else {}
    measure_source = None
    if counts is not None:
        sources = [row.get("source", "") for row in rows]
        by_source = multilabel.source_probabilities(counts, sources, arrays.findings)
        measure_source = multilabel.prepare_areas(arrays, by_source)
    lesion_energy = np.array([row.get("energy_in_lesions", np.nan) for row in rows], np.float64)
    is_ood = np.array([bool(row.get("ood_reason")) for row in rows])

    def measure(weights: Weights) -> dict[str, Any]:
        network = measure_network(weights)
        network["energy_in_lesions"] = confidence.mean_estimate(lesion_energy, weights)
        if "ood_reason" in rows[0]:
            network["out_of_distribution"] = weights @ is_ood
        return {
            "all": network,
            **_compare_with_source(network, measure_source, weights),
            "calibration": {kind: measure_one(weights) for kind, measure_one in calibration_metrics.items()},
            "operating_points": multilabel.measure_operating_points(arrays, points, weights),
            "subgroups": {
                attribute: {name: measure_one(weights[:, members]) for name, (members, measure_one) in parts.items()}
                for attribute, parts in group_metrics.items()
            },
        }

    return measure


def _prepare_own_areas(arrays: FindingArrays) -> Callable[[Weights], dict[str, Any]]:
    return multilabel.prepare_areas(arrays, arrays.probabilities)


def _compare_with_source(
    network: Mapping[str, Any], measure_source: Callable[[Weights], dict[str, Any]] | None, weights: Weights
) -> dict[str, Any]:
    """Return "source_baseline" and "gain_over_source" of `metric_fn`."""
    if measure_source is None:
        return {"source_baseline": None, "gain_over_source": None}
    baseline = measure_source(weights)
    classes = {
        name: {"support": scores["support"]} | _subtract(scores, baseline["classes"][name])
        for name, scores in network["classes"].items()
    }
    gain = {"n": weights.sum(1), "macro": _subtract(network["macro"], baseline["macro"]), "classes": classes}
    return {"source_baseline": baseline, "gain_over_source": gain}


def _subtract(scores: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    return {area: confidence.difference(scores[area], baseline[area]) for area in multilabel.AREAS}
