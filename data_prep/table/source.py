"""Radiographs listed in a CSV file.

Needed columns: path, label (or those of `--findings`). Optional columns: source (or dataset; the collection or hospital
of a radiograph), patient_id, split, mask, mask_kind, view, upstream_label, sex, age, license. Paths of images and masks
are relative to --raw_dir, or by default to the folder of the table. The last line of the summary names every column
that is not used.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.collections.cells import is_blank, is_missing, normalize_number, read_patient, read_split
from data_prep.collections.dicom import read_frontal
from data_prep.collections.labels import describe_merged_spellings, find_multi_label, unify_spellings
from data_prep.example import MASK_KINDS, UNKNOWN, Example
from data_prep.options import Options, option
from data_prep.record import LABEL_MAP, PreparationError, Record, RecordError, SkippedRecord
from data_prep.source import Source
from data_prep.table import findings
from data_prep.table.files import find_file
from data_prep.table.reader import NEEDED, TableContent, TableRow, read_table


@dataclass(frozen=True)
class TableOptions(Options):
    """Options of `Table`.

    Attributes:
        csv: the table.
        findings: columns of several findings per radiograph, see `findings.read_findings`; "" for one label.
        filter: conditions COLUMN=VALUE[,VALUE...] that the rows have to match.
    """

    csv: str = option("", "table of radiographs", metavar="FILE", required=True)
    findings: str = option(
        "",
        "several findings per radiograph: their columns, with 1, 0, -1 (uncertain) or blank (unknown); or label, a "
        "column that names the positive ones, as A|B",
        metavar="COLUMN,...",
    )
    filter: tuple[str, ...] = option(
        (),
        "keep only the rows with one of these values; can be repeated, all filters have to match",
        metavar="COLUMN=VALUE[,VALUE...]",
    )


class Table(Source[TableOptions]):
    """Radiographs listed in a CSV file, one per row."""

    name = "table"
    description = "radiographs listed in a CSV file (path, label and other metadata), with their masks"
    homepage = "yours: --csv=TABLE.csv, and --raw_dir=DIR if its paths are not relative to its own folder"
    license = "those of the files"
    size = "nothing to download"
    coverage = "every row with a label or a mask"

    options_type = TableOptions

    def default_dir(self, options: TableOptions) -> Path:
        return Path(options.csv).parent

    def has_findings(self, options: TableOptions) -> bool:
        return bool(options.findings)

    def settings(self, options: TableOptions) -> dict[str, Any]:
        return {"findings": options.findings} if options.findings else {}

    def records(self, root: Path, options: TableOptions) -> Iterator[Record | SkippedRecord]:
        table = _read(options)
        table_rows = _filter_rows(table, options)
        if not table_rows:
            raise PreparationError(f"{options.csv}: no row is left{' by --filter' if options.filter else ''}")
        table_rows = _drop_repeated(table_rows, root, options.csv)
        columns = findings.find_columns(table, options.findings, options.csv)
        findings_of_rows = findings.read_findings(table_rows, columns, options.csv)
        words = [] if columns else _label_words(table_rows)
        labels = unify_spellings(words)
        multi_label = find_multi_label(words)
        # Rows without a label are kept if no row has one, or if the table has masks.
        needs_label = bool(labels) and all(is_blank(row.known["mask"]) for row in table_rows)
        for row, known_findings in zip(table_rows, findings_of_rows, strict=True):
            cells = row.known
            if is_blank(cells["path"]) or row.is_too_long:
                reason = "no path" if is_blank(cells["path"]) else "more cells than the header has columns"
                yield SkippedRecord(cells["path"] or f"line {row.line}", f"line {row.line}: {reason}")
                continue
            word = "" if columns else _label_word(row)
            if word and word == multi_label:
                raise PreparationError(
                    f"{options.csv}: line {row.line} has the label {word!r}; one label per radiograph is supported: "
                    "choose one, give the combination a name of its own, or read several findings by --findings=label"
                )
            file, path = find_file(root, cells["path"])
            if needs_label and not word:
                yield SkippedRecord(path, f"line {row.line}: no label ({cells['label'] or 'blank'})")
                continue
            if columns and not known_findings:
                yield SkippedRecord(path, f"line {row.line}: nothing is known of any finding")
                continue
            mask = None if is_blank(cells["mask"]) else find_file(root, cells["mask"])[0]
            label = labels.get(word, "")
            record = _make_record(row=row, path=path, file=file, mask=mask, label=label, table=options.csv)
            yield replace(record, findings=known_findings)

    def remarks(self, records: Sequence[Record], root: Path, options: TableOptions) -> list[str]:
        table = _read(options)
        columns = findings.find_columns(table, options.findings, options.csv)
        labels = {} if columns else unify_spellings(_label_words(_filter_rows(table, options)))
        filtered = {condition.partition("=")[0] for condition in options.filter}
        unused = [column for column in table.unused if column not in filtered and column not in columns]
        unlabeled = 0 if columns else sum(not record.label for record in records)
        remarks = [describe_merged_spellings(labels)]
        if unlabeled:
            remarks.append(f"{unlabeled} radiographs have no label" if unlabeled > 1 else "1 radiograph has no label")
        if unused:
            remarks.append(f"columns of {Path(options.csv).name} that are not used: {', '.join(unused)}")
        return list(filter(None, remarks))

    def read(self, record: Record, options: TableOptions) -> Example:
        if record.mask_kind not in ("", *MASK_KINDS):
            raise RecordError(f"mask_kind {record.mask_kind!r}, where one of {', '.join(MASK_KINDS)} is needed")
        return read_frontal(replace(record, age=_parse_age(record.payload)))


def _read(options: TableOptions) -> TableContent:
    return read_table(options.csv, ("path",) if options.findings else NEEDED)


def _label_words(rows: Sequence[TableRow]) -> list[str]:
    """Return the labels of a table as it writes them, without missing ones."""
    return list(filter(None, map(_label_word, rows)))


def _label_word(row: TableRow) -> str:
    return "" if is_missing(row.known["label"]) else normalize_number(row.known["label"])


def _make_record(row: TableRow, *, path: str, file: Path, mask: Path | None, label: str, table: str) -> Record:
    cells = {name: "" if is_blank(cell) else cell for name, cell in row.known.items()}
    split = read_split(cells["split"])
    if split and (not re.fullmatch(r"[A-Za-z]\w*", split) or split == "all"):
        raise PreparationError(f"{table}: {path} has no usable split ({split!r})")
    return Record(
        id=path,
        file=file,
        label=label,
        upstream_label=cells["upstream_label"] or (cells["label"] if label else ""),
        patient_id=read_patient(cells["patient_id"]),
        source=cells["dataset"],
        view=cells["view"],
        sex=cells["sex"],
        masks={LABEL_MAP: mask} if mask else {},
        mask_kind=cells["mask_kind"],
        license=cells["license"],
        split=split,
        payload="" if is_missing(cells["age"]) else cells["age"],
    )


def _drop_repeated(rows: Sequence[TableRow], root: Path, table: str) -> list[TableRow]:
    """Drop rows that repeat another one, even if they write the path differently.

    Raises:
        PreparationError: two rows with the same file differ.
    """
    first_rows: dict[str, TableRow] = {}
    for row in rows:
        path = os.path.abspath(find_file(root, row.known["path"])[0]) if row.known["path"] else f"\0{row.line}"
        first = first_rows.setdefault(path, row)
        differing = [name for name, cell in row.cells().items() if cell != first.cells()[name] and name != "path"]
        if first is row or not differing:
            continue
        problem = f"{table}: {row.known['path']} is there twice, in lines {first.line} and {row.line}"
        if set(differing) <= row.other.keys():
            raise PreparationError(
                f"{problem}, with other values of {', '.join(differing)}; keep one row per radiograph here, and give "
                "boxes to `--mode=evaluate_saliency --lesion_csv=TABLE.csv` (columns path, row, column, height, width)"
            )
        raise PreparationError(f"{problem}, with another {differing[0]}; keep one row per radiograph")
    return list(first_rows.values())


def _filter_rows(table: TableContent, options: TableOptions) -> list[TableRow]:
    """Return the rows that match all conditions of --filter."""
    rows = table.rows
    for condition in options.filter:
        name, equals, values = condition.partition("=")
        if not equals:
            raise PreparationError(f"--filter={condition}: it has to be COLUMN=VALUE[,VALUE...]")
        column = table.find_column(name)
        if column is None:
            raise PreparationError(f"{options.csv}: it has no column {name}, which --filter names")
        rows = [row for row in rows if row.cells()[column] in values.split(",")]
    return rows


def _parse_age(text: str) -> float:
    try:
        return float(text or UNKNOWN)
    except ValueError as error:
        raise RecordError(f"age {text!r} is not a number of years") from error


SOURCE = Table()
