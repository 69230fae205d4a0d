"""Who is in which split: by patient, stratified by label and source, the same from the same seed.

A split is decided for a patient, not for a radiograph; a radiograph without a patient counts as one of its own.
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
from data_prep.collections.cells import read_patient, read_split
from data_prep.collections.patients import is_pseudonym
from data_prep.record import PreparationError, Record, SkippedRecord, SplitPlan

SPLIT_NAMES = ("train", "val", "test")
COLUMNS = ("id", "patient_id", "split")


def assign_splits(rows: Sequence[Record], shares: Mapping[str, float], seed: int) -> SplitPlan:
    """Puts every patient into a split.

    Within a stratum (a label of a source) patients stand in an order drawn from the seed, and each goes to the split
    in whose share of the radiographs its middle falls. The draw hashes the patient's name, so that one patient more
    or less upsets few others.

    Args:
        rows: the radiographs; those whose `split` says where they have to be bind their patient.
        shares: split name -> share of the radiographs, adding up to 1.
        seed: of the draw.

    Returns:
        The plan: only splits that hold anything; a split's rows in the order of `rows`.

    Raises:
        PreparationError: a patient whose rows have to be in different splits.
    """
    patients: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        patients[_patient(row)].append(row)
    bound = {name: _bound(name, group) for name, group in patients.items()}
    common = Counter((row.label, row.source) for row in rows)
    strata: dict[tuple, list[str]] = defaultdict(list)
    for name, group in patients.items():
        rarest = min({(row.label, row.source) for row in group}, key=lambda stratum: (common[stratum], stratum))
        strata[rarest, bound[name]].append(name)
    where = {}
    for (_, choice), names in sorted(strata.items()):
        drawn = {_draw_name(name, patients[name]): name for name in names}
        sizes = {draw: len(patients[name]) for draw, name in drawn.items()}
        where |= {drawn[draw]: split for draw, split in _share_out(sizes, _among(shares, choice), seed).items()}
    plan: SplitPlan = {split: [] for split in [*shares, *sorted(set(where.values()) - set(shares))]}
    for row in rows:
        plan[where[_patient(row)]].append(row)
    return {split: kept for split, kept in plan.items() if kept}


def parse_shares(text: str, default: Sequence[float]) -> dict[str, float]:
    """Shares of train, val and test from "0.7,0.1,0.2"; the default where the text is empty.

    Raises:
        PreparationError: not three shares that add up to 1.
    """
    try:
        shares = [float(part) for part in text.split(",")] if text else list(default)
    except ValueError:
        shares = []
    if len(shares) != len(SPLIT_NAMES) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise PreparationError(f"--split={text}: three shares that add up to 1 are needed, such as 0.7,0.1,0.2")
    return dict(zip(SPLIT_NAMES, shares, strict=True))


def name_folds(count: int) -> dict[str, float]:
    """Equal shares of `count` folds for cross-validation: fold0, fold1, ..."""
    return {f"fold{k}": 1 / count for k in range(count)}


def read_table(path: Path) -> dict[tuple[str, str], str]:
    """Reads a CSV of splits: columns split, and id or patient_id or both.

    Returns:
        ("id", name) or ("patient", name) -> split; a row that has both says so of both.

    Raises:
        PreparationError: missing, not such a file, or it says two things of one name.
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
    known: dict[tuple[str, str], str] = {}
    for fields in rows:
        patient, name = (csv_text.restore((fields.get(column) or "").strip()) for column in ("patient_id", "id"))
        named = {"patient": read_patient(patient), "id": name}
        split = read_split(csv_text.restore((fields["split"] or "").strip()))
        if any(named.values()) and not re.fullmatch(r"[A-Za-z]\w*", split):
            raise PreparationError(f"{path}: {name or patient} has no usable split ({split!r})")
        for kind, name in named.items():
            if name and known.setdefault((kind, name), split) != split:
                raise PreparationError(f"{path}: {kind} {name} is in two splits, {known[kind, name]} and {split}")
    return known


def assign_fixed_splits(
    rows: Iterable[Record], known: Mapping[tuple[str, str], str], only: str = ""
) -> tuple[list[Record], list[SkippedRecord]]:
    """Binds radiographs to the splits that a table names, by their id or else by their patient.

    Args:
        rows: the radiographs.
        known: of `read_table`.
        only: name of the table if what it does not name has to be left out; "" if that may be in any split.

    Returns:
        The rows, and what is left out.
    """
    kept, left = [], []
    for row in rows:
        split = known.get(("id", row.id)) or known.get(("patient", row.patient_id), "")
        if split:
            kept.append(replace(row, split=split))
        elif only:
            left.append(SkippedRecord(row.id, f"in no split of {only}"))
        else:
            kept.append(row)
    return kept, left


def format_table(plan: SplitPlan) -> str:
    """A CSV of who is where, as `read_table` reads it."""
    rows = ((row.id, row.patient_id, split) for split, rows in plan.items() for row in rows)
    return csv_text.format_rows([COLUMNS, *rows], end="\n")


def _patient(row: Record) -> str:
    return f"patient {row.patient_id}" if row.patient_id else f"radiograph {row.id}"


def _draw_name(name: str, group: Sequence[Record]) -> str:
    """What a patient is drawn by: a pseudonym differs from user to user, and the split must not."""
    if is_pseudonym(group[0].patient_id):
        return f"radiograph {min(row.id for row in group)}"
    return name


def _bound(name: str, group: Sequence[Record]) -> tuple[str, ...]:
    """The splits that all rows of a patient allow; none named means any."""
    choices = [set(row.split.split("|")) for row in group if row.split]
    allowed = set.intersection(*choices) if choices else set()
    if choices and not allowed:
        named = dict.fromkeys(row.split for row in group if row.split)
        raise PreparationError(f"{name} is in two splits, {' and '.join(named)}")
    return tuple(sorted(allowed))


def _among(shares: Mapping[str, float], choice: Sequence[str]) -> dict[str, float]:
    """The shares within the splits to choose from; equal where none of them has one."""
    if not choice:
        return dict(shares)
    total = sum(shares.get(split, 0) for split in choice)
    return {split: shares.get(split, 0) / total if total else 1 / len(choice) for split in choice}


def _share_out(sizes: Mapping[str, int], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Patient -> split, for patients of so many radiographs each."""
    total, end = sum(sizes.values()), 0.0
    bounds = [(split, end := end + share * total) for split, share in shares.items() if share]
    where, before = {}, 0
    for name in sorted(
        sizes, key=lambda name: hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest()
    ):
        middle = before + sizes[name] / 2
        where[name] = next((split for split, end in bounds if middle < end), bounds[-1][0])
        before += sizes[name]
    return where
