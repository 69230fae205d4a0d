"""How much of a label is known before the picture is looked at: from its source, its view, its size."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

WARN_AT, CHANCE = 0.05, 2  # accuracy above that of always guessing the most frequent label; and in standard errors

Facts = Sequence[Mapping[str, Any]]


class Baseline(NamedTuple):
    """How well one attribute alone tells the label.

    Attributes:
        attribute: "source", "view", ...
        values: how many it has.
        tried: radiographs whose label was guessed.
        accuracy: of guessing, for each value, its most frequent label.
        without: accuracy of always guessing the most frequent label.
        uncertainty: the share of the label's entropy that the attribute takes away, 0 to 1 (Theil's U).
    """

    attribute: str
    values: int
    tried: int
    accuracy: float
    without: float
    uncertainty: float

    @property
    def warns(self) -> bool:
        """Whether the label goes with the attribute, by more than chance has it."""
        error = math.sqrt(self.accuracy * (1 - self.accuracy) / self.tried)
        return self.accuracy > self.without + max(WARN_AT, CHANCE * error)


def predict_label(facts: Facts, attribute: str) -> Baseline | None:
    """Guesses labels from one attribute.

    The most frequent labels are learned from train and tried on the other splits; where there is no train, from all
    other splits for each split. A value that was not seen gets the label that is most frequent of all.

    Args:
        facts: radiographs with their "label", "split" and the attribute; those without a label do not count.
        attribute: its name.

    Returns:
        The guess; None where there are no two splits with labels.
    """
    facts = [fact for fact in facts if fact["label"]]
    by_split = defaultdict(list)
    for fact in facts:
        by_split[fact["split"]].append(fact)
    if len(by_split) < 2:
        return None
    right = without = tried = 0
    for held_out in [set(by_split) - {"train"}] if "train" in by_split else [{split} for split in by_split]:
        seen = [fact for fact in facts if fact["split"] not in held_out]
        usual = _most_frequent(seen)
        groups = _group(seen, attribute)
        learned = {value: _most_frequent(group) for value, group in groups.items()}
        judged = [fact for fact in facts if fact["split"] in held_out]
        right += sum(learned.get(fact[attribute], usual) == fact["label"] for fact in judged)
        without += sum(fact["label"] == usual for fact in judged)
        tried += len(judged)
    values = len({fact[attribute] for fact in facts})
    uncertainty = uncertainty_coefficient(Counter((fact[attribute], fact["label"]) for fact in facts))
    return Baseline(attribute, values, tried, right / tried, without / tried, uncertainty)


def uncertainty_coefficient(counts: Mapping[tuple[str, str], int]) -> float:
    """Theil's U(label | attribute) = 1 - H(label | attribute) / H(label).

    Args:
        counts: (value of the attribute, label) -> radiographs.

    Returns:
        0 where the attribute tells nothing of the label, 1 where it tells all; 0 where there is one label only.
    """
    labels, values = Counter(), Counter()
    for (value, label), count in counts.items():
        values[value] += count
        labels[label] += count
    uncertain = _entropy(labels)
    left = _entropy(counts) - _entropy(values)
    return max(0.0, 1 - left / uncertain) if uncertain else 0.0


def labels_of_one_source(facts: Facts) -> dict[str, str]:
    """Label -> the only source it comes from; none where there is but one source."""
    sources = _group(facts, "label")
    if len({fact["source"] for fact in facts}) < 2:
        return {}
    only = {label: {fact["source"] for fact in group} for label, group in sources.items() if label}
    return {label: names.pop() for label, names in sorted(only.items()) if len(names) == 1}


def _group(facts: Facts, attribute: str) -> dict[str, list[Mapping[str, Any]]]:
    groups = defaultdict(list)
    for fact in facts:
        groups[fact[attribute]].append(fact)
    return groups


def _most_frequent(facts: Facts) -> str:
    """The first in the alphabet of those that are equally frequent."""
    counts = Counter(fact["label"] for fact in facts)
    return min(counts, key=lambda label: (-counts[label], label))


def _entropy(counts: Mapping[Any, int]) -> float:
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values() if count)
