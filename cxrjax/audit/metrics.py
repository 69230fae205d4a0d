"""Scores of a control's rows, with their intervals by patient: beside the run's on the same radiographs, and chance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap, classification, confidence, intervals, prediction_arrays

METRICS = ("macro_f1", "accuracy", "macro_auroc")
OF_CLASSES = ("f1", "recall", "specificity", "auroc", "support")
# What shares are of. It needs no threshold, its chance is a half whatever the classes' sizes, and it gives credit to a
# shortcut that narrows the label down to a few classes without telling which.
HEADLINE = "macro_auroc"

Rows = Sequence[Mapping[str, Any]]
Measure = Callable[[Rows, Sequence[str], NDArray], dict[str, Any]]


def measure_predictions(rows: Rows, classes: Sequence[str], weights: NDArray) -> dict[str, Any]:
    """`METRICS`, and `OF_CLASSES` of each, over weightings [r, n] of n rows: a tree for `statistics.estimates`."""
    truth = classification.index_labels([row["label"] for row in rows], classes)
    found = classification.index_findings([row["finding"] for row in rows], classes)
    return _select(
        classification.measure_findings(truth, found, predictions_csv.probabilities(rows, classes), classes, weights)
    )


def measure_guesses(rows: Rows, classes: Sequence[str], weights: NDArray) -> dict[str, Any]:
    """Return the scores of `measure` of guesses from facts, each as high as their probabilities allow.

    See `classification.measure_guesses`, which also scores the source alone beside a network.
    """
    truth = classification.index_labels([row["label"] for row in rows], classes)
    return _select(
        classification.measure_guesses(truth, predictions_csv.probabilities(rows, classes), classes, weights)
    )


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
    parts = [measure_predictions([rows[i] for i in group], classes, weights[:, group]) for group in groups]
    sizes = [len(group) for group in groups]
    return {name: confidence.mean_of([part[name] for part in parts], sizes) for name in METRICS} | {"classes": {}}


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
    measured: Measure = measure_predictions,
    repeats: Sequence[Rows] = (),
) -> dict[str, Any]:
    """The scores of a control, and how they stand to others of the same radiographs.

    Args:
        rows: of the control.
        against: of the same network without what the control does; None where there is none. More rows do not count.
        run: of the run; more rows do not count.
        classes: the K class names.
        chance: of `metrics.guess_blindly`.
        measured: what is measured of the control.
        repeats: rows of other trainings of the control, which its scores are then the means over.

    Returns:
        {"scores", "classes", "share", "against", "change"}: numbers as `statistics.estimates.describe` has them.
        "share" is (control - chance) / (run - chance) of `HEADLINE`, None where the run itself may be at chance;
        "change" is control - against.
    """
    patients = prediction_arrays.patients(rows)
    trainings = [rows, *(_align(one, rows) for one in repeats)]
    run, against = _align(run, rows), None if against is None else _align(against, rows)

    def both(weights: NDArray) -> dict[str, Any]:
        each = [measured(one, classes, weights) for one in trainings]
        control = {name: confidence.mean_of([one[name] for one in each]) for name in METRICS} if repeats else each[0]
        control = control | {"classes": each[0]["classes"]}
        whole = measure_predictions(run, classes, weights)
        share = confidence.share_above(control[HEADLINE], whole[HEADLINE], chance[HEADLINE])
        tree = {"scores": control, "run": whole[HEADLINE], "share": share}
        if against is None:
            return tree
        before = {
            name: value for name, value in measure_predictions(against, classes, weights).items() if name in METRICS
        }
        change = {name: confidence.difference(control[name], before[name]) for name in METRICS}
        return tree | {"against": before, "change": change}

    drawn = bootstrap.bootstrap(both, patients)
    tree = confidence.summarize(drawn, patients, len(rows))
    if repeats:
        _add_trainings(tree, drawn, chance)
    return {
        "scores": {name: tree["scores"][name] for name in METRICS},
        "classes": tree["scores"]["classes"],
        "share": tree["share"] if share_of_score(tree["run"])[0] > chance[HEADLINE] else None,
        "against": tree.get("against"),
        "change": tree.get("change"),
    }


def _add_trainings(tree: dict[str, Any], drawn: Mapping[str, Any], chance: Mapping[str, float]) -> None:
    """Widen the intervals of a control's scores by how its trainings differ.

    The interval of a mean over trainings takes each of them as it is; the error of the mean, by Student's t over the
    trainings, is independent of it, and the squares add.
    """
    for name in METRICS:
        leaf = drawn["scores"][name]
        each = np.array([confidence.values(part)[0] for part in leaf.parts])
        if np.isnan(each).any():
            continue
        half = float(stdtrit(len(each) - 1, 1 - intervals.TAIL)) * each.std(ddof=1) / np.sqrt(len(each))
        _widen(tree["scores"][name], half, 0.0, 1.0)
        if name in (tree.get("change") or {}):
            _widen(tree["change"][name], half, -1.0, 1.0)
        above = confidence.values(drawn["run"])[0] - chance.get(name, np.nan)
        if name == HEADLINE and above > 0:
            _widen(tree["share"], half / above, -np.inf, np.inf)


def _widen(number: dict[str, Any], half: float, lowest: float, highest: float) -> None:
    if number["value"] is None:
        return
    value = number["value"]
    low, high = number["interval"] or (value, value)
    ends = value - np.hypot(value - low, half), value + np.hypot(high - value, half)
    number["interval"] = [float(np.clip(end, lowest, highest)) for end in ends]


def share_of_score(number: Mapping[str, Any]) -> Sequence[float]:
    """Both ends of a number's interval; the number twice where no resample moves it, NaN where there is none."""
    return number["interval"] or [np.nan if number["value"] is None else number["value"]] * 2


def _align(rows: Rows, wanted: Rows) -> list[Mapping[str, Any]]:
    """Return the rows of the radiographs wanted, in their order; paths of two sources may be the same."""
    known = {(row["source"], row["path"]): row for row in rows}
    for row in wanted:
        if (row["source"], row["path"]) not in known:
            raise ValueError(f"{row['path']}: the run's evaluation has no row of it; evaluate the split anew")
    return [known[row["source"], row["path"]] for row in wanted]
