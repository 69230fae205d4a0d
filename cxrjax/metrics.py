"""How good findings and masks are: host-side NumPy, plain numbers out, ready for JSON.

No radiograph is ever dropped from a score. One without a finding (unreadable, or no lungs found) has the finding
`NO_FINDING` and is a miss of its label: accuracy and recall fall, precision and specificity do not see it, and every
AUROC pair it takes part in is lost. With a finding for every radiograph the numbers are scikit-learn's
(`zero_division=0`).

What cannot be earned is None (JSON null): precision, recall, F1 and AUROC of a class of which there is no radiograph,
specificity and AUROC where there is no other class. Macro averages are means over the classes that have radiographs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

NO_FINDING = ""
SCORES = ("precision", "recall", "specificity", "f1", "auroc")


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
    truth = _positions(labels, classes, "label")
    found = _positions(findings, [*classes, NO_FINDING], "finding")
    matrix = np.zeros((len(classes), len(classes) + 1), np.int64)
    np.add.at(matrix, (truth, found), 1)
    return matrix


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
        {"n", "no_finding", "accuracy", "macro": {score: mean}, "classes": {name: {score: value, "support": count}}},
        with each score of `SCORES`; recall is sensitivity.

    Raises:
        ValueError: no radiograph, unequal lengths, or a name that is not in `classes`.
    """
    matrix = confusion_matrix(labels, findings, classes)
    total = int(matrix.sum())
    if total == 0:
        raise ValueError("there is no radiograph to score")
    truth = np.asarray(labels)
    if probabilities is not None:
        probabilities = np.asarray(probabilities, np.float64)
        if probabilities.shape != (total, len(classes)):
            raise ValueError(f"probabilities are {probabilities.shape}, not {(total, len(classes))}")
        probabilities = np.where(np.asarray(findings)[:, None] == NO_FINDING, np.nan, probabilities)

    by_class = {}
    for k, name in enumerate(classes):
        hits, support, found = (int(count) for count in (matrix[k, k], matrix[k].sum(), matrix[:, k].sum()))
        others = total - support
        by_class[name] = {
            "precision": (hits / found if found else 0.0) if support else None,
            "recall": hits / support if support else None,
            "specificity": 1 - (found - hits) / others if others else None,
            "f1": 2 * hits / (support + found) if support else None,
            "auroc": None if probabilities is None else auroc(truth == name, probabilities[:, k]),
            "support": support,
        }
    present = [scores for scores in by_class.values() if scores["support"]]
    return {
        "n": total,
        "no_finding": int(matrix[:, -1].sum()),
        "accuracy": float(np.trace(matrix) / total),
        "macro": {score: _mean([scores[score] for scores in present]) for score in SCORES},
        "classes": by_class,
    }


def auroc(positive: ArrayLike, scores: ArrayLike) -> float | None:
    """Area under the ROC curve: the share of (positive, negative) pairs in the right order, ties half (Mann-Whitney).

    Args:
        positive: bool [n].
        scores: [n], higher for positive; NaN loses every pair it is in, on either side.

    Returns:
        0..1, or None where there are no positives or no negatives.
    """
    positive = np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return None
    scores = np.where(np.isnan(scores), np.where(positive, -np.inf, np.inf), scores)
    negatives = np.sort(scores[~positive])
    below, not_above = (np.searchsorted(negatives, scores[positive], side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(negatives)))


def score_of_source(
    sources_train: Sequence[str], labels_train: Sequence[str], sources_test: Sequence[str]
) -> list[str]:
    """Guesses each radiograph's label from its source alone: what a network that learned only the shortcut would find.

    Args:
        sources_train: the data set each training radiograph came from.
        labels_train: its label.
        sources_test: the data set of each radiograph to guess.

    Returns:
        The most frequent training label of each source, or of all training where the source is unknown; of equally
        frequent ones the first by name. They are findings for `classification_metrics`.

    Raises:
        ValueError: unequal lengths, or nothing to learn from.
    """
    if len(sources_train) != len(labels_train) or not len(labels_train):
        raise ValueError(f"{len(sources_train)} sources but {len(labels_train)} labels to learn from")
    counts: dict[str, Counter] = {}
    for source, label in zip(sources_train, labels_train, strict=True):
        counts.setdefault(source, Counter())[label] += 1
    guesses = {source: _most_frequent(count) for source, count in counts.items()}
    overall = _most_frequent(Counter(labels_train))
    return [guesses.get(source, overall) for source in sources_test]


def dice(a: ArrayLike, b: ArrayLike) -> float:
    """Twice the overlap over the sum of two masks' areas, 0..1: two empty masks agree (1), one empty mask misses (0).

    Args:
        a: bool mask of any rank.
        b: bool mask of the same shape.

    Raises:
        ValueError: the shapes differ.
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
    structures = {}
    for name in (column.removeprefix("dice_") for column in rows[0] if column.startswith("dice_")):
        scores = {score: _scored(rows, f"{score}_{name}") for score in ("dice", "jaccard")}
        structures[name] = {score: _mean(values) for score, values in scores.items()} | {"support": len(scores["dice"])}
    return {
        "n": len(rows),
        "failed": sum(row["status"] != "ok" for row in rows),
        "macro": {score: _mean([values[score] for values in structures.values()]) for score in ("dice", "jaccard")},
        "structures": structures,
    }


def _positions(names: Sequence[str], known: Sequence[str], what: str) -> list[int]:
    position = {name: k for k, name in enumerate(known)}
    for name in names:
        if name not in position:
            raise ValueError(f"the {what} {str(name)!r} is none of {', '.join(filter(None, known))}")
    return [position[name] for name in names]


def _most_frequent(counts: Counter) -> str:
    return min(counts, key=lambda label: (-counts[label], label))


def _overlap_and_union(a: ArrayLike, b: ArrayLike) -> tuple[int, int]:
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if a.shape != b.shape:
        raise ValueError(f"masks of different shapes: {a.shape} and {b.shape}")
    return int((a & b).sum()), int((a | b).sum())


def _scored(rows: Sequence[Mapping], column: str) -> list[float]:
    values = [(row[column], row["status"]) for row in rows]
    return [0.0 if np.isnan(value) else value for value, status in values if status != "ok" or not np.isnan(value)]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
