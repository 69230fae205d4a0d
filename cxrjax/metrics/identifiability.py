"""Whether a label can be told from its source, decided by the table of sources and labels alone, before training.

A label that no source shares with another label coincides with its sources: whatever distinguishes these from the other
sources distinguishes the label too, and no training can separate the two. Two labels can be compared only within a
source that has both.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cxrjax.runtime.formatting import join_words

MIN_COUNT = 5  # radiographs of a label in a source; fewer are too few to learn from and do not count; ours


class Identifiability(NamedTuple):
    """What the sources of a label allow to learn about it."""

    label: str
    sources: tuple[str, ...]  # sources of the label with `MIN_COUNT` radiographs of it, or all if none has as many
    mixed_sources: tuple[str, ...]  # those of them that have another label too
    incomparable: tuple[str, ...]  # labels that share no source with it, which no source separates from it
    verdict: str  # one sentence: what can be learned, and what radiographs would be needed; "" if nothing is amiss

    @property
    def is_confounded(self) -> bool:
        """Return whether the label coincides with its sources, so that no training can separate it from them."""
        return not self.mixed_sources

    @property
    def is_transferable(self) -> bool:
        """Return whether two sources or more show the label beside others, so that one can test the other."""
        return len(self.mixed_sources) > 1


def assess(counts: Mapping[str, Mapping[str, int]]) -> list[Identifiability]:
    """Return what can be learned about each label, in the order of their names.

    Args:
        counts: {source: {label: number of training radiographs}}, as in training_labels.json.
    """
    sources_by_label = _list_sources(counts)
    labels_by_source: dict[str, set[str]] = {}
    for label, sources in sources_by_label.items():
        for source in sources:
            labels_by_source.setdefault(source, set()).add(label)
    results = []
    for label, sources in sources_by_label.items():
        mixed = tuple(source for source in sources if len(labels_by_source[source]) > 1)
        shared = set().union(*(labels_by_source[source] for source in sources))
        incomparable = tuple(other for other in sources_by_label if other not in shared)
        result = Identifiability(label, sources, mixed, incomparable, "")
        results.append(result._replace(verdict=_describe(result, labels_by_source)))
    return results


def single_label_sources(counts: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return {source: label} of the sources with one label alone; radiographs fewer than `MIN_COUNT` do not count.

    Args:
        counts: see `assess`.
    """
    labels_by_source: dict[str, list[str]] = {}
    for label, sources in _list_sources(counts).items():
        for source in sources:
            labels_by_source.setdefault(source, []).append(label)
    return {source: labels[0] for source, labels in sorted(labels_by_source.items()) if len(labels) == 1}


def summarize(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return sentences on what the sources of a training allow to learn, the gravest first.

    Args:
        counts: see `assess`.

    Returns:
        One sentence where there is one source, one label, or nothing amiss; else one per label concerned and one on
        the sources with one label alone.
    """
    results = assess(counts)
    sources = sorted({source for result in results for source in result.sources})
    if len(results) < 2 or not sources:
        return []
    if len(sources) == 1:
        return [
            f"Every label comes from the source {sources[0] or 'that has no name'}: how a label is recognized in "
            "another source cannot be known; needed: radiographs of a second source with two labels or more."
        ]
    concerned = [result for result in results if result.verdict]
    if not concerned:
        return ["Every label is seen in two sources or more that have other labels too."]
    concerned.sort(key=lambda result: (not result.is_confounded, result.is_transferable))
    sentences = [result.verdict for result in concerned]
    single = [f"{source} ({label})" for source, label in single_label_sources(counts).items()]
    if single:
        number = "The source" if len(single) == 1 else "The sources"
        verb = "has" if len(single) == 1 else "have"
        sentences.append(f"{number} {join_words(single)} {verb} one label alone and cannot show what distinguishes it.")
    return sentences


def _list_sources(counts: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[str, ...]]:
    """Return the sources that count for each label, both sorted by name."""
    result = {}
    for label in sorted({label for labels in counts.values() for label in labels}):
        present = {source: labels[label] for source, labels in counts.items() if labels.get(label)}
        sufficient = {source for source, count in present.items() if count >= MIN_COUNT}
        if present:
            result[label] = tuple(sorted(sufficient or present))
    return result


def _describe(result: Identifiability, labels_by_source: Mapping[str, set[str]]) -> str:
    own_sources = join_words(result.sources)
    other_sources = sorted(set(labels_by_source) - set(result.sources))
    if result.is_confounded:
        alone = "which has no other label" if len(result.sources) == 1 else "none of which has another label"
        pronoun = "it" if len(result.sources) == 1 else "them"
        needed = f"other labels from {own_sources}"
        if other_sources:
            needed = f"{result.label} from a source that has other labels, such as {other_sources[0]}, or {needed}"
        return (
            f"{result.label} comes from {own_sources} alone, {alone}: no training can tell {result.label} from {pronoun}; "
            f"needed: {needed}."
        )
    clauses = []
    if not result.is_transferable:
        clauses.append(
            f"is seen beside other labels in {result.mixed_sources[0]} alone: what is learned about it there cannot be "
            f"tested in another source; needed: {result.label} and another label from a second source"
        )
    if result.incomparable:
        others = join_words(result.incomparable)
        clauses.append(
            f"has no source in common with {others}: only their sources may tell them apart; needed: one source with "
            f"{result.label} and {others}"
        )
    return f"{result.label} {'; it '.join(clauses)}." if clauses else ""
