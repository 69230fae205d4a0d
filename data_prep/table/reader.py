"""Read a CSV file as spreadsheets and pandas write it: any delimiter, a header in any case, empty lines."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.record import PreparationError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# Known columns, and other names for them.
COLUMNS = {
    "path": ("image_path", "img_path", "file_path", "filename", "file", "image_file", "image_name", "image_index")
    + ("image",),
    "label": ("labels", "class", "class_name", "finding", "finding_label", "finding_labels", "diagnosis"),
    "dataset": ("source",), "patient_id": ("patient", "subject_id", "subject"), "split": ("subset", "dataset_split"),
    "mask": (), "mask_kind": (), "view": (), "upstream_label": (), "sex": (), "age": (), "license": ("licence",),
}  # fmt: skip
NEEDED = ("path", "label")


class TableRow(NamedTuple):
    """One radiograph of a table.

    Attributes:
        line: its line number in the file, from 1.
        known: column of `COLUMNS` -> cell, without surrounding blanks; "" if there is no such column.
        other: all other columns, by their names in the file.
        is_too_long: whether it has more cells than the header.
    """

    line: int
    known: dict[str, str]
    other: dict[str, str]
    is_too_long: bool

    def cells(self) -> dict[str, str]:
        """Return all cells by column."""
        return self.other | self.known


class TableContent(NamedTuple):
    """A table and its columns.

    Attributes:
        rows: in the order of the file, without empty ones.
        names: column of `COLUMNS` -> its name in the file.
        unused: unknown columns, by their names in the file.
    """

    rows: list[TableRow]
    names: dict[str, str]
    unused: list[str]

    def find_column(self, name: str) -> str | None:
        """Return the key in `TableRow.cells` of a column by its name in the file or in `COLUMNS`; None if missing."""
        if name in self.unused:
            return name
        for column, name_in_file in self.names.items():
            if _normalize(name) in (_normalize(column), _normalize(name_in_file)):
                return column
        return None


def read_table(path: str, needed: Sequence[str] = NEEDED) -> TableContent:
    """Read a CSV file of radiographs.

    Args:
        path: the file.
        needed: columns of `COLUMNS` that it has to have.

    Raises:
        PreparationError: the file is missing, is not a CSV, or lacks a column of `needed`.
    """
    text = _decode(path)
    try:
        header, numbered_rows = _split(text)
        names = _find_columns(header, path, needed)
        rows = [_make_row(line, header, names, cells) for line, cells in numbered_rows]
    except csv.Error as error:
        raise PreparationError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    used = set(names.values())
    return TableContent(rows, names, [column for column in header if column and column not in used])


def _decode(path: str) -> str:
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except OSError as error:
        raise PreparationError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise PreparationError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise PreparationError(
            f"{path}: not a text file, its line {line} holds a NUL character; save it again as CSV in UTF-8"
        )
    return text


def _split(text: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the header, and the line number and cells of each nonempty row."""
    preface = re.match(r"sep=(.)\r?\n", text)  # the delimiter as Excel writes it
    body = text[preface.end() :] if preface else text
    empty = re.match(r"[\s,;|]*[\r\n]", body)
    lines_before = text.count("\n", 0, len(text) - len(body) + (empty.end() if empty else 0))
    body = body[empty.end() :] if empty else body
    delimiter = preface[1] if preface else _find_delimiter(body)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True)
    header = [cell.strip() for cell in next(reader, [])]
    rows = ((lines_before + reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    return header, rows


def _find_delimiter(text: str) -> str:
    """Return the delimiter that gives the most needed columns in the header, and then the most columns."""

    def split_header(delimiter: str) -> list[str]:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])

    headers = {delimiter: split_header(delimiter) for delimiter in DELIMITERS}

    def count_columns(delimiter: str) -> tuple[int, int]:
        names = {_normalize(cell) for cell in headers[delimiter]}
        needed = [{_normalize(name) for name in (column, *COLUMNS[column])} for column in NEEDED]
        return sum(not names.isdisjoint(spellings) for spellings in needed), len(headers[delimiter])

    return max(headers, key=count_columns)  # the first of equals: the comma


def _find_columns(header: Sequence[str], path: str, needed: Sequence[str]) -> dict[str, str]:
    """Return column of `COLUMNS` -> its name in the header."""
    names: dict[str, str] = {}
    for column, other_names in COLUMNS.items():
        for name in (column, *other_names):
            matches = [cell for cell in header if _normalize(cell) == _normalize(name)]
            if len(matches) > 1:
                raise PreparationError(
                    f"{path}: it has two columns {column} ({', '.join(map(repr, matches))}); remove one"
                )
            if matches:
                names[column] = matches[0]
                break
    for column in needed:
        if column not in names:
            columns = ", ".join(filter(None, header)) or "none"
            raise PreparationError(
                f"{path}: it has no column {column} (its columns: {_shorten(columns)}); path and label are needed, one "
                "row and one label per radiograph"
            )
    return names


def _make_row(line: int, header: Sequence[str], names: dict[str, str], cells: Sequence[str]) -> TableRow:
    by_name = dict(zip(header, (cell.strip() for cell in cells), strict=False))
    by_name[""] = ""  # pandas writes its row numbers under a header without a name
    known = {column: by_name.get(names.get(column, ""), "") for column in COLUMNS}
    used = set(names.values())
    other = {name: by_name.get(name, "") for name in header if name and name not in used}
    return TableRow(line, known, other, any(cell.strip() for cell in cells[len(header) :]))


def _normalize(name: str) -> str:
    """Return the letters and digits of a column name in lower case."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _shorten(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
