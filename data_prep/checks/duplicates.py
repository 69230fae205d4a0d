"""Find near-duplicates: the same radiograph under two names, re-encoded, resized, brightened or cropped.

Similar radiographs of one patient in the same split with the same label are harmless and not reported.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cxrjax.io import radiograph
from cxrjax.runtime.cores import count_cores
from cxrjax.runtime.progress import progress_bar
from cxrjax.runtime.read_ahead import map_ahead
from data_prep.checks import fingerprint
from data_prep.checks.fingerprint import Fingerprint
from data_prep.record import PreparationError, Record, SkippedRecord, SplitPlan


class RecordInfo(NamedTuple):
    """Metadata of a radiograph; "" for unknown."""

    id: str
    label: str
    split: str
    patient_id: str


class Pair(NamedTuple):
    """Two radiographs that show the same image.

    Attributes:
        first: id of the first.
        second: id of the second.
        first_label: label of the first; "" for none.
        second_label: label of the second; "" for none.
        first_split: split of the first.
        second_split: split of the second.
        difference: the attributes that differ: "label", "split", "label and split" or "".
        similarity: correlation of their details, at most 1, see `fingerprint.similarity`.
    """

    first: str
    second: str
    first_label: str
    second_label: str
    first_split: str
    second_split: str
    difference: str
    similarity: float


def find_duplicates(plan: SplitPlan) -> list[Pair]:
    """Find the near-duplicates among all readable radiographs of a plan; those without a file are ignored.

    All cores read radiographs, each a file at a time.
    """
    records = [(split, record) for split, records in plan.items() for record in records if record.file]
    threads = count_cores()
    computed = map_ahead(_read_fingerprint, (record for _, record in records), num_threads=threads, num_ahead=threads)
    fingerprints = []
    bar = progress_bar(records, desc="searching near-duplicates", unit="radiograph")
    for (split, record), found in zip(bar, computed, strict=True):
        if found is not None:
            fingerprints.append((RecordInfo(record.id, record.label, split, record.patient_id), found))
    return compare(fingerprints)


def _read_fingerprint(record: Record) -> Fingerprint | None:
    """Return the fingerprint of a radiograph; None if it cannot be read, which the preparation reports."""
    assert record.file is not None
    try:
        return fingerprint.compute(radiograph.read(record.file))
    except radiograph.ImageReadError:
        return None


def warn_of_pairs_across_splits(pairs: Sequence[Pair]) -> str:
    """Return a sentence on the near-duplicates in different splits, which a score would count twice; "" for none."""
    count = sum("split" in pair.difference for pair in pairs)
    if not count:
        return ""
    noun = "pair of near-duplicates is" if count == 1 else "pairs of near-duplicates are"
    return f"{count} {noun} in different splits, see report.json; --duplicates=drop leaves the copies out"


def compare(radiographs: Sequence[tuple[RecordInfo, Fingerprint]]) -> list[Pair]:
    """Find the near-duplicates among radiographs with their fingerprints, in their order."""
    if not radiographs:
        return []
    infos = [info for info, _ in radiographs]
    fingerprints = [fingerprint for _, fingerprint in radiographs]
    pairs = []
    for candidates in progress_bar(fingerprint.find_near(fingerprints), desc="comparing", unit="chunk"):
        for first, second in candidates:
            if _is_harmless(infos[first], infos[second]):
                continue
            similarity = fingerprint.similarity(fingerprints[first].thumbnail, fingerprints[second].thumbnail)
            if similarity >= fingerprint.MIN_SIMILARITY:
                pairs.append(_make_pair(infos[first], infos[second], similarity))
    return pairs


def drop_duplicates(plan: SplitPlan, pairs: Iterable[Pair]) -> tuple[SplitPlan, list[SkippedRecord]]:
    """Keep one of each set of radiographs that pairs connect: the first with a label.

    If their labels disagree, none can be trusted, and the whole set is dropped.

    Returns:
        The plan without the dropped radiographs and without empty splits; and the dropped radiographs.

    Raises:
        PreparationError: nothing is left.
    """
    records = {record.id: record for members in plan.values() for record in members}
    dropped = {}
    for ids in _connected_sets(pairs):
        members = [record for record_id, record in records.items() if record_id in ids]  # in the order of the plan
        for record, reason in _choose_dropped(members):
            dropped[record.id] = SkippedRecord(record.id, reason)
    remaining = {split: [record for record in members if record.id not in dropped] for split, members in plan.items()}
    remaining = {split: members for split, members in remaining.items() if members}
    if not remaining:
        raise PreparationError("every radiograph has a near-duplicate with another label, nothing is left")
    return remaining, [dropped[record_id] for record_id in records if record_id in dropped]


def _is_harmless(first: RecordInfo, second: RecordInfo) -> bool:
    """Return whether a duplicate would do no harm: same known patient, same label, same split."""
    return bool(first.patient_id) and first[1:] == second[1:]


def _make_pair(first: RecordInfo, second: RecordInfo, similarity: float) -> Pair:
    differences = []
    if first.label and second.label and first.label != second.label:
        differences.append("label")
    if first.split != second.split:
        differences.append("split")
    return Pair(
        first=first.id,
        second=second.id,
        first_label=first.label,
        second_label=second.label,
        first_split=first.split,
        second_split=second.split,
        difference=" and ".join(differences),
        similarity=round(similarity, 3),
    )


def _connected_sets(pairs: Iterable[Pair]) -> list[set[str]]:
    """Return the connected sets of ids in the graph of pairs."""
    neighbors = defaultdict(set)
    for pair in pairs:
        neighbors[pair.first].add(pair.second)
        neighbors[pair.second].add(pair.first)
    sets = []
    visited: set[str] = set()
    for start in neighbors:
        connected: set[str] = set()
        frontier = {start} - visited
        while frontier:
            connected |= frontier
            frontier = set().union(*(neighbors[name] for name in frontier)) - connected
        if connected:
            sets.append(connected)
            visited |= connected
    return sets


def _choose_dropped(members: Sequence[Record]) -> list[tuple[Record, str]]:
    """Return the radiographs of one image that are dropped, with the reasons."""
    labeled = [record for record in members if record.label]
    if len({record.label for record in labeled}) < 2:
        retained = (labeled or members)[0]
        reason = f"near-duplicate of {retained.id}, which is kept"
        return [(record, reason) for record in members if record is not retained]
    dropped = []
    for record in members:
        other = next(candidate for candidate in labeled if candidate.label != record.label)
        dropped.append((record, f"near-duplicate of {other.id}, whose label is {other.label}"))
    return dropped
