"""A CSV file of radiographs.

Columns: path and label, which are needed; dataset (or source), patient_id, split, mask, mask_kind, view,
upstream_label, sex, age, licence, which may be absent or empty. Paths of images and masks are relative to --from, else
to the table's folder.
"""

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.collections.cells import is_blank, is_missing, normalize_number, read_patient, read_split
from data_prep.collections.dicom import read_frontal
from data_prep.collections.labels import describe_merged_spellings, find_multi_label, unify_spellings
from data_prep.example import LUNGS, STRUCTURES, UNKNOWN, Example
from data_prep.record import LABEL_MAP, PreparationError, Record, RecordError, SkippedRecord
from data_prep.source import Source
from data_prep.table.files import find_file
from data_prep.table.reader import TableContent, TableRow, read_table


class Table(Source):
    """Radiographs that a CSV file names, one a row."""

    name = "table"
    description = "radiographs named by a CSV file (path, label, and what else is known), with their masks"
    homepage = "yours: --csv=TABLE.csv, and --from=DIR where its paths are not relative to its own folder"
    license = "those of the files"
    size = "nothing to download"
    coverage = "every row with a label or a mask"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--csv", required=True, metavar="FILE", help="the table")
        parser.add_argument(
            "--where",
            action="append",
            default=[],
            metavar="COLUMN=VALUE[,VALUE...]",
            help="keep only the rows with one of the values; given again, all have to hold",
        )

    def default_dir(self, options: Namespace) -> Path:
        return Path(options.csv).parent

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        lines = _select(read_table(options.csv), options)
        if not lines:
            raise PreparationError(f"{options.csv}: no row is left{' by --where' if options.where else ''}")
        lines = _merge_equal(lines, root, options.csv)
        words = _words(lines)
        labels = unify_spellings(words)
        several = find_multi_label(words)
        # A table without labels, or with masks, is not for labels alone: what has none stays.
        needs_label = bool(labels) and all(is_blank(line.known["mask"]) for line in lines)
        for line in lines:
            cells = line.known
            if is_blank(cells["path"]) or line.is_too_long:
                reason = "no path" if is_blank(cells["path"]) else "more cells than the header has columns"
                yield SkippedRecord(cells["path"] or f"line {line.number}", f"line {line.number}: {reason}")
                continue
            word = _word(line)
            if word and word == several:
                raise PreparationError(
                    f"{options.csv}: line {line.number} has the label {word!r}; one label per radiograph is supported: "
                    "choose one, or give the combination a name of its own"
                )
            file, path = find_file(root, cells["path"])
            if needs_label and not word:
                yield SkippedRecord(path, f"line {line.number}: no label ({cells['label'] or 'blank'})")
                continue
            yield _make_row(line, file, path, labels.get(word, ""), root, options)

    def remarks(self, rows: Sequence[Record], root: Path, options: Namespace) -> list[str]:
        table = read_table(options.csv)
        labels = unify_spellings(_words(_select(table, options)))
        asked = {condition.partition("=")[0] for condition in options.where}
        unused = [column for column in table.unused if column not in asked]
        unlabelled = sum(not row.label for row in rows)
        remarks = [describe_merged_spellings(labels)]
        if unlabelled:
            remarks.append(f"{unlabelled} radiographs have no label" if unlabelled > 1 else "1 radiograph has no label")
        if unused:
            remarks.append(f"columns of {Path(options.csv).name} that are not used: {', '.join(unused)}")
        return list(filter(None, remarks))

    def read(self, row: Record, options: Namespace) -> Example:
        if row.mask_kind not in ("", STRUCTURES, LUNGS):
            raise RecordError(f"mask_kind {row.mask_kind!r}, where {STRUCTURES} or {LUNGS} is needed")
        return read_frontal(replace(row, age=_age(row.payload)))


def _words(lines: Sequence[TableRow]) -> list[str]:
    """The labels of a table as it writes them, without those that are missing."""
    return list(filter(None, map(_word, lines)))


def _word(line: TableRow) -> str:
    return "" if is_missing(line.known["label"]) else normalize_number(line.known["label"])


def _make_row(line: TableRow, file: Path, path: str, label: str, root: Path, options: Namespace) -> Record:
    cells = {name: "" if is_blank(cell) else cell for name, cell in line.known.items()}
    split = read_split(cells["split"])
    if split and (not re.fullmatch(r"[A-Za-z]\w*", split) or split == "all"):
        raise PreparationError(f"{options.csv}: {path} has no usable split ({split!r})")
    return Record(
        id=path,
        file=file,
        label=label,
        upstream_label=cells["upstream_label"] or (cells["label"] if label else ""),
        patient_id=read_patient(cells["patient_id"]),
        source=cells["dataset"],
        view=cells["view"],
        sex=cells["sex"],
        masks={LABEL_MAP: find_file(root, cells["mask"])[0]} if cells["mask"] else {},
        mask_kind=cells["mask_kind"],
        licence=cells["licence"],
        split=split,
        payload="" if is_missing(cells["age"]) else cells["age"],
    )


def _merge_equal(lines: Sequence[TableRow], root: Path, table: str) -> list[TableRow]:
    """Drops rows that repeat another, whichever way they write the path.

    Raises:
        PreparationError: two rows of a file differ.
    """
    kept: dict[str, TableRow] = {}
    for line in lines:
        path = os.path.abspath(find_file(root, line.known["path"])[0]) if line.known["path"] else f"\0{line.number}"
        first = kept.setdefault(path, line)
        differ = [name for name, cell in line.cells().items() if cell != first.cells()[name] and name != "path"]
        if first is line or not differ:
            continue
        said = f"{table}: {line.known['path']} is there twice, in lines {first.number} and {line.number}"
        if set(differ) <= line.other.keys():
            raise PreparationError(
                f"{said}, with other values of {', '.join(differ)}; keep one row per radiograph here, and give boxes "
                "to `--mode=evaluate_saliency --lesion_csv=TABLE.csv` (columns path, row, column, height, width)"
            )
        raise PreparationError(f"{said}, with another {differ[0]}; keep one row per radiograph")
    return list(kept.values())


def _select(table: TableContent, options: Namespace) -> list[TableRow]:
    """The rows for which all conditions of --where hold."""
    lines = table.lines
    for condition in options.where:
        word, equals, values = condition.partition("=")
        if not equals:
            raise PreparationError(f"--where={condition}: it has to be COLUMN=VALUE[,VALUE...]")
        column = table.find_column(word)
        if column is None:
            raise PreparationError(f"{options.csv}: it has no column {word}, which --where asks for")
        lines = [line for line in lines if line.cells()[column] in values.split(",")]
    return lines


def _age(text: str) -> float:
    try:
        return float(text or UNKNOWN)
    except ValueError as error:
        raise RecordError(f"age {text!r} is not a number of years") from error


SOURCE = Table()
