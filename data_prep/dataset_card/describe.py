"""Write the data card of a prepared data set: its content, and warnings about its use.

`OUT/NAME/VERSION/card/` gets `card.json` (the statistics), `card.md` (the same as text) and `sheet.png` (example
images).
"""

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.config import LABELS
from cxrjax.io.findings import SEPARATOR
from cxrjax.io.radiograph import ImageReadError
from cxrjax.runtime.formatting import format_count
from cxrjax.runtime.progress import progress_bar
from data_prep import splits
from data_prep.checks import confounding
from data_prep.collections.patients import STUDY, is_pseudonym
from data_prep.dataset_card import contact_sheet, markdown
from data_prep.dataset_reader import decode_text, find_dataset, open_builder, open_splits, read_records, read_report
from data_prep.example import encode_png
from data_prep.record import NO_LABEL, PreparationError

FOLDER = "card"
FACTS = "card.json"
TEXT = "card.md"
SHEET = "sheet.png"
AGES = (18, 40, 60, 80)  # years; lower limits of the age groups
QUANTILES = {"smallest": 0, "25%": 0.25, "median": 0.5, "75%": 0.75, "largest": 1}
COUNTED = ("label", "source", "sex", "age", "view", "mask", "lesions", "license")
UNKNOWN = "not known"

Fact = dict[str, Any]


def describe(folders: Sequence[str]) -> str:
    """Write the data cards of some data sets.

    Args:
        folders: OUT/NAME or OUT/NAME/VERSION of each.

    Returns:
        One line per data set, followed by its warnings.

    Raises:
        PreparationError: a folder holds no prepared data set.
    """
    lines = []
    for version in dict.fromkeys(map(find_dataset, folders)):
        facts = [_collect_facts(split, index, record) for split, index, record in _read(version)]
        if not facts:
            raise PreparationError(f"{version}: it holds no radiograph; prepare the data set again")
        card = summarize(version, facts)
        folder = version / FOLDER
        try:
            sheet = _draw_sheet(version, facts)
        except ImageReadError as error:
            raise PreparationError(f"{version}: damaged, {error}; prepare the data set again") from error
        if folder.is_symlink():
            raise PreparationError(f"{folder}: is a link, so the card would be written elsewhere; remove it")
        try:
            folder.mkdir(exist_ok=True)
            _write(folder / SHEET, encode_png(sheet))
            _write(folder / FACTS, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
            _write(folder / TEXT, markdown.to_markdown(card, SHEET).encode())
        except OSError as error:
            raise PreparationError(f"{error.filename or folder}: {error.strerror or error}") from error
        lines += [f"described {format_count(len(facts), 'radiograph')}: {folder / TEXT}"]
        lines += [f"warning: {sentence}" for sentence in card["warnings"]]
    return "\n".join(lines)


def summarize(version: Path, facts: Sequence[Fact]) -> dict[str, Any]:
    """Return the content of `card.json` as JSON values."""
    info = open_builder(version).info
    report = read_report(version)
    findings_of_splits = report.get("findings")
    attributes = () if findings_of_splits else ("source", "view", "resolution")
    results = [confounding.predict_label(facts, attribute) for attribute in attributes]
    baselines = [baseline for baseline in results if baseline]
    labeled = _by_finding(facts)
    single_sources = confounding.labels_of_one_source(labeled)
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
        "counts": {attribute: _count_by_split(facts, attribute) for attribute in COUNTED}
        | {"label": _count_by_split(labeled, "label")},
        "label_and_source": _cross_tabulate(labeled, "label", "source"),
        **({"findings": findings_of_splits} if findings_of_splits else {}),
        "resolution": _resolution_quantiles(facts),
        "baselines": [baseline._asdict() for baseline in baselines],
        "labels_of_one_source": single_sources,
        "duplicates": {"setting": report["settings"]["duplicates"], "pairs": report["duplicates"]},
        "skipped": report["skipped"],
        "warnings": markdown.describe_warnings(baselines, single_sources, report),
    }


def _read(version: Path) -> Iterable[tuple[str, int, dict[str, Any]]]:
    return progress_bar(read_records(version), desc=f"describing {version.parent.name}", unit="radiograph")


def _collect_facts(split: str, index: int, record: dict[str, Any]) -> Fact:
    """Return the metadata of a radiograph that the card needs, without its pixels."""
    height = int(record["height"])
    width = int(record["width"])
    return {
        "split": split,
        "index": index,
        "patient": record["patient_id"],
        "label": record["label"],
        "labels": record["label"].split(SEPARATOR) if "findings" in record else [record["label"]],
        "source": record["source"] or UNKNOWN,
        "sex": record["sex"] or UNKNOWN,
        "age": _age_group(record["age"]),
        "view": record["view"] or UNKNOWN,
        "mask": record["mask_kind"] or "none",
        "lesions": "map given" if record["lesions"] else "no map",
        "license": record["license"] or UNKNOWN,
        "height": height,
        "width": width,
        "resolution": _resolution_class(height, width),
    }


def _by_finding(facts: Sequence[Fact]) -> list[Fact]:
    """Return a fact for each positive finding of a radiograph, as its label; a single label stays as it is."""
    return [fact | {"label": label} for fact in facts for label in fact["labels"]]


def _age_group(years: float) -> str:
    if math.isnan(years):
        return UNKNOWN
    limits = [age for age in AGES if years >= age]
    if not limits:
        return f"under {AGES[0]}"
    return f"{limits[-1]} to {AGES[len(limits)] - 1}" if len(limits) < len(AGES) else f"{limits[-1]} and over"


def _resolution_class(height: int, width: int) -> str:
    """Return the long side to two digits and the aspect ratio to one decimal, since exact sizes are rarely equal."""
    long_side = max(height, width)
    return f"{round(long_side, 1 - int(math.log10(long_side)))} px, {width / height:.1f} as wide as high"


def _count_patients(facts: Sequence[Fact]) -> dict[str, dict[str, int]]:
    patients: dict[str, set[str]] = defaultdict(set)
    without: Counter[str] = Counter()
    for fact in facts:
        is_known = fact["patient"] and not is_pseudonym(fact["patient"], STUDY)
        patients[fact["split"]].add(fact["patient"] if is_known else "")
        without[fact["split"]] += not is_known
    return {
        split: {"patients": len(ids - {""}), "radiographs without": without[split]} for split, ids in patients.items()
    }


def _count_by_split(facts: Sequence[Fact], attribute: str) -> dict[str, dict[str, int]]:
    return _cross_tabulate(facts, attribute, "split")


def _cross_tabulate(facts: Sequence[Fact], rows: str, columns: str) -> dict[str, dict[str, int]]:
    """Count radiographs by two attributes; labels in the order of `LABELS`, other values by descending frequency."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for fact in facts:
        counts[fact[rows] or NO_LABEL][fact[columns]] += 1

    def sort_key(name: str) -> tuple[int, int]:
        label_index = LABELS.index(name) if name in LABELS else len(LABELS)
        return label_index if rows == "label" else 0, -counts[name].total()

    return {name: dict(counts[name]) for name in sorted(counts, key=sort_key)}


def _resolution_quantiles(facts: Sequence[Fact]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the quantiles of width and height in pixels, of all sources together and of each."""
    groups = {"all": facts}
    for source in _count_by_split(facts, "source"):
        groups[source] = [fact for fact in facts if fact["source"] == source]
    if len(groups) == 2:
        groups = {"all": facts}
    return {
        name: {
            side: {
                title: round(float(np.quantile([fact[side] for fact in group], quantile)))
                for title, quantile in QUANTILES.items()
            }
            for side in ("width", "height")
        }
        for name, group in groups.items()
    }


def _draw_sheet(version: Path, facts: Sequence[Fact]) -> np.ndarray:
    """Draw the contact sheet: one row per label of a source."""
    groups = defaultdict(list)
    for fact in _by_finding(facts):
        groups[fact["label"] or NO_LABEL, fact["source"]].append(fact)
    labels = [*LABELS, *sorted({label for label, _ in groups} - set(LABELS))]
    largest = sorted(groups, key=lambda key: -len(groups[key]))[: contact_sheet.MAX_ROWS]
    records = open_splits(version)
    rows = []
    for label, source in sorted(largest, key=lambda key: (labels.index(key[0]), key[1])):
        group = groups[label, source]
        positions = np.linspace(0, len(group) - 1, min(contact_sheet.COLUMNS, len(group))).round().astype(int)
        chosen = [group[position] for position in positions]
        examples = [decode_text(records[fact["split"]][fact["index"]]) for fact in chosen]
        rows.append((f"{label} - {source}: {len(group)}", examples))
    omitted = len(groups) - len(largest)
    return contact_sheet.draw_contact_sheet(
        rows, f"and {format_count(omitted, 'more label')} of sources" if omitted else ""
    )


def _write(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.part")
    temporary.unlink(missing_ok=True)  # it may be a link to another file
    with temporary.open("xb") as stream:
        stream.write(data)
    os.replace(temporary, file)
