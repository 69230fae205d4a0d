"""Scores of an external evaluation: each collection beside the run's own split, in one bootstrap over all patients.

The rows of the own split and of the other data set are one table here, and every group of radiographs is a subset of
it, so that each difference has an interval from the same resamples.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from cxrjax.io import predictions_csv
from cxrjax.metrics import classification, confidence, operating_points, subgroups
from cxrjax.metrics.calibration import prepare_calibration
from cxrjax.metrics.patient_weights import Weights
from cxrjax.metrics.temperature import apply_temperature

# Radiographs of a class, or of all others, in a collection, below which nothing is said of it; our choice.
MIN_CASES = 10
Group = TypeVar("Group")


class CombinedRows(NamedTuple):
    """Rows of the run's own split and of the other data set as arrays over n radiographs."""

    classes: list[str]
    truth: Int[np.ndarray, "n"]  # index of the label
    predicted: Int[np.ndarray, "n"]  # index of the predicted class; the number of classes without a prediction
    probabilities: Float[np.ndarray, "n k"]  # NaN without a prediction
    is_flagged: Bool[np.ndarray, "n"]  # by the out-of-distribution detector
    has_detector: bool  # whether one has judged the other data set
    own: Int[np.ndarray, "rows"]  # positions of the own split
    collections: dict[str, Int[np.ndarray, "rows"]]  # positions of each collection of the other data set

    @property
    def external(self) -> Int[np.ndarray, "rows"]:
        """Positions of the other data set."""
        return np.concatenate(list(self.collections.values()))

    def count_labels(self, rows: Int[np.ndarray, "rows"]) -> dict[str, int]:
        """Return the number of radiographs of each class at the positions, without classes that have none."""
        counts = np.bincount(self.truth[rows], minlength=len(self.classes))
        return {name: int(n) for name, n in zip(self.classes, counts, strict=True) if n}

    def with_labels(self, rows: Int[np.ndarray, "rows"], labels: Sequence[str]) -> Int[np.ndarray, "rows"]:
        """Return those of the positions whose label is one of these."""
        return rows[np.isin(self.truth[rows], [self.classes.index(label) for label in labels])]


def combine(own_rows: Sequence[Mapping], external_rows: Sequence[Mapping]) -> CombinedRows:
    """Return the rows of two tables of `predictions_csv.read` as one.

    Raises:
        ValueError: a label or a prediction is not one of the classes.
    """
    rows = [*own_rows, *external_rows]
    classes = predictions_csv.class_names(external_rows[0], predictions_csv.COUNT_PREFIX)
    sources = np.array([row.get("source") or subgroups.UNKNOWN for row in external_rows])
    return CombinedRows(
        classes=classes,
        truth=classification.index_labels([row["label"] for row in rows], classes),
        predicted=classification.index_predictions([row["prediction"] for row in rows], classes),
        probabilities=predictions_csv.probabilities(rows, classes),
        is_flagged=np.array([bool(row.get("ood_reason")) for row in rows]),
        has_detector="ood_reason" in external_rows[0],
        own=np.arange(len(own_rows)),
        collections={
            str(source): len(own_rows) + np.flatnonzero(sources == source) for source in dict.fromkeys(sorted(sources))
        },
    )


def metric_fn(rows: CombinedRows, stored_calibration: Mapping[str, Any] | None) -> Callable[[Weights], dict[str, Any]]:
    """Return a function that computes all scores of an external evaluation.

    Args:
        rows: result of `combine`.
        stored_calibration: result of `calibration.load`.

    Returns:
        Weights [r, n] -> the tree of scores of `external.assess`, for `bootstrap.bootstrap`.
    """
    labels = list(rows.count_labels(rows.external))
    ranked = {name: ranked_labels(rows, name) for name in rows.collections}
    calibration_metrics = _calibration_metric_fns(rows, stored_calibration) if stored_calibration else {}

    def measure(weights: Weights) -> dict[str, Any]:
        own = _measure_group(rows, rows.with_labels(rows.own, labels), weights)
        pooled = _measure_group(rows, rows.external, weights)
        collections = {name: _measure_group(rows, members, weights) for name, members in rows.collections.items()}
        return {
            "own": own,
            "pooled": pooled,
            "difference": compare_classes(pooled, own),
            "collections": {name: _beside_own(rows, name, group, weights) for name, group in collections.items()},
            "within": measure_within(pooled, collections, ranked),
            "operating_points": _measure_thresholds(rows, stored_calibration, weights),
            "calibration": {name: metrics(weights) for name, metrics in calibration_metrics.items()},
            "detector": _measure_flagged(rows, own, pooled, weights) if rows.has_detector else {},
        }

    return measure


def judged_labels(rows: CombinedRows, name: str) -> list[str]:
    """Return the classes with enough radiographs in a collection, and in the own split, to say something of them."""
    own_counts = rows.count_labels(rows.own)
    counts = rows.count_labels(rows.collections[name])
    return [label for label, n in counts.items() if min(n, own_counts.get(label, 0)) >= MIN_CASES]


def ranked_labels(rows: CombinedRows, name: str) -> list[str]:
    """Return the classes with enough radiographs in a collection, and enough of other classes, for an AUROC."""
    counts = rows.count_labels(rows.collections[name])
    total = sum(counts.values())
    return [label for label, n in counts.items() if min(n, total - n) >= MIN_CASES]


def _measure_group(rows: CombinedRows, members: Int[np.ndarray, "rows"], weights: Weights) -> dict[str, Any]:
    """Return the scores of some radiographs, by class; those of absent classes are left out."""
    scores = classification.measure_predictions(
        rows.truth[members], rows.predicted[members], rows.probabilities[members], rows.classes, weights[:, members]
    )
    by_class = {name: scores["classes"][name] for name in rows.count_labels(members)}
    return {
        "n": scores["n"],
        "no_prediction": scores["no_prediction"],
        "accuracy": scores["accuracy"],
        "sensitivity": scores["macro"]["recall"],
        "auroc": scores["macro"]["auroc"],
        "classes": {
            name: {
                "support": of_class["support"],
                "sensitivity": of_class["recall"],
                "specificity": of_class["specificity"],
                "auroc": of_class["auroc"],
            }
            for name, of_class in by_class.items()
        },
    }


def _beside_own(rows: CombinedRows, name: str, group: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
    """Return the scores of a collection with those of the own radiographs of the same classes, and the differences.

    "judged" has the mean sensitivity over `judged_labels`, from which the verdict is.
    """
    own = _measure_group(rows, rows.with_labels(rows.own, list(group["classes"])), weights)
    judged = {}
    if labels := judged_labels(rows, name):
        here = confidence.mean_of([group["classes"][label]["sensitivity"] for label in labels])
        before = confidence.mean_of([own["classes"][label]["sensitivity"] for label in labels])
        difference = confidence.difference(here, before)
        judged = {"n": group["n"], "here": here, "own": before, "difference": difference}
    return {**group, "own": own, "difference": compare_classes(group, own), "judged": judged}


def compare_classes(group: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of a group less those of the own split: over the classes that both have, and class by class."""
    common = [name for name in group["classes"] if name in own["classes"]]
    if not common:
        return {"classes": {}}
    difference: dict[str, Any] = {"n": group["n"]}
    for score in ("sensitivity", "auroc"):
        means = [confidence.mean_of([part["classes"][name][score] for name in common]) for part in (group, own)]
        difference[score] = confidence.difference(*means)
    difference["classes"] = {
        name: {
            score: confidence.difference(group["classes"][name][score], own["classes"][name][score])
            for score in ("sensitivity", "specificity", "auroc")
        }
        for name in common
    }
    return difference


def measure_within(
    pooled: Mapping[str, Any], collections: Mapping[str, Mapping[str, Any]], ranked: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the mean AUROC within a collection beside the pooled one, over the classes that allow both.

    Each class is averaged over the collections that have enough radiographs of it and of others, then the classes are.

    Args:
        pooled: scores of all collections together, with "n" and "classes".
        collections: the same of each collection.
        ranked: classes or findings with an AUROC in each collection.
    """
    by_class: dict[str, dict[str, Any]] = {}
    for label in pooled["classes"]:
        areas = [group["classes"][label]["auroc"] for name, group in collections.items() if label in ranked[name]]
        if areas:
            within = confidence.mean_of(areas)
            pooled_area = pooled["classes"][label]["auroc"]
            difference = confidence.difference(pooled_area, within)
            by_class[label] = {"pooled": pooled_area, "within": within, "difference": difference}
    if not by_class:
        return {}
    pooled_mean = confidence.mean_of([scores["pooled"] for scores in by_class.values()])
    within_mean = confidence.mean_of([scores["within"] for scores in by_class.values()])
    difference = confidence.difference(pooled_mean, within_mean)
    return {
        "n": pooled["n"],
        "pooled": pooled_mean,
        "within": within_mean,
        "difference": difference,
        "classes": by_class,
    }


def _measure_thresholds(
    rows: CombinedRows, stored_calibration: Mapping[str, Any] | None, weights: Weights
) -> dict[str, Any]:
    """Return sensitivity and specificity at validation's thresholds: own, pooled, and in each collection."""
    groups = name_groups(rows.own, rows.external, rows.collections)
    points = stored_calibration["operating_points"] if stored_calibration else {}
    tree = {}
    for label, thresholds in points.items():
        k = rows.classes.index(label)
        tree[label] = measure_class_thresholds(thresholds, rows.truth == k, rows.probabilities[:, k], groups, weights)
    return tree


def name_groups(own: Group, external: Group, collections: Mapping[str, Group]) -> dict[str, Group]:
    """Return the groups in which validation's thresholds are measured by their names: "own", "pooled", "at NAME"."""
    return {"own": own, "pooled": external, **{f"at {name}": group for name, group in collections.items()}}


def measure_class_thresholds(
    thresholds: Mapping[str, float | None],
    positive: Bool[np.ndarray, "n"],
    probabilities: Float[np.ndarray, "n"],
    groups: Mapping[str, Int[np.ndarray, "rows"]],
    weights: Weights,
) -> dict[str, Any]:
    """Compute sensitivity and specificity at the thresholds of one class in groups of n radiographs.

    Args:
        thresholds: {kind: threshold} of validation; None where none could be chosen.
        positive: whether each radiograph is of the class.
        probabilities: of the class.
        groups: {name: positions}.
        weights: r weightings of the radiographs.

    Returns:
        {kind: {name: result of `operating_points.measure_threshold`}}, without the kinds that have no threshold.
    """
    return {
        kind: {
            name: operating_points.measure_threshold(
                positive[members], probabilities[members], threshold, weights[:, members]
            )
            for name, members in groups.items()
        }
        for kind, threshold in thresholds.items()
        if threshold is not None
    }


def _calibration_metric_fns(
    rows: CombinedRows, stored_calibration: Mapping[str, Any]
) -> dict[str, Callable[[Weights], dict[str, Any]]]:
    """Return functions that compute the calibration metrics at validation's temperature, own and external."""
    metrics = {}
    for name, members in (("own", rows.own), ("external", rows.external)):
        has_class = rows.predicted[members] < len(rows.classes)
        usable = members[has_class & ~np.isnan(rows.probabilities[members]).any(1)]
        if len(usable):
            probabilities = apply_temperature(rows.probabilities[usable], stored_calibration["temperature"])
            measure = prepare_calibration(probabilities, rows.truth[usable], rows.predicted[usable])
            metrics[name] = lambda weights, measure=measure, usable=usable: measure(weights[:, usable])
    return metrics


def _measure_flagged(
    rows: CombinedRows, own: Mapping[str, Any], pooled: Mapping[str, Any], weights: Weights
) -> dict[str, Any]:
    """Return how many radiographs the detector flagged, and the share of the fall of the sensitivity that they are."""
    result = count_flagged(rows.is_flagged, rows.external, rows.collections, weights)
    others = rows.external[~rows.is_flagged[rows.external]]
    labels = rows.count_labels(rows.external)
    if 0 < len(others) < len(rows.external) and rows.count_labels(others).keys() == labels.keys():
        without = _measure_group(rows, others, weights)["sensitivity"]
        means = {"own": own["sensitivity"], "pooled": pooled["sensitivity"], "without": without}
        result |= explain_fall("sensitivity", means, weights[:, others].sum(1), pooled["n"])
    return result


def count_flagged(
    is_flagged: Bool[np.ndarray, "n"],
    external: Int[np.ndarray, "rows"],
    collections: Mapping[str, Int[np.ndarray, "rows"]],
    weights: Weights,
) -> dict[str, Any]:
    """Return how many radiographs the detector flagged, in all and in each collection.

    Args:
        is_flagged: whether each of n radiographs was.
        external: positions of the other data set.
        collections: positions of each of its collections.
        weights: r weightings of the n radiographs.

    Returns:
        {"flagged": {"all" or collection: {"n", "out_of_distribution"}}, "without": {}, "share": {}}; for the last two
        see `explain_fall`.
    """
    counts = {
        name: {"n": weights[:, members].sum(1), "out_of_distribution": weights[:, members] @ is_flagged[members]}
        for name, members in {"all": external, **collections}.items()
    }
    return {"flagged": counts, "without": {}, "share": {}}


def explain_fall(
    score: str, means: Mapping[str, Any], num_others: Num[np.ndarray, "r"], num_all: Num[np.ndarray, "r"]
) -> dict[str, Any]:
    """Return a score without the flagged radiographs, and the share of its fall that these are.

    Args:
        score: its name.
        means: the score on the "own" split, over all radiographs of the other data set ("pooled"), and "without" those
            that the detector flagged.
        num_others: number of radiographs that were not flagged.
        num_all: number of all radiographs of the other data set.
    """
    gain = confidence.difference(means["without"], means["pooled"])
    fall = confidence.difference(means["own"], means["pooled"])
    return {
        "without": {"n": num_others, score: means["without"]},
        "share": {"n": num_all, "of_fall": confidence.share_above(gain, fall, 0.0)},
    }


def warn_of_missing_own(own_split: str) -> str:
    """Return a warning, without its full stop, that the own split was not evaluated with this network."""
    return (
        f"the run's own {own_split} split was not evaluated with this network, so that there is nothing to compare "
        f"with: --mode=evaluate --split={own_split} does it"
    )
