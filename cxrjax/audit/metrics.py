"""Scores of the rows of an experiment with intervals by patient, compared with the run's scores and with chance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit

from cxrjax.audit import finding_metrics
from cxrjax.io import findings, predictions_csv
from cxrjax.metrics import bootstrap, classification, confidence, cross_auroc, intervals, prediction_arrays
from cxrjax.metrics.patient_weights import Weights

METRICS = ("macro_f1", "accuracy", "macro_auroc")
CLASS_METRICS = ("f1", "recall", "specificity", "auroc", "support")
# Metric of the shares. It needs no threshold, its chance level is 0.5 for any class sizes, and it gives credit to a
# shortcut that narrows the label down to a few classes without deciding between them.
HEADLINE = "macro_auroc"
SOURCE_SHARE_PREFIX = "source_share_"  # of the columns that `with_source_shares` adds

Rows = Sequence[Mapping[str, Any]]
Measure = Callable[[Rows, Sequence[str], Weights], dict[str, Any]]


def measure_predictions(rows: Rows, classes: Sequence[str], weights: Weights) -> dict[str, Any]:
    """Compute `METRICS`, and `CLASS_METRICS` of each class, under weightings [r, n] of n rows.

    Of rows with several findings, the metrics are those of `finding_metrics`, and the classes are the findings.

    Returns:
        A tree for `cxrjax.metrics.confidence`.
    """
    if predictions_csv.has_findings(rows[0]):
        return _select_classes(finding_metrics.measure_predictions(rows, weights))
    truth = classification.index_labels([row["label"] for row in rows], classes)
    predicted = classification.index_predictions([row["prediction"] for row in rows], classes)
    probabilities = predictions_csv.probabilities(rows, classes)
    return _select_metrics(classification.measure_predictions(truth, predicted, probabilities, classes, weights))


def measure_baseline(rows: Rows, classes: Sequence[str], weights: Weights) -> dict[str, Any]:
    """Compute the metrics of `measure_predictions` for predictions from metadata, each as high as possible.

    See `classification.measure_baseline`, which also scores the source baseline beside a network.
    """
    if predictions_csv.has_findings(rows[0]):
        return _select_classes(finding_metrics.measure_baseline(rows, weights))
    truth = classification.index_labels([row["label"] for row in rows], classes)
    probabilities = predictions_csv.probabilities(rows, classes)
    return _select_metrics(classification.measure_baseline(truth, probabilities, classes, weights))


def _select_metrics(tree: Mapping[str, Any]) -> dict[str, Any]:
    means = {"macro_f1": tree["macro"]["f1"], "accuracy": tree["accuracy"], "macro_auroc": tree["macro"]["auroc"]}
    return _select_classes(means | {"classes": tree["classes"]})


def _select_classes(tree: Mapping[str, Any]) -> dict[str, Any]:
    classes = {name: {key: scores[key] for key in CLASS_METRICS} for name, scores in tree["classes"].items()}
    return {**tree, "classes": classes}


def measure_within_sources(rows: Rows, classes: Sequence[str], weights: Weights) -> dict[str, Any]:
    """Compute the means of `METRICS` within each source that has several labels, weighted by its number of rows."""
    return _average_sources(rows, mixed_sources(rows), classes, weights)


def measure_left_out(rows: Rows, classes: Sequence[str], weights: Weights) -> dict[str, Any]:
    """Compute the metrics of predictions by networks that were each trained without the source of their radiographs.

    Of several findings they are means over the sources: the probabilities of different networks cannot be ranked
    together.
    """
    if not predictions_csv.has_findings(rows[0]):
        return measure_predictions(rows, classes, weights)
    return _average_sources(rows, sorted({row["source"] for row in rows}), classes, weights)


def with_source_shares(rows: Rows, classes: Sequence[str], shares: Float[np.ndarray, "n k"]) -> list[dict[str, Any]]:
    """Add the columns that `measure_against_source` reads to n rows.

    Args:
        rows: rows of the run.
        classes: the k class names.
        shares: how frequent each class is in training in the source of each radiograph.
    """
    columns = [SOURCE_SHARE_PREFIX + name for name in classes]
    return [{**row, **dict(zip(columns, values, strict=True))} for row, values in zip(rows, shares, strict=True)]


def measure_against_source(rows: Rows, classes: Sequence[str], weights: Weights) -> dict[str, Any]:
    """Compute the macro AUROC over the pairs in which the source points to the wrong radiograph (`cross_auroc`).

    It is the mean over the classes that have pairs both with and against the source. Accuracy and F1, which are not
    over pairs, are undefined.
    """
    undefined = np.full(len(weights), np.nan)
    class_scores: dict[str, Any] = {}
    for name, cases in _class_cases(rows, classes).items():
        pairs = (cases.positive, cases.scores, cases.shares)
        # By the data: a resample may lack pairs that the data have.
        once = np.ones((1, len(cases.rows)))
        if not any(np.isnan(side(*pairs, once).value[0]) for side in (cross_auroc.conflicting, cross_auroc.aligned)):
            score = cross_auroc.conflicting(*pairs, weights[:, cases.rows])
            class_scores[name] = {"auroc": score, "support": score.positives}
    means = [scores["auroc"] for scores in class_scores.values()]
    macro = confidence.mean_of(means) if means else undefined
    return {"macro_f1": undefined, "accuracy": undefined, "macro_auroc": macro, "classes": class_scores}


class _ClassCases(NamedTuple):
    """Radiographs whose truth is known for a class."""

    rows: Int[np.ndarray, "n"]  # their indices
    positive: Bool[np.ndarray, "n"]
    scores: Float[np.ndarray, "n"]  # probability of the class; NaN without a prediction
    shares: Float[np.ndarray, "n"]  # how frequent the class is in training in their source


def _class_cases(rows: Rows, classes: Sequence[str]) -> dict[str, _ClassCases]:
    probabilities = predictions_csv.probabilities(rows, classes)
    if predictions_csv.has_findings(rows[0]):
        targets = predictions_csv.targets(rows, classes)
        known = findings.is_known(targets)
        positive = findings.is_present(targets)
    else:
        positive = np.array([[row["label"] == name for name in classes] for row in rows])
        known = np.ones(positive.shape, bool)
    shares = np.array([[row[SOURCE_SHARE_PREFIX + name] for name in classes] for row in rows], float)
    cases = {}
    for k, name in enumerate(classes):
        part = np.flatnonzero(known[:, k])
        cases[name] = _ClassCases(part, positive[part, k], probabilities[part, k], shares[part, k])
    return cases


def _average_sources(rows: Rows, sources: Sequence[str], classes: Sequence[str], weights: Weights) -> dict[str, Any]:
    row_groups = [np.array([i for i, row in enumerate(rows) if row["source"] == source]) for source in sources]
    source_scores = [
        measure_predictions([rows[i] for i in indices], classes, weights[:, indices]) for indices in row_groups
    ]
    sizes = [len(indices) for indices in row_groups]
    means = {name: confidence.mean_of([scores[name] for scores in source_scores], sizes) for name in METRICS}
    return means | {"classes": {}}


def mixed_sources(rows: Rows) -> list[str]:
    """Return the sources that have several labels; of several findings, see `finding_metrics.mixed_sources`."""
    if rows and predictions_csv.has_findings(rows[0]):
        return finding_metrics.mixed_sources(rows)
    pairs = {(row["source"], row["label"]) for row in rows}
    return sorted({source for source, label in pairs if (source, label) != min(p for p in pairs if p[0] == source)})


def compare(
    rows: Rows,
    reference: Rows | None,
    run: Rows,
    classes: Sequence[str],
    chance: Mapping[str, float],
    metric_fn: Measure = measure_predictions,
    repeats: Sequence[Rows] = (),
) -> dict[str, Any]:
    """Compute the scores of an experiment, and compare them with others on the same radiographs.

    Args:
        rows: rows of the experiment.
        reference: rows of the reference experiment, which may have more radiographs; None without a reference.
        run: rows of the run, which may have more radiographs.
        classes: the K class names.
        chance: metric -> chance level, of `baselines.chance_level`.
        metric_fn: computes the metrics of the experiment.
        repeats: rows of repeated trainings of the experiment; its scores are then the means over all trainings.

    Returns:
        {"scores", "classes", "share", "reference", "difference"}, with numbers as `confidence.summarize` returns them.
        "share" is (experiment - chance) / (run - chance) of `HEADLINE`, None if the run itself may be at chance;
        "difference" is experiment - reference.
    """
    patients = prediction_arrays.patients(rows)
    trainings = [rows, *(_align(repeat, rows) for repeat in repeats)]
    run = _align(run, rows)
    if reference is not None:
        reference = _align(reference, rows)

    def measure_all(weights: Weights) -> dict[str, Any]:
        training_scores = [metric_fn(training, classes, weights) for training in trainings]
        scores = training_scores[0]
        if repeats:
            scores = {name: confidence.mean_of([repeat[name] for repeat in training_scores]) for name in METRICS}
        scores = scores | {"classes": training_scores[0]["classes"]}
        run_scores = measure_predictions(run, classes, weights)
        share = confidence.share_above(scores[HEADLINE], run_scores[HEADLINE], chance[HEADLINE])
        tree = {"scores": scores, "run": run_scores[HEADLINE], "share": share}
        if reference is None:
            return tree
        reference_scores = metric_fn(reference, classes, weights)
        difference = {name: confidence.difference(scores[name], reference_scores[name]) for name in METRICS}
        return tree | {"reference": {name: reference_scores[name] for name in METRICS}, "difference": difference}

    resamples = bootstrap.bootstrap(measure_all, patients)
    tree = confidence.summarize(resamples, patients, len(rows))
    if repeats:
        _add_training_variance(tree, resamples, chance)
    return {
        "scores": {name: tree["scores"][name] for name in METRICS},
        "classes": tree["scores"]["classes"],
        "share": tree["share"] if share_of_score(tree["run"])[0] > chance[HEADLINE] else None,
        "reference": tree.get("reference"),
        "difference": tree.get("difference"),
    }


def _add_training_variance(tree: dict[str, Any], resamples: Mapping[str, Any], chance: Mapping[str, float]) -> None:
    """Widen the intervals of an experiment's scores by the variance between its trainings.

    The bootstrap interval of a mean over trainings takes each training as fixed. The error of the mean over trainings,
    by Student's t, is independent of it, so that the squares add.
    """
    for name in METRICS:
        leaf = resamples["scores"][name]
        training_values = np.array([confidence.values(part)[0] for part in leaf.parts])
        if np.isnan(training_values).any():
            continue
        quantile = float(stdtrit(len(training_values) - 1, 1 - intervals.TAIL))
        half_width = quantile * training_values.std(ddof=1) / np.sqrt(len(training_values))
        _widen(tree["scores"][name], half_width, 0.0, 1.0)
        if name in (tree.get("difference") or {}):
            _widen(tree["difference"][name], half_width, -1.0, 1.0)
        run_gain = confidence.values(resamples["run"])[0] - chance.get(name, np.nan)
        if name == HEADLINE and run_gain > 0:
            _widen(tree["share"], half_width / run_gain, -np.inf, np.inf)


def _widen(number: dict[str, Any], half_width: float, lower_limit: float, upper_limit: float) -> None:
    """Add an independent error to the interval of a number, in place, and clip it to the limits."""
    if number["value"] is None:
        return
    value = number["value"]
    low, high = number["interval"] or (value, value)
    bounds = value - np.hypot(value - low, half_width), value + np.hypot(high - value, half_width)
    number["interval"] = [float(np.clip(bound, lower_limit, upper_limit)) for bound in bounds]


def share_of_score(number: Mapping[str, Any]) -> Sequence[float]:
    """Return both bounds of a number's interval; the value twice if no resample changes it, NaN without a value."""
    return number["interval"] or [np.nan if number["value"] is None else number["value"]] * 2


def _align(rows: Rows, reference: Rows) -> list[Mapping[str, Any]]:
    """Return the rows of the same radiographs as the reference, in its order; two sources may have the same path.

    Raises:
        ValueError: a radiograph has no row.
    """
    by_id = {(row["source"], row["path"]): row for row in rows}
    for row in reference:
        if (row["source"], row["path"]) not in by_id:
            raise ValueError(f"{row['path']}: the run's evaluation has no row of it; evaluate the split again")
    return [by_id[row["source"], row["path"]] for row in reference]
