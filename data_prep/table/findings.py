"""Findings of the rows of a table: a column for each, or one label that names those that are positive."""

import re
from collections.abc import Sequence

from cxrjax.io import findings
from data_prep.collections.cells import is_blank, is_missing
from data_prep.collections.labels import normalize_label
from data_prep.record import PreparationError
from data_prep.table.reader import TableContent, TableRow

LABEL = "label"


def find_columns(table: TableContent, names: str, path: str) -> list[str]:
    """Return the keys in `TableRow.cells` of the columns that --findings names, such as "Atelectasis,Effusion".

    Raises:
        PreparationError: there is no such column, or its name has a "|".
    """
    columns = []
    for name in filter(None, map(str.strip, names.split(","))):
        column = table.find_column(name)
        if column is None:
            raise PreparationError(f"{path}: it has no column {name}, which --findings names")
        if findings.SEPARATOR in column:
            raise PreparationError(
                f"{path}: the name of a finding has no {findings.SEPARATOR}; rename the column {name}"
            )
        columns.append(column)
    return columns


def read_findings(rows: Sequence[TableRow], columns: Sequence[str], path: str) -> list[dict[str, float]]:
    """Return the findings of each row, as `cxrjax.io.findings` describes them.

    Args:
        rows: of the table.
        columns: of `find_columns`: one for each finding, with 1, 0, -1 (uncertain), a number between 0 and 1 (soft
            label), or a blank (unknown); or `LABEL` alone, which names the positive findings, as
            "Atelectasis|Effusion": those that other rows name are negative, and a word for normal names none.
        path: of the table, for errors.

    Raises:
        PreparationError: a cell holds something else.
    """
    if list(columns) == [LABEL]:
        named = [_split(row.known[LABEL]) for row in rows]
        names = sorted(set().union(*(row for row in named if row is not None)))
        return [{} if row is None else {name: float(name in row) for name in names} for row in named]
    return [
        {column: _read_cell(row, column, path) for column in columns if not is_blank(row.cells()[column])}
        for row in rows
    ]


def _split(text: str) -> set[str] | None:
    """Return the findings that a label names; None if it is missing."""
    if is_missing(text):
        return None
    words = {word.strip() for word in re.split("[|;]", text)}
    return {word for word in words if word and normalize_label(word) != "normal"}


def _read_cell(row: TableRow, column: str, path: str) -> float:
    text = row.cells()[column]
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = findings.UNKNOWN
    if not (0 <= value <= 1 or value == findings.UNCERTAIN):
        raise PreparationError(
            f"{path}: line {row.line} has {text!r} in the column {column}; a finding is 1, 0, -1 if uncertain, a "
            "number between 0 and 1, or blank if unknown"
        )
    return value
