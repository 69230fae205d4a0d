"""Scores and figures of an evaluation, computed from its rows without a network.

Reads RUN/evaluation/SPLIT/predictions.csv, RUN/calibration.json and RUN/config.json; writes metrics.json and figures
beside the rows. In metrics.json every score is {"value", "interval", "n"}: the value, its 95% interval by resampling
patients (`cxrjax.metrics.confidence`), and the number of radiographs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax.config import Config
from cxrjax.data import dataset
from cxrjax.evaluation import finding_plots, finding_scoring, plots
from cxrjax.io import predictions_csv
from cxrjax.metrics import (
    baselines,
    bootstrap,
    classification,
    confidence,
    finding_arrays,
    operating_points,
    prediction_arrays,
    selective,
    subgroups,
    vote_convergence,
)
from cxrjax.metrics.calibration import prepare_calibration
from cxrjax.metrics.patient_weights import Weights
from cxrjax.metrics.prediction_arrays import PredictionArrays
from cxrjax.metrics.temperature import apply_temperature
from cxrjax.runs import calibration, provenance, run_dir
from cxrjax.runtime import atomic_files
from cxrjax.runtime.formatting import format_label

NO_CONVERGENCE = (
    "the patches vote by mean probability, and predictions.csv does not store the probabilities of single patches: the "
    "convergence of the vote is unknown"
)


def score_run(workdir: Path, split: str) -> dict[str, Any]:
    """Compute metrics.json from the rows of a split, and draw its figures.

    Args:
        workdir: the run directory.
        split: an evaluated split; on another data set, the name that `dataset_record.results_dirname` returns.

    Returns:
        The content of metrics.json: "split", "dataset", "n", "patients" and "without_patient"
        (`prediction_arrays.count_patients`), "num_resamples", "warnings", "all" and "subgroups" ({attribute: {group:
        scores}}); for a classifier also "source_baseline" (the scores of a prediction from the source alone,
        `classification.measure_baseline`; null without such a prediction), "gain_over_source" (the network's scores
        less those), "calibration", "operating_points" (a null threshold cannot be reached), "selective_prediction", and
        "vote_convergence" (null where the votes do not determine it). For a classifier of several findings also
        "targets": "multi"; its scores are those of `finding_scoring.metric_fn`.

    Raises:
        RunError: there is no run in the folder.
        FileNotFoundError: the split was not evaluated.
        ValueError: the rows are invalid, see `predictions_csv.read`, or there are none.
    """
    config = run_dir.load_config(workdir)
    folder = workdir / "evaluation" / split
    rows = predictions_csv.read(folder / "predictions.csv")
    if not rows:
        raise ValueError(f"{folder / 'predictions.csv'}: there is no radiograph to score")
    patients = prediction_arrays.patients(rows)
    is_classifier = bool(predictions_csv.class_names(rows[0], predictions_csv.COUNT_PREFIX))
    origin = provenance.read(folder)
    stored_calibration = calibration.load(workdir, origin.step) if is_classifier else None
    groups = subgroups.partition(rows)
    has_findings = predictions_csv.has_findings(rows[0])
    cases = prediction_arrays.collect(rows) if is_classifier and not has_findings else None
    if has_findings:
        finding_counts = provenance.load_finding_counts(workdir)
        measure = finding_scoring.metric_fn(rows, groups, stored_calibration, finding_counts)
    elif cases is not None:
        counts = provenance.load_label_counts(workdir)
        sources = [row.get("source", "") for row in rows]
        by_source = baselines.source_probabilities(counts, sources, cases.classes) if counts else None
        measure = metric_fn(cases, groups, stored_calibration, config.voting.aggregation, by_source)
    else:
        measure = _mask_metric_fn(rows, groups)
    scores = {
        "split": split,
        "dataset": origin.dataset,
        "n": len(rows),
        **prediction_arrays.count_patients(rows),
        "num_resamples": bootstrap.RESAMPLES,
    }
    if has_findings:
        scores["targets"] = "multi"
    scores |= confidence.summarize(bootstrap.bootstrap(measure, patients), patients)
    own_split = split if origin.split in ("", split) else None  # the folder of another data set is DATASET-SPLIT
    scores["warnings"] = list_warnings(scores, own_split, stored_calibration, config)
    atomic_files.atomic_write(folder / "metrics.json", (json.dumps(scores, indent=2, allow_nan=False) + "\n").encode())
    if has_findings:
        finding_plots.draw_plots(finding_arrays.collect(rows), scores, folder)
    elif cases is not None:
        plots.draw_plots(cases, scores, folder)
    return scores


def metric_fn(
    cases: PredictionArrays,
    groups: Mapping[str, Mapping[str, NDArray]],
    stored_calibration: Mapping[str, Any] | None,
    aggregation: str,
    by_source: NDArray | None = None,
) -> Callable[[Weights], dict]:
    """Return a function that computes all scores of a classifier.

    Args:
        cases: n radiographs.
        groups: result of `subgroups.partition`.
        stored_calibration: result of `calibration.load`.
        aggregation: how patches vote; the convergence of the vote is None unless it is "majority", since rows do not
            have the probabilities of single patches.
        by_source: probabilities [n, K] of `baselines.source_probabilities`; None where the labels of training are
            unknown, so that the source baseline is that of the rows.

    Returns:
        Weights [r, n] -> the tree of scores of `score_run`, for `bootstrap.bootstrap`.
    """
    all_rows = np.arange(len(cases.truth))
    rows_with_prediction = cases.with_prediction
    calibration_metrics = _calibration_metric_fns(cases, stored_calibration) if len(rows_with_prediction) else {}
    with_baseline = np.flatnonzero(cases.source_baseline < len(cases.classes))
    points = stored_calibration["operating_points"] if stored_calibration else {}
    convergence = None
    if aggregation == "majority":
        convergence = vote_convergence.vote_convergence(cases.votes, cases.probabilities, cases.truth)

    def measure(weights: Weights) -> dict:
        total = weights.sum(1)
        network = cases.scores(all_rows, weights)
        network["energy_in_lesions"] = confidence.mean_estimate(cases.lesion_energy, weights)
        if cases.is_ood is not None:
            network["out_of_distribution"] = weights @ cases.is_ood
        if by_source is None:
            baseline = classification.measure_predictions(
                cases.truth[with_baseline],
                cases.source_baseline[with_baseline],
                None,
                cases.classes,
                weights[:, with_baseline],
            )
        else:
            baseline = classification.measure_baseline(cases.truth, by_source, cases.classes, weights)
        return {
            "all": network,
            "source_baseline": baseline,
            "gain_over_source": {
                "n": network["n"],
                "accuracy": confidence.difference(network["accuracy"], baseline["accuracy"]),
                "macro_f1": confidence.difference(network["macro"]["f1"], baseline["macro"]["f1"]),
                "macro_auroc": confidence.difference(network["macro"]["auroc"], baseline["macro"]["auroc"]),
            },
            "calibration": {
                kind: metrics(weights[:, rows_with_prediction]) for kind, metrics in calibration_metrics.items()
            },
            "operating_points": _operating_point_scores(cases, points, weights),
            "selective_prediction": {
                name: selective.measure(selective.by_certainty(cases.correct, certainty, weights)) | {"n": total}
                for name, certainty in cases.certainty.items()
            },
            "vote_convergence": _convergence_scores(convergence, weights),
            "subgroups": {
                attribute: {name: cases.scores(rows, weights) for name, rows in members.items()}
                for attribute, members in groups.items()
            },
        }

    return measure


def list_warnings(
    scores: Mapping[str, Any], own_split: str | None, stored_calibration: Mapping[str, Any] | None, config: Config
) -> list[str]:
    """Return one sentence per caveat: splits that the run used before, small groups, missing scores.

    Args:
        scores: metrics.json, without its warnings.
        own_split: the evaluated split of the run's own data set; None if another data set was evaluated.
        stored_calibration: result of `calibration.load`.
        config: config of the run.
    """
    is_classifier = "classes" in scores["all"]
    groups = [
        ("class", format_label(name), class_scores["support"])
        for name, class_scores in scores["all"].get("classes", {}).items()
    ]
    for attribute, members in scores["subgroups"].items():
        groups += [(attribute, name, group_scores["n"]) for name, group_scores in members.items()]
    small_groups = [f"{attribute} {name} ({n})" for attribute, name, n in groups if 0 < n < subgroups.FEW]
    warnings = []
    if small_groups:
        warnings.append(
            f"fewer than {subgroups.FEW} radiographs, too few for a reliable score: {', '.join(small_groups)}"
        )
    if is_classifier and scores.get("targets") != "multi" and (label := _find_only_prediction(scores["all"])):
        warnings.append(f"every prediction is {format_label(label)}, whatever the AUROC{_suggest_metric(config)}")
    without_patient = scores.get("without_patient", 0)
    if without_patient:
        subject = (
            "the patients are"
            if without_patient == scores["n"]
            else f"the patients of {without_patient} radiographs are"
        )
        warnings.append(
            f"{subject} not known: each radiograph counts as a patient of its own, and the images of one "
            "patient may be in several splits"
        )
    if own_split and dataset.common_splits(own_split, config.data.train):
        warnings.append(
            f"the network was trained on {config.data.train}: it has seen radiographs of {own_split} before"
        )
    if own_split and dataset.common_splits(own_split, config.data.validation):
        warnings.append(
            f"the best epoch of the network was chosen on {config.data.validation}, which {own_split} shares: the "
            "scores are optimistic"
        )
    if is_classifier and stored_calibration is None:
        warnings.append("the run has no calibration.json, so there are no operating points and no temperature")
    elif own_split and stored_calibration and dataset.common_splits(own_split, stored_calibration["split"]):
        warnings.append(
            f"temperature and operating points were chosen on {stored_calibration['split']}, which {own_split} shares"
        )
    if stored_calibration and (doubt := calibration.reliability_warning(stored_calibration)):
        warnings.append(doubt)
    if scores.get("targets") == "multi":
        warnings += _list_finding_warnings(scores)
    elif is_classifier and scores["vote_convergence"] is None:
        warnings.append(NO_CONVERGENCE)
    return warnings


def _suggest_metric(config: Config) -> str:
    """Return what may make the network predict several classes; "" where validation chose no epoch, or by the loss."""
    if not config.data.validation or config.training.metric == "loss":
        return ""
    return (
        f": the best epoch may have been chosen by too few radiographs of {config.data.validation}; "
        "--config.training.metric=loss in a new workdir chooses it by the loss"
    )


def _find_only_prediction(group_scores: Mapping[str, Any]) -> str:
    """Return the class that every radiograph with a prediction is predicted as; "" if there are several.

    Args:
        group_scores: scores of all radiographs, of one label per radiograph.
    """
    classes = group_scores["classes"]
    if sum(scores["support"] > 0 for scores in classes.values()) < 2:
        return ""
    predicted = [
        name
        for name, scores in classes.items()
        if scores["recall"]["value"] or scores["specificity"]["value"] not in (1, None)
    ]
    return predicted[0] if len(predicted) == 1 else ""


def _list_finding_warnings(scores: Mapping[str, Any]) -> list[str]:
    """Return the caveats of scores of several findings: those without an AUROC, and no source baseline."""
    unscored = [name for name, of_finding in scores["all"]["classes"].items() if of_finding["auroc"]["value"] is None]
    warnings = []
    if unscored:
        warnings.append(
            f"no radiographs with and without the finding, so that it has no AUROC and is left out of the macro AUROC: "
            f"{', '.join(unscored)}"
        )
    if scores["source_baseline"] is None:
        warnings.append(
            "the findings of the training radiographs are not available, so there are no scores of the source alone"
        )
    return warnings


def _calibration_metric_fns(
    cases: PredictionArrays, stored_calibration: Mapping[str, Any] | None
) -> dict[str, Callable[[Weights], dict]]:
    """Return functions that compute the calibration metrics: of the probabilities, and at the run's temperature."""
    rows = cases.with_prediction
    temperatures = {"raw": 1.0} | ({"scaled": stored_calibration["temperature"]} if stored_calibration else {})

    def prepare_one(temperature: float) -> Callable[[Weights], dict]:
        probabilities = apply_temperature(cases.probabilities[rows], temperature)
        measure = prepare_calibration(probabilities, cases.truth[rows], cases.predicted[rows])
        return lambda weights: measure(weights) | {"temperature": temperature}

    return {kind: prepare_one(temperature) for kind, temperature in temperatures.items()}


def _convergence_scores(
    convergence: Mapping[int, Mapping[str, NDArray]] | None, weights: Weights
) -> dict[str, dict[str, Any]] | None:
    """Return the scores of `vote_convergence.vote_convergence` by number of patches; None where there are none."""
    if convergence is None:
        return None
    return {
        str(size): {name: confidence.mean_estimate(values, weights) for name, values in measures.items()}
        | {"n": weights.sum(1)}
        for size, measures in convergence.items()
    }


def _operating_point_scores(
    cases: PredictionArrays, points: Mapping[str, Mapping[str, float | None]], weights: Weights
) -> dict:
    """Return sensitivity and specificity at each threshold that can be reached; see `cxrjax.runs.calibration`."""
    tree: dict[str, dict[str, dict]] = {}
    for name, thresholds in points.items():
        k = cases.classes.index(name)
        positive = cases.truth == k
        tree[name] = {
            kind: operating_points.measure_threshold(positive, cases.probabilities[:, k], threshold, weights)
            for kind, threshold in thresholds.items()
        }
    return tree


def _mask_metric_fn(rows: Sequence[Mapping], groups: Mapping[str, Mapping[str, NDArray]]) -> Callable[[Weights], dict]:
    """Return a function that computes all scores of a segmenter."""

    def measure(weights: Weights) -> dict:
        return {
            "all": classification.measure_masks(rows, weights),
            "subgroups": {
                attribute: {
                    name: classification.measure_masks([rows[i] for i in members], weights[:, members])
                    for name, members in parts.items()
                }
                for attribute, parts in groups.items()
            },
        }

    return measure
