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

from data_prep.example import LUNGS, STRUCTURES, UNKNOWN, Example
from data_prep.row import MAP, BadRow, CannotPrepare, Row, Skip
from data_prep.source import Source
from data_prep.table.files import find_file
from data_prep.table.reading import Content, Line, read_table
from data_prep.upstream.cells import is_blank, is_missing, read_number, read_patient, read_split
from data_prep.upstream.dicom import read_frontal
from data_prep.upstream.labels import describe_merged, find_several, unify


class Table(Source):
    """Radiographs that a CSV file names, one a row."""

    name = "table"
    about = "radiographs named by a CSV file (path, label, and what else is known), with their masks"
    where = "yours: --csv=TABLE.csv, and --from=DIR where its paths are not relative to its own folder"
    terms = "those of the files"
    size = "nothing to download"
    usable = "every row with a label or a mask"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--csv", required=True, metavar="FILE", help="the table")
        parser.add_argument(
            "--where",
            action="append",
            default=[],
            metavar="COLUMN=VALUE[,VALUE...]",
            help="keep only the rows with one of the values; given again, all have to hold",
        )

    def place(self, options: Namespace) -> Path:
        return Path(options.csv).parent

    def rows(self, root: Path, options: Namespace) -> Iterator[Row | Skip]:
        lines = _select(read_table(options.csv), options)
        if not lines:
            raise CannotPrepare(f"{options.csv}: no row is left{' by --where' if options.where else ''}")
        lines = _merge_equal(lines, root, options.csv)
        words = _words(lines)
        labels = unify(words)
        several = find_several(words)
        # A table without labels, or with masks, is not for labels alone: what has none stays.
        needs_label = bool(labels) and all(is_blank(line.known["mask"]) for line in lines)
        for line in lines:
            cells = line.known
            if is_blank(cells["path"]) or line.is_too_long:
                reason = "no path" if is_blank(cells["path"]) else "more cells than the header has columns"
                yield Skip(cells["path"] or f"line {line.number}", f"line {line.number}: {reason}")
                continue
            word = _word(line)
            if word and word == several:
                raise CannotPrepare(
                    f"{options.csv}: line {line.number} has the label {word!r}; one label per radiograph is supported: "
                    "choose one, or give the combination a name of its own"
                )
            file, path = find_file(root, cells["path"])
            if needs_label and not word:
                yield Skip(path, f"line {line.number}: no label ({cells['label'] or 'blank'})")
                continue
            yield _make_row(line, file, path, labels.get(word, ""), root, options)

    def remarks(self, rows: Sequence[Row], root: Path, options: Namespace) -> list[str]:
        table = read_table(options.csv)
        labels = unify(_words(_select(table, options)))
        asked = {condition.partition("=")[0] for condition in options.where}
        unused = [column for column in table.unused if column not in asked]
        unlabelled = sum(not row.label for row in rows)
        remarks = [describe_merged(labels)]
        if unlabelled:
            remarks.append(f"{unlabelled} radiographs have no label" if unlabelled > 1 else "1 radiograph has no label")
        if unused:
            remarks.append(f"columns of {Path(options.csv).name} that are not used: {', '.join(unused)}")
        return list(filter(None, remarks))

    def read(self, row: Row, options: Namespace) -> Example:
        if row.mask_kind not in ("", STRUCTURES, LUNGS):
            raise BadRow(f"mask_kind {row.mask_kind!r}, where {STRUCTURES} or {LUNGS} is needed")
        return read_frontal(replace(row, age=_age(row.given)))


def _words(lines: Sequence[Line]) -> list[str]:
    """The labels of a table as it writes them, without those that are missing."""
    return list(filter(None, map(_word, lines)))


def _word(line: Line) -> str:
    return "" if is_missing(line.known["label"]) else read_number(line.known["label"])


def _make_row(line: Line, file: Path, path: str, label: str, root: Path, options: Namespace) -> Row:
    cells = {name: "" if is_blank(cell) else cell for name, cell in line.known.items()}
    split = read_split(cells["split"])
    if split and (not re.fullmatch(r"[A-Za-z]\w*", split) or split == "all"):
        raise CannotPrepare(f"{options.csv}: {path} has no usable split ({split!r})")
    return Row(
        id=path,
        file=file,
        label=label,
        upstream_label=cells["upstream_label"] or (cells["label"] if label else ""),
        patient_id=read_patient(cells["patient_id"]),
        source=cells["dataset"],
        view=cells["view"],
        sex=cells["sex"],
        masks={MAP: find_file(root, cells["mask"])[0]} if cells["mask"] else {},
        mask_kind=cells["mask_kind"],
        licence=cells["licence"],
        split=split,
        given="" if is_missing(cells["age"]) else cells["age"],
    )


def _merge_equal(lines: Sequence[Line], root: Path, table: str) -> list[Line]:
    """Drops rows that repeat another, whichever way they write the path.

    Raises:
        CannotPrepare: two rows of a file differ.
    """
    kept: dict[str, Line] = {}
    for line in lines:
        path = os.path.abspath(find_file(root, line.known["path"])[0]) if line.known["path"] else f"\0{line.number}"
        first = kept.setdefault(path, line)
        differ = [name for name, cell in line.cells().items() if cell != first.cells()[name] and name != "path"]
        if first is line or not differ:
            continue
        said = f"{table}: {line.known['path']} is there twice, in lines {first.number} and {line.number}"
        if set(differ) <= line.other.keys():
            raise CannotPrepare(
                f"{said}, with other values of {', '.join(differ)}; keep one row per radiograph here, and give boxes "
                "to `--mode=check_maps --lesions=TABLE.csv` (columns path, row, column, height, width)"
            )
        raise CannotPrepare(f"{said}, with another {differ[0]}; keep one row per radiograph")
    return list(kept.values())


def _select(table: Content, options: Namespace) -> list[Line]:
    """The rows for which all conditions of --where hold."""
    lines = table.lines
    for condition in options.where:
        word, equals, values = condition.partition("=")
        if not equals:
            raise CannotPrepare(f"--where={condition}: it has to be COLUMN=VALUE[,VALUE...]")
        column = table.find_column(word)
        if column is None:
            raise CannotPrepare(f"{options.csv}: it has no column {word}, which --where asks for")
        lines = [line for line in lines if line.cells()[column] in values.split(",")]
    return lines


def _age(text: str) -> float:
    try:
        return float(text or UNKNOWN)
    except ValueError as error:
        raise BadRow(f"age {text!r} is not a number of years") from error


SOURCE = Table()
