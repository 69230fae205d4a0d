"""The data card of a prepared data set: what is in it, and what goes wrong with it if nobody looks.

`OUT/NAME/VERSION/card/` gets `card.json` (the facts), `card.md` (the same for people) and `sheet.png` (pictures).
"""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cxrjax.io.radiograph import ImageReadError
from data_prep import splits
from data_prep.checks import confounding
from data_prep.collections.patients import STUDY, is_pseudonym
from data_prep.dataset_card import contact_sheet, markdown
from data_prep.dataset_reader import decode_text, find_dataset, open_builder, open_splits, read_records, read_report
from data_prep.example import LABELS, encode_png
from data_prep.record import PreparationError

FOLDER, FACTS, TEXT, SHEET = "card", "card.json", "card.md", "sheet.png"
AGES = (18, 40, 60, 80)  # years; where the next band begins
QUANTILES = {"smallest": 0, "25%": 0.25, "median": 0.5, "75%": 0.75, "largest": 1}
COUNTED = ("label", "source", "sex", "age", "view", "mask", "lesions", "licence")
UNKNOWN = "not known"

Fact = dict[str, Any]


def describe(folders: Sequence[str]) -> str:
    """Writes the data card of each data set.

    Args:
        folders: OUT/NAME or OUT/NAME/VERSION of each.

    Returns:
        A line a data set, followed by its warnings.

    Raises:
        PreparationError: a folder holds no prepared data set.
    """
    lines = []
    for version in dict.fromkeys(map(find_dataset, folders)):
        facts = [_state(split, number, record) for split, number, record in _read(version)]
        if not facts:
            raise PreparationError(f"{version}: it holds no radiograph; prepare the data set again")
        told = summarize(version, facts)
        folder = version / FOLDER
        try:
            sheet = _draw(version, facts)
        except ImageReadError as error:
            raise PreparationError(f"{version}: damaged, {error}; prepare the data set again") from error
        if folder.is_symlink():
            raise PreparationError(f"{folder}: a link, so that the card would be written elsewhere; remove it")
        try:
            folder.mkdir(exist_ok=True)
            _write(folder / SHEET, encode_png(sheet))
            _write(folder / FACTS, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
            _write(folder / TEXT, markdown.to_markdown(told, SHEET).encode())
        except OSError as error:
            raise PreparationError(f"{error.filename or folder}: {error.strerror or error}") from error
        lines += [f"described {len(facts)} radiographs: {folder / TEXT}"]
        lines += [f"warning: {sentence}" for sentence in told["warnings"]]
    return "\n".join(lines)


def summarize(version: Path, facts: Sequence[Fact]) -> dict[str, Any]:
    """The facts of a card, as JSON values."""
    info = open_builder(version).info
    report = read_report(version)
    guesses = [confounding.predict_label(facts, attribute) for attribute in ("source", "view", "resolution")]
    guesses = [guess for guess in guesses if guess]
    only = confounding.labels_of_one_source(facts)
    names = list(dict.fromkeys(fact["split"] for fact in facts))
    return {
        "name": info.name,
        "version": str(info.version),
        "about": info.description,
        "citation": info.citation,
        "radiographs": len(facts),
        "splits": sorted(
            names, key=lambda name: splits.SPLIT_NAMES.index(name) if name in splits.SPLIT_NAMES else len(names)
        ),
        "patients": _count_patients(facts),
        "counts": {attribute: _count(facts, attribute) for attribute in COUNTED},
        "label_and_source": _cross(facts, "label", "source"),
        "resolution": _measure(facts),
        "guesses": [guess._asdict() for guess in guesses],
        "labels_of_one_source": only,
        "duplicates": {"setting": report["settings"]["duplicates"], "pairs": report["duplicates"]},
        "skipped": report["skipped"],
        "warnings": markdown.describe_warnings(guesses, only, report),
    }


def _read(version: Path) -> Iterable[tuple[str, int, dict[str, Any]]]:
    return tqdm(read_records(version), desc=f"describing {version.parent.name}", unit="radiograph", delay=2)


def _state(split: str, number: int, record: dict[str, Any]) -> Fact:
    """What the card needs of a radiograph, without its picture."""
    height, width = int(record["height"]), int(record["width"])
    return {
        "split": split,
        "number": number,
        "patient": record["patient_id"],
        "label": record["label"],
        "source": record["source"] or UNKNOWN,
        "sex": record["sex"] or UNKNOWN,
        "age": _name_age(record["age"]),
        "view": record["view"] or UNKNOWN,
        "mask": record["mask_kind"] or "none",
        "lesions": "map given" if record["lesions"] else "no map",
        "licence": record["licence"] or UNKNOWN,
        "height": height,
        "width": width,
        "resolution": _name_size(height, width),
    }


def _name_age(years: float) -> str:
    if math.isnan(years):
        return UNKNOWN
    above = [age for age in AGES if years >= age]
    if not above:
        return f"under {AGES[0]}"
    return f"{above[-1]} to {AGES[len(above)] - 1}" if len(above) < len(AGES) else f"{above[-1]} and over"


def _name_size(height: int, width: int) -> str:
    """Long side to two digits and aspect ratio to one decimal: exact sizes seldom come twice."""
    long = max(height, width)
    return f"{round(long, 1 - int(math.log10(long)))} px, {width / height:.1f} as wide as high"


def _count_patients(facts: Sequence[Fact]) -> dict[str, dict[str, int]]:
    patients = defaultdict(set)
    unnamed = Counter()
    for fact in facts:
        is_known = fact["patient"] and not is_pseudonym(fact["patient"], STUDY)
        patients[fact["split"]].add(fact["patient"] if is_known else "")
        unnamed[fact["split"]] += not is_known
    return {
        split: {"patients": len(ids - {""}), "radiographs without": unnamed[split]} for split, ids in patients.items()
    }


def _count(facts: Sequence[Fact], attribute: str) -> dict[str, dict[str, int]]:
    return _cross(facts, attribute, "split")


def _cross(facts: Sequence[Fact], rows: str, columns: str) -> dict[str, dict[str, int]]:
    """Radiographs by two attributes; labels in the order of `LABELS`, all else the most frequent first."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for fact in facts:
        counts[fact[rows] or "unlabelled"][fact[columns]] += 1

    def order(name: str) -> tuple:
        return (LABELS.index(name) if name in LABELS else len(LABELS)) if rows == "label" else 0, -counts[name].total()

    return {name: dict(counts[name]) for name in sorted(counts, key=order)}


def _measure(facts: Sequence[Fact]) -> dict[str, dict[str, dict[str, int]]]:
    """Quantiles of width and height in pixels, of all sources together and of each."""
    groups = {"all": facts}
    for source in _count(facts, "source"):
        groups[source] = [fact for fact in facts if fact["source"] == source]
    if len(groups) == 2:
        groups = {"all": facts}
    return {
        name: {
            side: {
                title: round(float(np.quantile([fact[side] for fact in group], share)))
                for title, share in QUANTILES.items()
            }
            for side in ("width", "height")
        }
        for name, group in groups.items()
    }


def _draw(version: Path, facts: Sequence[Fact]) -> np.ndarray:
    """The contact sheet: a row for each label of a source."""
    groups = defaultdict(list)
    for fact in facts:
        groups[fact["label"] or "unlabelled", fact["source"]].append(fact)
    order = [*LABELS, *sorted({label for label, _ in groups} - set(LABELS))]
    largest = sorted(groups, key=lambda key: -len(groups[key]))[: contact_sheet.ROWS]
    records = open_splits(version)
    rows = []
    for key in sorted(largest, key=lambda key: (order.index(key[0]), key[1])):
        group = groups[key]
        places = np.linspace(0, len(group) - 1, min(contact_sheet.COLUMNS, len(group))).round().astype(int)
        shown = [decode_text(records[group[at]["split"]][group[at]["number"]]) for at in places]
        rows.append((f"{key[0]} - {key[1]}: {len(group)}", shown))
    left = len(groups) - len(largest)
    return contact_sheet.draw_contact_sheet(rows, f"and {left} more labels of sources" if left else "")


def _write(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.part")
    temporary.unlink(missing_ok=True)  # it may be a link to a file of somebody else's
    with temporary.open("xb") as stream:
        stream.write(data)
    os.replace(temporary, file)
