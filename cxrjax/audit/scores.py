"""Scores of a control's rows, with their intervals by patient: beside the run's on the same radiographs, and chance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax import findings, metrics, predictions
from cxrjax.statistics import estimates, resampling

METRICS = ("macro_f1", "accuracy", "macro_auroc")
OF_CLASSES = ("f1", "recall", "specificity", "auroc", "support")
# What shares are of. It needs no threshold, its chance is a half whatever the classes' sizes, and it gives credit to a
# shortcut that narrows the label down to a few classes without telling which.
HEADLINE = "macro_auroc"

Rows = Sequence[Mapping[str, Any]]
Measure = Callable[[Rows, Sequence[str], NDArray], dict[str, Any]]


def measure(rows: Rows, classes: Sequence[str], weights: NDArray) -> dict[str, Any]:
    """`METRICS`, and `OF_CLASSES` of each, over weightings [r, n] of n rows: a tree for `statistics.estimates`."""
    truth = metrics.index_labels([row["label"] for row in rows], classes)
    found = metrics.index_findings([row["finding"] for row in rows], classes)
    return _select(metrics.measure_findings(truth, found, predictions.probabilities(rows, classes), classes, weights))


def measure_guesses(rows: Rows, classes: Sequence[str], weights: NDArray) -> dict[str, Any]:
    """Return the scores of `measure` of guesses from facts, each as high as their probabilities allow.

    See `metrics.measure_guesses`, which also scores the source alone beside a network.
    """
    truth = metrics.index_labels([row["label"] for row in rows], classes)
    return _select(metrics.measure_guesses(truth, predictions.probabilities(rows, classes), classes, weights))


def _select(tree: Mapping[str, Any]) -> dict[str, Any]:
    each = {name: {key: of[key] for key in OF_CLASSES} for name, of in tree["classes"].items()}
    return {
        "macro_f1": tree["macro"]["f1"],
        "accuracy": tree["accuracy"],
        "macro_auroc": tree["macro"]["auroc"],
        "classes": each,
    }


def measure_within_sources(rows: Rows, classes: Sequence[str], weights: NDArray) -> dict[str, Any]:
    """`METRICS` among the radiographs of one source, over the sources that hold several labels."""
    groups = [np.array([i for i, row in enumerate(rows) if row["source"] == source]) for source in mixed_sources(rows)]
    parts = [measure([rows[i] for i in group], classes, weights[:, group]) for group in groups]
    sizes = [len(group) for group in groups]
    return {name: estimates.mean_of([part[name] for part in parts], sizes) for name in METRICS} | {"classes": {}}


def mixed_sources(rows: Rows) -> list[str]:
    """The sources that hold several labels."""
    labels = {(row["source"], row["label"]) for row in rows}
    return sorted({source for source, label in labels if (source, label) != min(p for p in labels if p[0] == source)})


def compare(
    rows: Rows,
    against: Rows | None,
    run: Rows,
    classes: Sequence[str],
    chance: Mapping[str, float],
    measured: Measure = measure,
) -> dict[str, Any]:
    """The scores of a control, and how they stand to others of the same radiographs.

    Args:
        rows: of the control.
        against: of the same network without what the control does; None where there is none. More rows do not count.
        run: of the run; more rows do not count.
        classes: the K class names.
        chance: of `metrics.guess_blindly`.
        measured: what is measured of the control.

    Returns:
        {"scores", "classes", "share", "against", "change"}: numbers as `statistics.estimates.describe` has them.
        "share" is (control - chance) / (run - chance) of `HEADLINE`, None where the run itself may be at chance;
        "change" is control - against.
    """
    patients = findings.patients(rows)
    run, against = _align(run, rows), None if against is None else _align(against, rows)

    def both(weights: NDArray) -> dict[str, Any]:
        control, whole = measured(rows, classes, weights), measure(run, classes, weights)
        share = estimates.share_above(control[HEADLINE], whole[HEADLINE], chance[HEADLINE])
        tree = {"scores": control, "run": whole[HEADLINE], "share": share}
        if against is None:
            return tree
        before = {name: value for name, value in measure(against, classes, weights).items() if name in METRICS}
        change = {name: estimates.difference(control[name], before[name]) for name in METRICS}
        return tree | {"against": before, "change": change}

    tree = estimates.describe(resampling.bootstrap(both, patients), patients, len(rows))
    return {
        "scores": {name: tree["scores"][name] for name in METRICS},
        "classes": tree["scores"]["classes"],
        "share": tree["share"] if reach(tree["run"])[0] > chance[HEADLINE] else None,
        "against": tree.get("against"),
        "change": tree.get("change"),
    }


def reach(number: Mapping[str, Any]) -> Sequence[float]:
    """Both ends of a number's interval; the number twice where no resample moves it, NaN where there is none."""
    return number["interval"] or [np.nan if number["value"] is None else number["value"]] * 2


def _align(rows: Rows, wanted: Rows) -> list[Mapping[str, Any]]:
    """The rows of the radiographs wanted, in their order."""
    by_path = {row["path"]: row for row in rows}
    for row in wanted:
        if row["path"] not in by_path:
            raise ValueError(f"{row['path']}: the run's evaluation has no row of it; evaluate the split anew")
    return [by_path[row["path"]] for row in wanted]
