"""Identifiability of labels: which labels can be learned apart from their sources, by the table of both alone.

A label that no source shares with another label coincides with its sources: whatever distinguishes these from the other
sources distinguishes the label too, and no training can separate the two. Two labels can be compared only within a
source that has both.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cxrjax.runtime.formatting import format_label, join_labels, join_words

MIN_COUNT = 5  # radiographs of a label in a source; fewer are too few to learn from and do not count; ours


class Identifiability(NamedTuple):
    """Sources of a label, and the labels beside which they show it."""

    label: str
    sources: tuple[str, ...]  # sources of the label with `MIN_COUNT` radiographs of it, or all if none has as many
    mixed_sources: tuple[str, ...]  # those of them that have another label too
    incomparable: tuple[str, ...]  # labels that share no source with it, which no source separates from it

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
        results.append(Identifiability(label, sources, mixed, incomparable))
    return results


def summarize(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return sentences on what the sources of a training allow to learn, the gravest first.

    Args:
        counts: see `assess`.

    Returns:
        One sentence where there is one source, or nothing amiss; else one for each label that coincides with its
        sources, and one for each group of other labels with the same limits. [] with less than two labels.
    """
    results = assess(counts)
    sources = sorted({source for result in results for source in result.sources})
    if len(results) < 2:
        return []
    if len(sources) == 1:
        return [
            f"All radiographs come from one source ({sources[0] or 'without a name'}): how a label is recognized in "
            "another source cannot be known; needed: radiographs of a second source with two labels or more."
        ]
    sentences = [_describe_confounded(result, sources, counts) for result in results if result.is_confounded]
    confounded = {result.label for result in results if result.is_confounded}
    others = [result for result in results if not result.is_confounded]
    sentences += [
        f"{join_labels(labels)} {_verb(labels, 'is', 'are')} seen beside other labels in {source} alone: what is "
        f"learned there cannot be tested in another source; needed: radiographs with {_verb(labels, 'it', 'them')} "
        "and another label from a second source."
        for source, labels in _group_by_only_source(others)
    ]
    named: set[str] = set()
    for result in others:
        named.add(result.label)
        partners = [label for label in result.incomparable if label not in confounded | named]
        if partners:
            sentences.append(
                f"{format_label(result.label)} has no source in common with {join_labels(partners)}: only their "
                f"sources may tell them apart; needed: a source with {join_labels([result.label, *partners])}."
            )
    return sentences or ["Every label is seen in two sources or more that have other labels too."]


def assess_findings(counts: Mapping[str, Mapping[str, Sequence[int]]]) -> list[Identifiability]:
    """Return what can be learned about each of several findings, in the order of their names.

    A finding is distinguished from its absence, so that its mixed sources are those in which it is known to be present
    in some radiographs and known to be absent in others.

    Args:
        counts: {source: {finding: [number of training radiographs without it, number of those with it]}}, as in
            training_findings.json.
    """
    results = []
    for name in sorted({name for of_source in counts.values() for name in of_source}):
        by_value = {
            source: {"absent": of_source[name][0], name: of_source[name][1]}
            for source, of_source in counts.items()
            if name in of_source
        }
        result = next((result for result in assess(by_value) if result.label == name), None)
        if result is not None:
            results.append(result._replace(incomparable=()))
    return results


def summarize_findings(counts: Mapping[str, Mapping[str, Sequence[int]]]) -> list[str]:
    """Return sentences on what the sources of a training allow to learn about several findings, the gravest first.

    Args:
        counts: see `assess_findings`.

    Returns:
        One sentence where there is one source, or nothing amiss; else the sentences of `describe_confounded_findings`,
        and one for each source that alone has other findings both present and absent. [] without findings.
    """
    results = assess_findings(counts)
    known = [source for source, of_source in counts.items() if any(sum(pair) for pair in of_source.values())]
    if not results:
        return []
    if len(known) == 1:
        return [
            f"All radiographs with known findings come from one source ({known[0] or 'without a name'}): how a finding "
            "is recognized in another source cannot be known; needed: radiographs with and without each finding from a "
            "second source."
        ]
    sentences = describe_confounded_findings(counts)
    sentences += [
        f"For {join_labels(labels)}, {source} alone has both radiographs with the finding and radiographs known to be "
        "without it: what is learned there cannot be tested in another source; needed: both from a second source."
        for source, labels in _group_by_only_source(results)
    ]
    return sentences or [
        "For every finding, two sources or more have both radiographs with it and radiographs known to be without it."
    ]


def describe_confounded_findings(counts: Mapping[str, Mapping[str, Sequence[int]]]) -> list[str]:
    """Return sentences on the findings that no source has both present and absent, and on what data they need.

    Args:
        counts: see `assess_findings`.

    Returns:
        One sentence for the findings of the same sources. [] without such findings.
    """
    by_sources: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for result in assess_findings(counts):
        if result.is_confounded:
            pairs = {
                source: of_source[result.label] for source, of_source in counts.items() if result.label in of_source
            }
            without = tuple(sorted(source for source, pair in pairs.items() if pair[0] >= MIN_COUNT))
            present = tuple(sorted(source for source, pair in pairs.items() if pair[1] >= MIN_COUNT))
            by_sources.setdefault((present, without), []).append(result.label)
    return [_describe_separate_sources(labels, *key, counts) for key, labels in by_sources.items()]


def _describe_separate_sources(
    labels: Sequence[str],
    present: Sequence[str],
    without: Sequence[str],
    counts: Mapping[str, Mapping[str, Sequence[int]]],
) -> str:
    """Return the sentence on findings that are present in `MIN_COUNT` radiographs of some sources, absent in others."""
    names = join_labels(labels)
    verb = _verb(labels, "is", "are")
    pronoun = _verb(labels, "it", "them")
    if not present:
        return (
            f"{names} {verb} present in fewer than {MIN_COUNT} radiographs of every source: too few to learn from; "
            f"needed: radiographs with {pronoun} from a source that has others known to be without {pronoun}."
        )
    own_sources = join_words(present)
    if not without:
        return (
            f"{names} {verb} known to be absent in fewer than {MIN_COUNT} radiographs of every source: no training can "
            f"tell {pronoun} from the source; needed: radiographs known to be without {pronoun} from {own_sources}."
        )
    few = sum(
        counts[source].get(label, (0, 0))[value]
        for label in labels
        for value, sources in ((0, without), (1, present))
        for source in counts
        if source not in sources
    )
    suffix = f" ({few} so far, too few to learn from)" if few else ""
    return (
        f"{names} {verb} present only in radiographs from {own_sources}, and known to be absent only in those from "
        f"{join_words(without)}: no training can tell {pronoun} from the source; needed: radiographs with {pronoun} "
        f"from {join_words(without)}, or known to be without {pronoun} from {own_sources}{suffix}."
    )


def _group_by_only_source(results: Sequence[Identifiability]) -> list[tuple[str, list[str]]]:
    """Return the labels or findings that can be learned in one source alone, by the source, in its order."""
    by_source: dict[str, list[str]] = {}
    for result in results:
        if not result.is_confounded and not result.is_transferable:
            by_source.setdefault(result.mixed_sources[0], []).append(result.label)
    return sorted(by_source.items())


def _verb(labels: Sequence[str], one: str, several: str) -> str:
    return one if len(labels) == 1 else several


def _describe_confounded(
    result: Identifiability, sources: Sequence[str], counts: Mapping[str, Mapping[str, int]]
) -> str:
    label = format_label(result.label)
    own_sources = join_words(result.sources)
    pronoun = _verb(result.sources, "it", "them")
    alone = "which has no other label" if len(result.sources) == 1 else "none of which has another label"
    needed = f"other labels from {own_sources}"
    other_sources = [source for source in sources if source not in result.sources]
    if other_sources:
        needed = f"{label} from a source that has other labels, such as {other_sources[0]}, or {needed}"
    few = sum(counts[source].get(result.label, 0) for source in counts if source not in result.sources)
    few += sum(count for source in result.sources for other, count in counts[source].items() if other != result.label)
    suffix = f" ({few} so far, too few to learn from)" if few else ""
    return (
        f"{label} comes from {own_sources} alone, {alone}: no training can tell {label} from {pronoun}; "
        f"needed: {needed}{suffix}."
    )


def _list_sources(counts: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[str, ...]]:
    """Return the sources that count for each label, both sorted by name."""
    result = {}
    for label in sorted({label for labels in counts.values() for label in labels}):
        present = {source: labels[label] for source, labels in counts.items() if labels.get(label)}
        sufficient = {source for source, count in present.items() if count >= MIN_COUNT}
        if present:
            result[label] = tuple(sorted(sufficient or present))
    return result
