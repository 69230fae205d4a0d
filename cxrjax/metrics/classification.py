"""Scores of predictions and masks, in NumPy on the host.

No radiograph is ever dropped from a score. One without a prediction (unreadable, or no lungs found) has the prediction
NO_PREDICTION and is a miss of its label: accuracy and recall fall, precision and specificity ignore it, and every AUROC
pair that it takes part in is lost. With a prediction for every radiograph, the numbers are scikit-learn's
(`zero_division=0`).

Functions with an argument `weights` [r, n] return trees of arrays [r] for `bootstrap.bootstrap`; the others return
numbers of the data itself.

An undefined score is None (JSON null), NaN in arrays: precision, recall, F1, AUROC and average precision of a class
without radiographs, specificity and AUROC without another class. Macro averages are means over the classes that have
radiographs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from numpy.typing import ArrayLike

from cxrjax.metrics import confidence, roc
from cxrjax.metrics.confidence import F1, Auroc, AveragePrecision, Proportion, safe_divide
from cxrjax.metrics.patient_weights import Weights

NO_PREDICTION = ""
SCORES = ("precision", "recall", "specificity", "f1", "auroc", "average_precision")


def confusion_matrix(
    labels: Sequence[str], predictions: Sequence[str], classes: Sequence[str]
) -> Int[np.ndarray, "k k+1"]:
    """Count radiographs by label and prediction.

    Args:
        labels: label of each of n radiographs, one of `classes`.
        predictions: prediction for each, one of `classes` or NO_PREDICTION.
        classes: the k class names, in the order of rows and columns.

    Returns:
        The counts: a row per label, a column per prediction, the last one for NO_PREDICTION. The sum of a row is
        the support of its class.

    Raises:
        ValueError: the lengths differ, or a name is not in `classes`.
    """
    if len(labels) != len(predictions):
        raise ValueError(f"{len(labels)} labels but {len(predictions)} predictions")
    return confusion_counts(index_labels(labels, classes), index_predictions(predictions, classes), len(classes))


def confusion_counts(
    truth: Int[np.ndarray, "n"], predicted: Int[np.ndarray, "n"], count: int
) -> Int[np.ndarray, "{count} {count}+1"]:
    """Return the `confusion_matrix` of `count` classes, given their indices; see `measure_predictions`."""
    return np.bincount(truth * (count + 1) + predicted, minlength=count * (count + 1)).reshape(count, count + 1)


def classification_metrics(
    labels: Sequence[str], predictions: Sequence[str], probabilities: ArrayLike | None, classes: Sequence[str]
) -> dict:
    """Score predictions against labels, over all radiographs and by class (one against the rest).

    Args:
        labels: label of each of n radiographs.
        predictions: prediction for each, or NO_PREDICTION.
        probabilities: of the classes, [n, k], NaN without a prediction; None if there are none (AUROC is then None).
        classes: the k class names.

    Returns:
        {"n", "no_prediction", "accuracy", "macro": {score: mean}, "classes": {name: {score: value, "support": count}}},
        with each score of SCORES; recall is sensitivity.

    Raises:
        ValueError: there is no radiograph, the lengths differ, or a name is not in `classes`.
    """
    if len(labels) != len(predictions):
        raise ValueError(f"{len(labels)} labels but {len(predictions)} predictions")
    if not len(labels):
        raise ValueError("there is no radiograph to score")
    truth = index_labels(labels, classes)
    predicted = index_predictions(predictions, classes)
    if probabilities is not None:
        probabilities = np.asarray(probabilities, np.float64)
        if probabilities.shape != (len(truth), len(classes)):
            raise ValueError(f"probabilities are {probabilities.shape}, not {(len(truth), len(classes))}")
    everyone = np.ones((1, len(truth)))
    return confidence.point_estimates(measure_predictions(truth, predicted, probabilities, classes, everyone))


def measure_predictions(
    truth: Int[np.ndarray, "n"],
    predicted: Int[np.ndarray, "n"],
    probabilities: Float[np.ndarray, "n k"] | None,
    classes: Sequence[str],
    weights: Weights,
) -> dict:
    """Compute the scores of `classification_metrics` under r weightings of n radiographs.

    Args:
        truth: result of `index_labels`.
        predicted: result of `index_predictions`.
        probabilities: of the classes, or None.
        classes: the k class names.
        weights: integers.

    Returns:
        A tree for `cxrjax.metrics.confidence`. The n of an F1 is the mean of the number of radiographs of the class and
        of those predicted to be of it.
    """
    count = len(classes)
    cells = truth * (count + 1) + predicted
    matrix = (weights @ (cells[:, None] == np.arange(count * (count + 1)))).reshape(-1, count, count + 1)
    total = weights.sum(1)
    correct = np.einsum("rkk->rk", matrix[..., :-1])
    if probabilities is not None:
        probabilities = np.where((predicted == count)[:, None], np.nan, probabilities)
    class_scores = {}
    for k, name in enumerate(classes):
        class_probabilities = None if probabilities is None else probabilities[:, k]
        scores = measure_counts(correct[:, k], matrix[:, k].sum(-1), matrix[..., k].sum(-1), total)
        class_scores[name] = scores | measure_areas(truth == k, class_probabilities, weights)
    return {
        "n": total,
        "no_prediction": matrix[..., -1].sum(1),
        "accuracy": confidence.proportion(correct.sum(1), total),
        "macro": average_scores(class_scores),
        "classes": class_scores,
    }


def measure_baseline(
    truth: Int[np.ndarray, "n"],
    probabilities: Float[np.ndarray, "n k"],
    classes: Sequence[str],
    weights: Weights,
) -> dict:
    """Compute the scores of a predictor that knows only the probability of each class, each as high as it can be.

    For accuracy, it always predicts the most probable class. For precision, recall, specificity and F1, it either does
    that or draws each class with its probability, whichever has the higher macro F1 on the data itself: where classes
    are about equally probable, the most probable alone would leave the others an F1 of 0. The scores of drawn classes
    are those of the expected counts.

    Args:
        truth: index of the label.
        probabilities: of the classes.
        classes: the k class names.
        weights: r weightings of the radiographs.

    Returns:
        The tree of `measure_predictions`.
    """
    most_probable = np.eye(len(classes))[probabilities.argmax(1)]
    is_class = np.eye(len(classes))[truth]
    total = weights.sum(1)

    def measure(prediction: Float[np.ndarray, "n k"], weights: Weights) -> list[dict[str, Any]]:
        """Return the scores of each class for predicted shares."""
        correct = (weights @ (prediction * is_class)).T
        support = (weights @ is_class).T
        called = (weights @ prediction).T
        return [measure_counts(*counts, weights.sum(1)) for counts in zip(correct, support, called, strict=True)]

    def macro_f1(prediction: Float[np.ndarray, "n k"]) -> float:
        return float(np.nanmean([scores["f1"].value[0] for scores in measure(prediction, np.ones((1, len(truth))))]))

    prediction = max((most_probable, probabilities), key=macro_f1) if len(truth) else most_probable
    class_scores = {
        name: scores | measure_areas(truth == k, probabilities[:, k], weights)
        for k, (name, scores) in enumerate(zip(classes, measure(prediction, weights), strict=True))
    }
    return {
        "n": total,
        "no_prediction": np.zeros_like(total),
        "accuracy": confidence.proportion(weights @ (most_probable * is_class).sum(1), total),
        "macro": average_scores(class_scores),
        "classes": class_scores,
    }


def measure_counts(
    correct: Num[np.ndarray, "r"],
    support: Num[np.ndarray, "r"],
    called: Num[np.ndarray, "r"],
    total: Num[np.ndarray, "r"],
) -> dict[str, Any]:
    """Return the scores of a class, one against the rest, that need no ranking.

    Args:
        correct: weighted number of correct predictions of the class.
        support: weighted number of radiographs of the class.
        called: weighted number of predictions of the class.
        total: weighted number of radiographs.
    """
    present = support > 0
    others = total - support
    half = (support + called) / 2
    return {
        "precision": Proportion(np.where(present, correct / np.maximum(called, 1), np.nan), called),
        "recall": confidence.proportion(correct, support),
        "specificity": confidence.proportion(others - (called - correct), others),
        "f1": F1(safe_divide(correct, np.where(present, half, 0)), half),
        "support": support,
    }


def average_scores(
    class_scores: Mapping[str, Mapping[str, Any]], names: Sequence[str] = SCORES
) -> dict[str, confidence.Combination]:
    """Return the macro averages of the scores of classes, over those that have radiographs.

    Args:
        class_scores: {class: scores}, each with its "support".
        names: of the scores.
    """
    return {
        score: confidence.mean_of(
            [_where_present(scores[score], scores["support"]) for scores in class_scores.values()]
        )
        for score in names
    }


def measure_areas(
    positive: Bool[np.ndarray, "n"], scores: Float[np.ndarray, "n"] | None, weights: Weights
) -> dict[str, Any]:
    """Compute AUROC and average precision under weightings.

    Args:
        positive: whether each radiograph is of the class.
        scores: higher for positive; None where there are none.
        weights: r weightings of the radiographs.

    Returns:
        {"auroc", "average_precision"}, a tree for `cxrjax.metrics.confidence`; NaN where there are no scores.
    """
    if scores is None:
        undefined = np.full(len(weights), np.nan)
        return {"auroc": undefined, "average_precision": undefined}
    return measure_ranking(roc.rank(positive, scores), weights)


def measure_ranking(ranking: roc.Ranking, weights: Weights) -> dict[str, Any]:
    """Compute `measure_areas` of radiographs that were ranked before.

    Args:
        ranking: result of `roc.rank`.
        weights: r weightings of the radiographs.
    """
    areas = roc.measure_areas(ranking, weights)
    return {
        "auroc": Auroc(areas.auroc, areas.positives, areas.negatives),
        "average_precision": AveragePrecision(areas.average_precision, areas.positives, areas.negatives),
    }


def index_labels(labels: Sequence[str], classes: Sequence[str]) -> Int[np.ndarray, "n"]:
    """Return the indices of labels in the classes; raise ValueError for a label that is not a class."""
    return _index(labels, classes, "label")


def index_predictions(predictions: Sequence[str], classes: Sequence[str]) -> Int[np.ndarray, "n"]:
    """Return the indices of predictions in the classes, k for NO_PREDICTION; raise ValueError for others."""
    return _index(predictions, [*classes, NO_PREDICTION], "prediction")


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Compute the Dice of two masks, 0..1: twice the overlap over the sum of the areas.

    It is 1 for two empty masks, and 0 if only one is empty.

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
    """Compute the Jaccard of two masks, 0..1: the overlap over the union; empty masks and errors as in `dice`."""
    overlap, union = _overlap_and_union(a, b)
    return overlap / union if union else 1.0


def segmentation_metrics(rows: Sequence[Mapping]) -> dict:
    """Average the Dice and Jaccard of every structure over radiographs.

    Args:
        rows: one per radiograph, with `dice_<structure>`, `jaccard_<structure>` and `status`. NaN in a row whose status
            is "ok" means that the structure is not annotated there, and is left out; in any other row it counts as 0.

    Returns:
        {"n", "failed", "macro": {"dice", "jaccard"}, "structures": {name: {"dice", "jaccard", "support"}}}; the
        scores of a structure that is never annotated are None, and left out of the macro means.

    Raises:
        ValueError: there is no radiograph.
    """
    if not rows:
        raise ValueError("there is no radiograph to score")
    return confidence.point_estimates(measure_masks(rows, np.ones((1, len(rows)))))


def measure_masks(rows: Sequence[Mapping], weights: Weights) -> dict:
    """Compute the scores of `segmentation_metrics` under r weightings of n rows, a tree for `confidence`."""
    failed = np.array([row["status"] != "ok" for row in rows])
    structures = {}
    for name in (column.removeprefix("dice_") for column in rows[0] if column.startswith("dice_")):
        values = np.array([[row[f"dice_{name}"], row[f"jaccard_{name}"]] for row in rows], np.float64)
        values[failed] = np.nan_to_num(values[failed])
        mean_dice = confidence.mean_estimate(values[:, 0], weights)
        mean_jaccard = confidence.mean_estimate(values[:, 1], weights)
        structures[name] = {"dice": mean_dice, "jaccard": mean_jaccard, "support": mean_dice.n}
    return {
        "n": weights.sum(1),
        "failed": weights @ failed,
        "macro": {
            score: confidence.mean_of([values[score] for values in structures.values()])
            for score in ("dice", "jaccard")
        },
        "structures": structures,
    }


def _index(names: Sequence[str], classes: Sequence[str], noun: str) -> Int[np.ndarray, "n"]:
    index = {name: k for k, name in enumerate(classes)}
    for name in names:
        if name not in index:
            raise ValueError(f"the {noun} {str(name)!r} is none of {', '.join(filter(None, classes))}")
    return np.array([index[name] for name in names], np.intp)


def _where_present(leaf: confidence.Leaf, support: Num[np.ndarray, "r"]) -> confidence.Leaf:
    if (support > 0).all():
        return leaf
    value = np.where(support > 0, confidence.values(leaf), np.nan)
    return value if isinstance(leaf, np.ndarray) else leaf._replace(value=value)


def _overlap_and_union(a: ArrayLike, b: ArrayLike) -> tuple[int, int]:
    a = np.asarray(a, bool)
    b = np.asarray(b, bool)
    if a.shape != b.shape:
        raise ValueError(f"masks of different shapes: {a.shape} and {b.shape}")
    return int((a & b).sum()), int((a | b).sum())
