"""Baselines without pixels: predictions from the source of a radiograph, and from chance."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Shaped


def source_probabilities(
    counts: Mapping[str, Mapping[str, int]], sources: Sequence[str] | Shaped[np.ndarray, "n"], classes: Sequence[str]
) -> Float[np.ndarray, "n k"]:
    """Compute the probability of each class given the source of a radiograph.

    Args:
        counts: {source: {label: number of training radiographs}}; labels that are not a class are ignored.
        sources: source of each of the n radiographs.
        classes: the k class names.

    Returns:
        The frequencies of the labels in training among the radiographs of the source; among all radiographs
        where the source is unknown or has none of the classes.

    Raises:
        ValueError: there is no training radiograph of any class.
    """
    counts_by_source = {
        source: np.array([label_counts.get(name, 0) for name in classes], float)
        for source, label_counts in counts.items()
    }
    overall = sum(counts_by_source.values(), np.zeros(len(classes)))
    if not overall.sum():
        raise ValueError(f"there is no radiograph of {', '.join(classes)} in training to learn from")
    rows = [counts_by_source.get(source, overall) for source in sources]
    class_counts = np.array([row if row.any() else overall for row in rows]).reshape(-1, len(classes))
    return class_counts / class_counts.sum(1, keepdims=True)


def source_baseline(
    sources_train: Sequence[str], labels_train: Sequence[str], sources_test: Sequence[str]
) -> list[str]:
    """Predict the label of each radiograph from its source alone, as a network that learned only the shortcut.

    Args:
        sources_train: source of each training radiograph.
        labels_train: label of each training radiograph.
        sources_test: source of each radiograph to predict.

    Returns:
        The most frequent training label of each source, or of all training radiographs where the source is unknown; of
        equally frequent labels the first by name.

    Raises:
        ValueError: the lengths differ, or there are no training radiographs.
    """
    if len(sources_train) != len(labels_train) or not len(labels_train):
        raise ValueError(f"{len(sources_train)} sources but {len(labels_train)} labels to learn from")
    counts: dict[str, Counter] = {}
    for source, label in zip(sources_train, labels_train, strict=True):
        counts.setdefault(source, Counter())[label] += 1
    predictions = {source: _most_frequent(count) for source, count in counts.items()}
    overall = _most_frequent(Counter(labels_train))
    return [predictions.get(source, overall) for source in sources_test]


def chance_level(labels_train: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """Compute the scores of the better of two predictors that know only the labels of training.

    One always predicts the most frequent label, the other draws labels by their frequency. F1 is that of the expected
    counts: 2 p q / (p + q) for a class with the share p of the radiographs and the share q of the predictions.

    Returns:
        {"macro_f1", "accuracy", "macro_auroc"}.
    """
    train = np.array([list(labels_train).count(name) for name in classes], float)
    test = np.array([list(labels).count(name) for name in classes], float)
    train /= train.sum()
    test /= test.sum()
    always = np.eye(len(classes))[train.argmax()]
    f1 = [np.mean((2 * test * q / np.maximum(test + q, 1e-12))[test > 0]) for q in (always, train)]
    return {"macro_f1": float(max(f1)), "accuracy": float(max(test @ always, test @ train)), "macro_auroc": 0.5}


def _most_frequent(counts: Counter) -> str:
    return min(counts, key=lambda label: (-counts[label], label))
