"""A CSV file of radiographs.

Columns: path and label, which are needed; dataset, patient_id, split, mask, mask_kind, view, upstream_label, sex, age,
licence, which may be absent or empty. Paths of images and masks are relative to the root.
"""

import csv
import hashlib
import io
import re
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from cxrjax import radiograph
from data_prep.example import LUNGS, STRUCTURES, UNKNOWN, Example, encode_png
from data_prep.source import BadRow, CannotPrepare, Plan, Row, Source
from data_prep.table.masks import read_mask

WHOLE_SPLIT = "test"  # of a table without the column split: nothing says that it may be trained on


class Table(Source):
    """Radiographs that a CSV file names, one a row."""

    name = "table"
    about = "radiographs named by a CSV file (path, label, and what else is known), with their masks"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--csv", required=True, metavar="FILE", help="the table")
        parser.add_argument(
            "--root", metavar="DIR", help="what its paths are relative to; the table's folder if not given"
        )
        parser.add_argument(
            "--where",
            action="append",
            default=[],
            metavar="COLUMN=VALUE[,VALUE...]",
            help="keep only the rows with one of the values; given again, all have to hold",
        )

    def settings(self, options: Namespace) -> dict[str, Any]:
        return {"csv_sha256": hashlib.sha256(_read_bytes(options.csv)).hexdigest(), "where": options.where}

    def plan(self, options: Namespace) -> Plan:
        plan: Plan = {}
        for line, fields in enumerate(_select(_read_table(options.csv), options), start=1):
            split = fields.get("split", WHOLE_SPLIT)
            if not re.fullmatch(r"[A-Za-z]\w*", split) or split == "all":
                raise CannotPrepare(f"{options.csv}: {fields['path'] or f'row {line}'} has no usable split ({split!r})")
            plan.setdefault(split, []).append(Row(fields["path"], fields.get("patient_id", ""), fields))
        if not plan:
            raise CannotPrepare(f"{options.csv}: no row is left{' by --where' if options.where else ''}")
        _refuse_repeated(plan, options.csv)
        return plan

    def read(self, row: Row, options: Namespace) -> Example:
        given: dict[str, str] = row.given
        root = Path(options.root) if options.root else Path(options.csv).parent
        try:
            image = (root / row.id).read_bytes()
            found = radiograph.decode(image, row.id)
        except OSError as error:
            raise BadRow((error.strerror or str(error)).lower()) from error
        except radiograph.UnreadableRadiograph as error:
            raise BadRow(error.reason) from error
        mask, kind = b"", ""
        if given.get("mask"):
            labels, kind = read_mask(root / given["mask"], _mask_kind(given), found.pixels.shape)
            mask = encode_png(labels)
        return Example(
            id=row.id,
            path=row.id,
            image=image,
            height=found.pixels.shape[0],
            width=found.pixels.shape[1],
            label=given["label"],
            upstream_label=given.get("upstream_label", ""),
            patient_id=row.patient_id,
            source=given.get("dataset", ""),
            view=given.get("view", "") or found.view,
            sex=given.get("sex", ""),
            age=_age(given),
            spacing=found.spacing or (UNKNOWN, UNKNOWN),
            mask=mask,
            mask_kind=kind,
            licence=given.get("licence", ""),
        )


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


def _refuse_repeated(plan: Plan, csv_path: str) -> None:
    seen = set()
    for row in (row for rows in plan.values() for row in rows):
        if row.id in seen:
            raise CannotPrepare(f"{csv_path}: {row.id or 'an empty path'} is there twice")
        seen.add(row.id)


def _mask_kind(given: dict[str, str]) -> str:
    kind = given.get("mask_kind", "")
    if kind not in ("", STRUCTURES, LUNGS):
        raise BadRow(f"mask_kind {kind!r}, where {STRUCTURES} or {LUNGS} is needed")
    return kind


def _age(given: dict[str, str]) -> float:
    try:
        return float(given.get("age") or UNKNOWN)
    except ValueError as error:
        raise BadRow(f"age {given['age']!r} is not a number of years") from error


SOURCE = Table()
