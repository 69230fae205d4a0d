"""A CSV file of radiographs.

Columns: path and label, which are needed; dataset, patient_id, split, mask, mask_kind, view, upstream_label, sex, age,
licence, which may be absent or empty. Paths of images and masks are relative to --from, else to the table's folder.
"""

import csv
import io
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_prep.example import LUNGS, STRUCTURES, UNKNOWN, Example
from data_prep.row import MAP, BadRow, CannotPrepare, Row
from data_prep.source import Source


class Table(Source):
    """Radiographs that a CSV file names, one a row."""

    name = "table"
    about = "radiographs named by a CSV file (path, label, and what else is known), with their masks"
    where = "yours: --csv=TABLE.csv, and --from=DIR where its paths are not relative to its own folder"
    terms = "those of the files"
    size = "nothing to download"
    usable = "every row"

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

    def rows(self, root: Path, options: Namespace) -> Iterator[Row]:
        count = 0
        for count, fields in enumerate(_select(_read_table(options.csv), options), start=1):
            split = fields.get("split", "")
            if split and (not re.fullmatch(r"[A-Za-z]\w*", split) or split == "all"):
                raise CannotPrepare(
                    f"{options.csv}: {fields['path'] or f'row {count}'} has no usable split ({split!r})"
                )
            yield Row(
                id=fields["path"],
                file=root / fields["path"],
                label=fields["label"],
                upstream_label=fields.get("upstream_label", ""),
                patient_id=fields.get("patient_id", ""),
                source=fields.get("dataset", ""),
                view=fields.get("view", ""),
                sex=fields.get("sex", ""),
                masks={MAP: root / fields["mask"]} if fields.get("mask") else {},
                mask_kind=fields.get("mask_kind", ""),
                licence=fields.get("licence", ""),
                split=split,
                given=fields.get("age", ""),
            )
        if not count:
            raise CannotPrepare(f"{options.csv}: no row is left{' by --where' if options.where else ''}")

    def read(self, row: Row, options: Namespace) -> Example:
        if row.mask_kind not in ("", STRUCTURES, LUNGS):
            raise BadRow(f"mask_kind {row.mask_kind!r}, where {STRUCTURES} or {LUNGS} is needed")
        return super().read(replace(row, age=_age(row.given)), options)


def _read_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CannotPrepare(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _read_table(path: str) -> list[dict[str, str]]:
    try:
        rows = csv.DictReader(io.StringIO(_read_bytes(path).decode("utf-8-sig"), newline=""))
        columns = rows.fieldnames or []
        table = [{name: (row[name] or "").strip() for name in columns} for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CannotPrepare(f"{path}: not a CSV file in UTF-8 ({error})") from error
    for needed in ("path", "label"):
        if needed not in columns:
            raise CannotPrepare(f"{path}: it has no column {needed}")
    return table


def _select(table: list[dict[str, str]], options: Namespace) -> list[dict[str, str]]:
    for condition in options.where:
        column, equals, values = condition.partition("=")
        if not equals:
            raise CannotPrepare(f"--where={condition}: it has to be COLUMN=VALUE[,VALUE...]")
        if table and column not in table[0]:
            raise CannotPrepare(f"{options.csv}: it has no column {column}, which --where asks for")
        table = [fields for fields in table if fields[column] in values.split(",")]
    return table


def _age(text: str) -> float:
    try:
        return float(text or UNKNOWN)
    except ValueError as error:
        raise BadRow(f"age {text!r} is not a number of years") from error


SOURCE = Table()
