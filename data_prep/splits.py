"""Assign radiographs to splits: by patient, stratified by label or findings and source, reproducible from a seed.

All radiographs of a patient are in one split; a radiograph without a patient counts as a patient of its own.
"""

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cxrjax.io import csv_text
from data_prep import stratify
from data_prep.collections.cells import read_patient, read_split
from data_prep.collections.patients import is_pseudonym
from data_prep.record import PreparationError, Record, SkippedRecord, SplitPlan

SPLIT_NAMES = ("train", "val", "test")
COLUMNS = ("id", "patient_id", "split")


def assign_splits(records: Sequence[Record], ratios: Mapping[str, float], seed: int) -> SplitPlan:
    """Assign every patient to a split.

    In each stratum (a label of a source), the patients are ordered by a hash of the seed and their names, and the
    radiographs in that order are divided into one range per split. A patient is assigned to the split whose range
    contains the middle one of the patient's radiographs. Because names are hashed, adding or removing a patient moves
    few others. Radiographs with several findings are divided by `stratify.stratify` instead, which keeps the share of
    each finding and source.

    Args:
        records: the radiographs; the `split` of a record, if set, is that of its patient.
        ratios: split name -> fraction of the radiographs; they sum to 1.
        seed: seed of the order of patients.

    Returns:
        The nonempty splits; the radiographs of a split are in the order of `records`.

    Raises:
        PreparationError: the radiographs of a patient require different splits.
    """
    patients: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        patients[_patient_name(record)].append(record)
    allowed_splits = {name: _allowed_splits(name, group) for name, group in patients.items()}
    if any(record.findings for record in records):
        return _make_plan(records, _stratify_findings(patients, allowed_splits, ratios, seed), ratios)
    frequency = Counter((record.label, record.source) for record in records)
    strata: dict[tuple, list[str]] = defaultdict(list)
    for name, group in patients.items():
        rarest = min({(record.label, record.source) for record in group}, key=lambda pair: (frequency[pair], pair))
        strata[rarest, allowed_splits[name]].append(name)
    split_of: dict[str, str] = {}
    for (_, allowed), names in sorted(strata.items()):
        names_by_key = {_hash_key(name, patients[name]): name for name in names}
        sizes = {key: len(patients[name]) for key, name in names_by_key.items()}
        assigned = _divide(sizes, _restrict(ratios, allowed), seed)
        split_of |= {names_by_key[key]: split for key, split in assigned.items()}
    return _make_plan(records, split_of, ratios)


def _stratify_findings(
    patients: Mapping[str, Sequence[Record]],
    allowed_splits: Mapping[str, tuple[str, ...]],
    ratios: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """Return the split of each patient, by `stratify.stratify` where a patient may be in several splits."""
    split_of: dict[str, str] = {}
    for allowed in sorted(set(allowed_splits.values())):
        names_by_key = {
            _hash_key(name, records): name for name, records in patients.items() if allowed_splits[name] == allowed
        }
        shares = _restrict(ratios, allowed)
        members = {key: patients[name] for key, name in names_by_key.items()}
        assigned = stratify.stratify(members, shares, seed)
        split_of |= {names_by_key[key]: split for key, split in assigned.items()}
    return split_of


def _make_plan(records: Sequence[Record], split_of: Mapping[str, str], ratios: Mapping[str, float]) -> SplitPlan:
    """Return the radiographs of each nonempty split, in the order of `records`."""
    plan: SplitPlan = {split: [] for split in [*ratios, *sorted(set(split_of.values()) - set(ratios))]}
    for record in records:
        plan[split_of[_patient_name(record)]].append(record)
    return {split: members for split, members in plan.items() if members}


def name_ratios(ratios: Sequence[float]) -> dict[str, float]:
    """Return the ratios of train, val and test by name.

    Raises:
        PreparationError: they are not three numbers that sum to 1.
    """
    if len(ratios) != len(SPLIT_NAMES) or min(ratios) < 0 or abs(sum(ratios) - 1) > 1e-6:
        raise PreparationError(
            f"--split_ratios={format_ratios(ratios)}: three ratios that sum to 1 are needed, such as 0.7,0.1,0.2"
        )
    return dict(zip(SPLIT_NAMES, ratios, strict=True))


def format_ratios(ratios: Sequence[float]) -> str:
    """Return ratios as the command line writes them, such as "0.7,0.1,0.2" or "1,0,0"."""
    return ",".join(str(ratio).removesuffix(".0") for ratio in ratios)


def name_folds(count: int) -> dict[str, float]:
    """Return equal ratios of `count` folds for cross-validation: fold0, fold1, ..."""
    return {f"fold{k}": 1 / count for k in range(count)}


def read_table(path: Path) -> dict[tuple[str, str], str]:
    """Read a CSV of splits: columns split, and id or patient_id or both.

    Returns:
        ("id", name) or ("patient", name) -> split; a row with both columns gives both entries.

    Raises:
        PreparationError: the file is missing, is not such a CSV, or gives two splits for one name.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PreparationError(f"{path}: {getattr(error, 'strerror', None) or 'not a CSV file in UTF-8'}") from error
    table = csv.DictReader(io.StringIO(text, newline=""))
    try:
        rows = list(table)
    except csv.Error as error:
        raise PreparationError(f"{path}: not a CSV file ({error})") from error
    columns = table.fieldnames or []
    if "split" not in columns or not {"id", "patient_id"} & set(columns):
        raise PreparationError(f"{path}: columns split, and id or patient_id, are needed")
    splits: dict[tuple[str, str], str] = {}
    for fields in rows:
        patient = csv_text.restore((fields.get("patient_id") or "").strip())
        image_id = csv_text.restore((fields.get("id") or "").strip())
        names = {"patient": read_patient(patient), "id": image_id}
        split = read_split(csv_text.restore((fields["split"] or "").strip()))
        if any(names.values()) and not re.fullmatch(r"[A-Za-z]\w*", split):
            raise PreparationError(f"{path}: {image_id or patient} has no usable split ({split!r})")
        for kind, name in names.items():
            if name and splits.setdefault((kind, name), split) != split:
                raise PreparationError(f"{path}: {kind} {name} is in two splits, {splits[kind, name]} and {split}")
    return splits


def assign_fixed_splits(
    records: Iterable[Record], splits: Mapping[tuple[str, str], str], required_by: str = ""
) -> tuple[list[Record], list[SkippedRecord]]:
    """Assign radiographs to the splits of a table, by their id or otherwise by their patient.

    Args:
        records: the radiographs.
        splits: see `read_table`.
        required_by: name of the table if radiographs that it does not contain are skipped; "" if they may be in any
            split.

    Returns:
        The radiographs, and those that are skipped.
    """
    assigned = []
    skipped = []
    for record in records:
        split = splits.get(("id", record.id)) or splits.get(("patient", record.patient_id), "")
        if split:
            assigned.append(replace(record, split=split))
        elif required_by:
            skipped.append(SkippedRecord(record.id, f"in no split of {required_by}"))
        else:
            assigned.append(record)
    return assigned, skipped


def format_table(plan: SplitPlan) -> str:
    """Return the CSV of a plan, which `read_table` reads."""
    rows = ((record.id, record.patient_id, split) for split, records in plan.items() for record in records)
    return csv_text.format_rows([COLUMNS, *rows], end="\n")


def _patient_name(record: Record) -> str:
    return f"patient {record.patient_id}" if record.patient_id else f"radiograph {record.id}"


def _hash_key(name: str, group: Sequence[Record]) -> str:
    """Return the text whose hash orders a patient; no pseudonym, so that the splits of all users are the same."""
    if is_pseudonym(group[0].patient_id):
        return f"radiograph {min(record.id for record in group)}"
    return name


def _allowed_splits(name: str, group: Sequence[Record]) -> tuple[str, ...]:
    """Return the splits that all radiographs of a patient allow; () if all splits are allowed."""
    choices = [set(record.split.split("|")) for record in group if record.split]
    allowed = set.intersection(*choices) if choices else set()
    if choices and not allowed:
        required = dict.fromkeys(record.split for record in group if record.split)
        raise PreparationError(f"{name} is in two splits, {' and '.join(required)}")
    return tuple(sorted(allowed))


def _restrict(ratios: Mapping[str, float], allowed: Sequence[str]) -> dict[str, float]:
    """Return the ratios within the allowed splits; equal ratios if none of them has one."""
    if not allowed:
        return dict(ratios)
    total = sum(ratios.get(split, 0) for split in allowed)
    return {split: ratios.get(split, 0) / total if total else 1 / len(allowed) for split in allowed}


def _divide(sizes: Mapping[str, int], ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    """Return the split of each patient, given the number of radiographs of each."""
    total = sum(sizes.values())
    end = 0.0
    bounds = []
    for split, ratio in ratios.items():
        if ratio:
            end += ratio * total
            bounds.append((split, end))

    def hash_name(name: str) -> bytes:
        return hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest()

    split_of = {}
    count = 0
    for name in sorted(sizes, key=hash_name):
        middle = count + sizes[name] / 2
        split_of[name] = next((split for split, end in bounds if middle < end), bounds[-1][0])
        count += sizes[name]
    return split_of
