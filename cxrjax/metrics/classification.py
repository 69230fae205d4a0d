"""How good findings and masks are: host-side NumPy, plain numbers out, ready for JSON.

No radiograph is ever dropped from a score. One without a finding (unreadable, or no lungs found) has the finding
`NO_FINDING` and is a miss of its label: accuracy and recall fall, precision and specificity do not see it, and every
AUROC pair it takes part in is lost. With a finding for every radiograph the numbers are scikit-learn's
(`zero_division=0`).

Scores of findings and masks are measures: functions of weights [r, n] that give trees of arrays [r], for
`statistics.resampling.bootstrap`. What has no weights in its arguments is of the data themselves.

What cannot be earned is None (JSON null), NaN in arrays: precision, recall, F1, AUROC and average precision of a class
of which there is no radiograph, specificity and AUROC where there is no other class. Macro averages are means over the
classes that have radiographs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrjax.metrics import confidence, roc
from cxrjax.metrics.confidence import F1, Auroc, AveragePrecision, Proportion, safe_divide

NO_PREDICTION = ""
SCORES = ("precision", "recall", "specificity", "f1", "auroc", "average_precision")


def confusion_matrix(labels: Sequence[str], findings: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Counts radiographs by truth and finding.

    Args:
        labels: the truth of each of n radiographs, each one of `classes`.
        findings: what was found in each, one of `classes` or `NO_FINDING`.
        classes: the K class names, in the order of rows and columns.

    Returns:
        int64 [K, K + 1]: rows truth, columns finding, the last column `NO_FINDING`; a row sums to its class's support.

    Raises:
        ValueError: unequal lengths, or a name that is not in `classes`.
    """
    if len(labels) != len(findings):
        raise ValueError(f"{len(labels)} labels but {len(findings)} findings")
    return confusion_counts(index_labels(labels, classes), index_findings(findings, classes), len(classes))


def confusion_counts(truth: NDArray, found: NDArray, count: int) -> NDArray[np.int64]:
    """The `confusion_matrix` of `count` classes by their positions int [n]; see `measure_findings`."""
    return np.bincount(truth * (count + 1) + found, minlength=count * (count + 1)).reshape(count, count + 1)


def classification_metrics(
    labels: Sequence[str], findings: Sequence[str], probabilities: ArrayLike | None, classes: Sequence[str]
) -> dict:
    """Scores findings against labels, over all radiographs and class by class (one against the rest).

    Args:
        labels: the truth of each of n radiographs.
        findings: what was found in each, or `NO_FINDING`.
        probabilities: [n, K] of each class, NaN where there is none; None where nothing gives any (AUROC is then None).
        classes: the K class names.

    Returns:
        {"n", "no_prediction", "accuracy", "macro": {score: mean}, "classes": {name: {score: value, "support": count}}},
        with each score of `SCORES`; recall is sensitivity.

    Raises:
        ValueError: no radiograph, unequal lengths, or a name that is not in `classes`.
    """
    if len(labels) != len(findings):
        raise ValueError(f"{len(labels)} labels but {len(findings)} findings")
    if not len(labels):
        raise ValueError("there is no radiograph to score")
    truth, found = index_labels(labels, classes), index_findings(findings, classes)
    if probabilities is not None:
        probabilities = np.asarray(probabilities, np.float64)
        if probabilities.shape != (len(truth), len(classes)):
            raise ValueError(f"probabilities are {probabilities.shape}, not {(len(truth), len(classes))}")
    return confidence.point_estimates(measure_findings(truth, found, probabilities, classes, np.ones((1, len(truth)))))


def measure_findings(
    truth: NDArray, found: NDArray, probabilities: NDArray | None, classes: Sequence[str], weights: NDArray
) -> dict:
    """The scores of `classification_metrics` over r weightings of n radiographs.

    Args:
        truth: int [n], of `index_labels`.
        found: int [n], of `index_findings`.
        probabilities: [n, K], or None.
        classes: the K class names.
        weights: [r, n], whole numbers.

    Returns:
        Their tree, for `statistics.estimates`. The n of an F1 is the mean of two numbers: of the class, and called so.
    """
    count = len(classes)
    cells = truth * (count + 1) + found
    matrix = (weights @ (cells[:, None] == np.arange(count * (count + 1)))).reshape(-1, count, count + 1)
    total = weights.sum(1)
    hits = np.einsum("rkk->rk", matrix[..., :-1])
    if probabilities is not None:
        probabilities = np.where((found == count)[:, None], np.nan, probabilities)
    each = {}
    for k, name in enumerate(classes):
        scores = None if probabilities is None else probabilities[:, k]
        of_class = _measure_class(hits[:, k], matrix[:, k].sum(-1), matrix[..., k].sum(-1), total)
        each[name] = of_class | measure_areas(truth == k, scores, weights)
    return {
        "n": total,
        "no_prediction": matrix[..., -1].sum(1),
        "accuracy": confidence.proportion(hits.sum(1), total),
        "macro": _average(each),
        "classes": each,
    }


def measure_guesses(truth: NDArray, probabilities: NDArray, classes: Sequence[str], weights: NDArray) -> dict:
    """Return the scores of one who knows the probability of each class and no more, each as high as he can make it.

    For accuracy he says always the likeliest class. For precision, recall, specificity and F1 he does so too, or says
    each class as often as it is likely, whichever has the higher macro F1 over the data themselves: where classes are
    about as likely, the likeliest alone would leave the others an F1 of 0. Of what he says by lot the scores are those
    of the expected counts.

    Args:
        truth: int [n].
        probabilities: [n, K].
        classes: the K class names.
        weights: [r, n].

    Returns:
        The tree of `measure_findings`.
    """
    likeliest = np.eye(len(classes))[probabilities.argmax(1)]
    is_class = np.eye(len(classes))[truth]
    total = weights.sum(1)

    def measure(said: NDArray, weights: NDArray) -> list[dict[str, Any]]:
        counts = zip(*((weights @ each).T for each in (said * is_class, is_class, said)), strict=True)
        return [_measure_class(*each, weights.sum(1)) for each in counts]

    def macro_f1(said: NDArray) -> float:
        return float(np.nanmean([of["f1"].value[0] for of in measure(said, np.ones((1, len(truth))))]))

    said = max((likeliest, probabilities), key=macro_f1) if len(truth) else likeliest
    each = {
        name: of | measure_areas(truth == k, probabilities[:, k], weights)
        for k, (name, of) in enumerate(zip(classes, measure(said, weights), strict=True))
    }
    return {
        "n": total,
        "no_prediction": np.zeros_like(total),
        "accuracy": confidence.proportion(weights @ (likeliest * is_class).sum(1), total),
        "macro": _average(each),
        "classes": each,
    }


def measure_areas(positive: NDArray, scores: NDArray | None, weights: NDArray) -> dict[str, Any]:
    """Return AUROC and average precision over weightings.

    Args:
        positive: bool [n].
        scores: [n], higher for positive; None where there are none.
        weights: [r, n].

    Returns:
        {"auroc", "average_precision"}, a tree for `statistics.estimates`; NaN where there are no scores.
    """
    if scores is None:
        unknown = np.full(len(weights), np.nan)
        return {"auroc": unknown, "average_precision": unknown}
    order = roc.roc_counts(positive, scores, weights)
    counts = [count[:, -1].copy() for count in (order.hits, order.alarms)]  # views would hold all counts in memory
    return {
        "auroc": Auroc(roc.auroc(order), *counts),
        "average_precision": AveragePrecision(roc.average_precision(order), *counts),
    }


def index_labels(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.intp]:
    """Positions int [n] of labels in the classes; ValueError of one that is not among them."""
    return _positions(labels, classes, "label")


def index_findings(findings: Sequence[str], classes: Sequence[str]) -> NDArray[np.intp]:
    """Positions int [n] of findings in the classes, K of `NO_FINDING`; ValueError of one that is none of them."""
    return _positions(findings, [*classes, NO_PREDICTION], "finding")


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Twice the overlap over the sum of two masks' areas, 0..1: two empty masks agree (1), one empty mask misses (0).

    Args:
        a: bool mask of any rank.
        b: bool mask of the same shape.

    Raises:
        ValueError: the shapes differ.

    Examples:
        >>> import cxrjax as cx
        >>> cx.metrics.dice([True, True, False], [True, False, False])
        0.6666666666666666
    """
    overlap, union = _overlap_and_union(a, b)
    return 2 * overlap / (union + overlap) if union else 1.0


def jaccard(a: ArrayLike, b: ArrayLike) -> float:
    """Overlap over union of two masks, 0..1; empty masks and errors as in `dice`."""
    overlap, union = _overlap_and_union(a, b)
    return overlap / union if union else 1.0


def segmentation_metrics(rows: Sequence[Mapping]) -> dict:
    """Averages the Dice and Jaccard of every structure over radiographs, each radiograph counting once.

    Args:
        rows: one a radiograph, with `dice_<structure>`, `jaccard_<structure>` and `status`. NaN in a row whose status
            is "ok" means that the structure has no truth there, and is left out; in any other it is a failure: 0.

    Returns:
        {"n", "failed", "macro": {"dice", "jaccard"}, "structures": {name: {"dice", "jaccard", "support"}}}; a structure
        without truth anywhere has None, and is left out of the macro means.

    Raises:
        ValueError: no radiograph.
    """
    if not rows:
        raise ValueError("there is no radiograph to score")
    return confidence.point_estimates(measure_masks(rows, np.ones((1, len(rows)))))


def measure_masks(rows: Sequence[Mapping], weights: NDArray) -> dict:
    """The scores of `segmentation_metrics` over weightings [r, n] of its n rows: a tree for `statistics.estimates`."""
    failed = np.array([row["status"] != "ok" for row in rows])
    structures = {}
    for name in (column.removeprefix("dice_") for column in rows[0] if column.startswith("dice_")):
        values = np.array([[row[f"dice_{name}"], row[f"jaccard_{name}"]] for row in rows], np.float64)
        values[failed] = np.nan_to_num(values[failed])
        of_dice, of_jaccard = (confidence.mean_estimate(each, weights) for each in values.T)
        structures[name] = {"dice": of_dice, "jaccard": of_jaccard, "support": of_dice.of}
    return {
        "n": weights.sum(1),
        "failed": weights @ failed,
        "macro": {
            score: confidence.mean_of([values[score] for values in structures.values()])
            for score in ("dice", "jaccard")
        },
        "structures": structures,
    }


def _positions(names: Sequence[str], known: Sequence[str], what: str) -> NDArray[np.intp]:
    position = {name: k for k, name in enumerate(known)}
    for name in names:
        if name not in position:
            raise ValueError(f"the {what} {str(name)!r} is none of {', '.join(filter(None, known))}")
    return np.array([position[name] for name in names], np.intp)


def _measure_class(hits: NDArray, support: NDArray, called: NDArray, total: NDArray) -> dict[str, Any]:
    """Return the scores of a class that need no ranking, of weighted counts [r]."""
    present = support > 0
    others = total - support
    half = (support + called) / 2
    return {
        "precision": Proportion(np.where(present, hits / np.maximum(called, 1), np.nan), called),
        "recall": confidence.proportion(hits, support),
        "specificity": confidence.proportion(others - (called - hits), others),
        "f1": F1(safe_divide(hits, np.where(present, half, 0)), half),
        "support": support,
    }


def _average(each: Mapping[str, Mapping[str, Any]]) -> dict[str, confidence.Combination]:
    """Return the macro averages of the scores of classes, over those that have radiographs."""
    return {
        score: confidence.mean_of([_where_present(of[score], of["support"]) for of in each.values()])
        for score in SCORES
    }


def _where_present(leaf: confidence.Leaf, support: NDArray) -> confidence.Leaf:
    if (support > 0).all():
        return leaf
    value = np.where(support > 0, confidence.values(leaf), np.nan)
    return value if isinstance(leaf, np.ndarray) else leaf._replace(value=value)


def _overlap_and_union(a: ArrayLike, b: ArrayLike) -> tuple[int, int]:
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if a.shape != b.shape:
        raise ValueError(f"masks of different shapes: {a.shape} and {b.shape}")
    return int((a & b).sum()), int((a | b).sum())
