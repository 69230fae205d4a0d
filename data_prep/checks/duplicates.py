"""Near-duplicates: the same radiograph under two names, re-encoded, resized, brightened or cropped.

Two radiographs of one patient that are alike, in one split and with one label, do no harm and are not told.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tqdm import tqdm

from cxrjax.io import radiograph
from data_prep.checks import fingerprint
from data_prep.checks.fingerprint import Fingerprint
from data_prep.record import PreparationError, Record, SkippedRecord, SplitPlan


class RecordInfo(NamedTuple):
    """What is known of a radiograph besides its picture; "" for nothing."""

    id: str
    label: str
    split: str
    patient_id: str


class Pair(NamedTuple):
    """Two radiographs that are the same picture.

    Attributes:
        one: id of the earlier.
        other: id of the later.
        one_label: "" for none; so for the next three.
        other_label: of the later.
        one_split: of the earlier.
        other_split: of the later.
        difference: "label", "split", "label and split" or "": what they do not agree in.
        likeness: of their detail, at most 1, see `fingerprint.likeness`.
    """

    one: str
    other: str
    one_label: str
    other_label: str
    one_split: str
    other_split: str
    difference: str
    likeness: float


def find_duplicates(plan: SplitPlan) -> list[Pair]:
    """Near-duplicates among all radiographs of a plan that can be read; those that are drawn are passed over."""
    rows = [(split, row) for split, rows in plan.items() for row in rows if row.file]
    taken = []
    for split, row in tqdm(rows, desc="looking for near-duplicates", unit="radiograph", delay=2):
        try:
            found = radiograph.read(row.file)
        except radiograph.ImageReadError:
            continue  # the preparation says so
        taken.append((RecordInfo(row.id, row.label, split, row.patient_id), fingerprint.compute(found)))
    return compare(taken)


def compare(taken: Sequence[tuple[RecordInfo, Fingerprint]]) -> list[Pair]:
    """Near-duplicates among radiographs whose fingerprints are taken, in their order."""
    if not taken:
        return []
    known, fingerprints = [one for one, _ in taken], [one for _, one in taken]
    pairs = []
    for near in tqdm(fingerprint.find_near(fingerprints), desc="comparing", unit="portion", delay=2):
        for one, other in near:
            if _agree(known[one], known[other]):
                continue
            likeness = fingerprint.likeness(fingerprints[one].thumbnail, fingerprints[other].thumbnail)
            if likeness >= fingerprint.SAME_LIKENESS:
                pairs.append(_pair(known[one], known[other], likeness))
    return pairs


def drop_duplicates(plan: SplitPlan, pairs: Iterable[Pair]) -> tuple[SplitPlan, list[SkippedRecord]]:
    """Keeps one of each set of radiographs that pairs connect: the first that has a label.

    Where labels disagree none of them can be trusted, and the whole set goes.

    Returns:
        The plan without the others, without splits that are empty then; and what was dropped.

    Raises:
        PreparationError: nothing is left.
    """
    rows = {row.id: row for rows in plan.values() for row in rows}
    skips = {}
    for names in _connect(pairs):
        members = [row for name, row in rows.items() if name in names]  # in the order of the plan
        for row, reason in _choose(members):
            skips[row.id] = SkippedRecord(row.id, reason)
    kept = {split: [row for row in rows if row.id not in skips] for split, rows in plan.items()}
    kept = {split: rows for split, rows in kept.items() if rows}
    if not kept:
        raise PreparationError("every radiograph has a near-duplicate with another label, nothing is left")
    return kept, [skips[name] for name in rows if name in skips]


def _agree(one: RecordInfo, other: RecordInfo) -> bool:
    """Whether it would not matter that they are the same: one patient, one label, one split."""
    return bool(one.patient_id) and one[1:] == other[1:]


def _pair(one: RecordInfo, other: RecordInfo, likeness: float) -> Pair:
    differences = []
    if one.label and other.label and one.label != other.label:
        differences.append("label")
    if one.split != other.split:
        differences.append("split")
    difference = " and ".join(differences)
    labels, splits = (one.label, other.label), (one.split, other.split)
    return Pair(one.id, other.id, *labels, *splits, difference, round(likeness, 3))


def _connect(pairs: Iterable[Pair]) -> list[set[str]]:
    """Sets of ids that are linked, by one pair or by several in a row."""
    linked = defaultdict(set)
    for pair in pairs:
        linked[pair.one].add(pair.other)
        linked[pair.other].add(pair.one)
    sets, seen = [], set()
    for name in linked:
        reached, ahead = set(), {name} - seen
        while ahead:
            reached |= ahead
            ahead = set().union(*(linked[one] for one in ahead)) - reached
        if reached:
            sets.append(reached)
            seen |= reached
    return sets


def _choose(members: Sequence[Record]) -> list[tuple[Record, str]]:
    """Which of the same picture have to go, and why."""
    labelled = [row for row in members if row.label]
    if len({row.label for row in labelled}) < 2:
        kept = (labelled or members)[0]
        return [(row, f"near-duplicate of {kept.id}, which is kept") for row in members if row is not kept]
    gone = []
    for row in members:
        other = next(one for one in labelled if one.label != row.label)
        gone.append((row, f"near-duplicate of {other.id}, whose label is {other.label}"))
    return gone
