"""Measure how well the label is predicted from metadata alone: the source, the view or the size of the image."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# Smallest gain in accuracy over always predicting the most frequent label that gives a warning.
MIN_GAIN = 0.05
MIN_STANDARD_ERRORS = 2  # of the accuracy

Facts = Sequence[Mapping[str, Any]]


class Baseline(NamedTuple):
    """Result of predicting the label from one attribute alone.

    Attributes:
        attribute: "source", "view", ...
        values: number of its values.
        tried: number of radiographs whose label was predicted.
        accuracy: accuracy of predicting, for each value, its most frequent label.
        without: accuracy of always predicting the most frequent label.
        uncertainty: the fraction of the label's entropy that the attribute explains, 0 to 1 (Theil's U).
    """

    attribute: str
    values: int
    tried: int
    accuracy: float
    without: float
    uncertainty: float

    @property
    def is_confounded(self) -> bool:
        """Return whether the attribute predicts the label better than chance."""
        error = math.sqrt(self.accuracy * (1 - self.accuracy) / self.tried)
        return self.accuracy > self.without + max(MIN_GAIN, MIN_STANDARD_ERRORS * error)


def predict_label(facts: Facts, attribute: str) -> Baseline | None:
    """Predict labels from one attribute.

    The most frequent label of each value is learned from the training split and tested on the other splits. Without a
    training split, each split is tested with the labels of all others. For a value that was not learned, the most
    frequent label overall is predicted.

    Args:
        facts: radiographs with "label", "split" and the attribute; those without a label are ignored.
        attribute: name of the attribute.

    Returns:
        The result; None if fewer than two splits have labels.
    """
    facts = [fact for fact in facts if fact["label"]]
    by_split = defaultdict(list)
    for fact in facts:
        by_split[fact["split"]].append(fact)
    if len(by_split) < 2:
        return None
    correct = 0
    correct_without = 0
    tried = 0
    for test_splits in [set(by_split) - {"train"}] if "train" in by_split else [{split} for split in by_split]:
        training = [fact for fact in facts if fact["split"] not in test_splits]
        default = _most_frequent_label(training)
        groups = _group_by(training, attribute)
        label_of = {value: _most_frequent_label(group) for value, group in groups.items()}
        test = [fact for fact in facts if fact["split"] in test_splits]
        correct += sum(label_of.get(fact[attribute], default) == fact["label"] for fact in test)
        correct_without += sum(fact["label"] == default for fact in test)
        tried += len(test)
    return Baseline(
        attribute=attribute,
        values=len({fact[attribute] for fact in facts}),
        tried=tried,
        accuracy=correct / tried,
        without=correct_without / tried,
        uncertainty=uncertainty_coefficient(Counter((fact[attribute], fact["label"]) for fact in facts)),
    )


def uncertainty_coefficient(counts: Mapping[tuple[str, str], int]) -> float:
    """Compute Theil's U(label | attribute) = 1 - H(label | attribute) / H(label).

    Args:
        counts: (value of the attribute, label) -> radiographs.

    Returns:
        0 if the attribute says nothing about the label, 1 if it determines it; 0 if there is only one label.
    """
    labels: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for (value, label), count in counts.items():
        values[value] += count
        labels[label] += count
    label_entropy = _entropy(labels)
    conditional_entropy = _entropy(counts) - _entropy(values)
    return max(0.0, 1 - conditional_entropy / label_entropy) if label_entropy else 0.0


def labels_of_one_source(facts: Facts) -> dict[str, str]:
    """Return label -> source for labels with a single source; {} if the data set has a single source."""
    if len({fact["source"] for fact in facts}) < 2:
        return {}
    groups = _group_by(facts, "label")
    sources = {label: {fact["source"] for fact in group} for label, group in groups.items() if label}
    return {label: names.pop() for label, names in sorted(sources.items()) if len(names) == 1}


def _group_by(facts: Facts, attribute: str) -> dict[str, list[Mapping[str, Any]]]:
    groups = defaultdict(list)
    for fact in facts:
        groups[fact[attribute]].append(fact)
    return groups


def _most_frequent_label(facts: Facts) -> str:
    """Return the most frequent label; of equally frequent ones, the first in alphabetical order."""
    counts = Counter(fact["label"] for fact in facts)
    return min(counts, key=lambda label: (-counts[label], label))


def _entropy(counts: Mapping[Any, int]) -> float:
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values() if count)
