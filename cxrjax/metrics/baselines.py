"""Baselines that see no pixel: guesses from the source of a radiograph, and from chance."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def source_probabilities(
    counts: Mapping[str, Mapping[str, int]], sources: Sequence[str], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return the probability of each class by the source of a radiograph.

    Args:
        counts: {source: {label: radiographs of training}}; labels that are no class do not count.
        sources: of n radiographs.
        classes: the K class names.

    Returns:
        [n, K], the shares of the labels among the radiographs of the source; among all, where the source is not known.

    Raises:
        ValueError: training has no radiograph of any class.
    """
    table = {source: np.array([of.get(name, 0) for name in classes], float) for source, of in counts.items()}
    everywhere = sum(table.values(), np.zeros(len(classes)))
    if not everywhere.sum():
        raise ValueError(f"there is no radiograph of {', '.join(classes)} in training to learn from")
    each = [table.get(source, everywhere) for source in sources]
    shares = np.array([of if of.any() else everywhere for of in each]).reshape(-1, len(classes))
    return shares / shares.sum(1, keepdims=True)


def source_baseline(
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


def chance_level(labels_train: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
    """What the better of two guessers reaches that know nothing, who saw the labels of training alone.

    One says always the most frequent, the other says each as often as it is there; F1 is that of the expected counts,
    2 p q / (p + q) of a class that has the share p of the radiographs and q of the guesses.

    Returns:
        {"macro_f1", "accuracy", "macro_auroc"}.
    """
    train, test = (np.array([list(known).count(name) for name in classes], float) for known in (labels_train, labels))
    train, test = train / train.sum(), test / test.sum()
    always = np.eye(len(classes))[train.argmax()]
    f1 = [np.mean((2 * test * q / np.maximum(test + q, 1e-12))[test > 0]) for q in (always, train)]
    return {"macro_f1": float(max(f1)), "accuracy": float(max(test @ always, test @ train)), "macro_auroc": 0.5}


def _most_frequent(counts: Counter) -> str:
    return min(counts, key=lambda label: (-counts[label], label))
