"""A CSV file as people, spreadsheets and pandas write it: any delimiter, a header in any case, empty lines."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.record import PreparationError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# Columns that are understood, and other words for them.
COLUMNS = {
    "path": ("image_path", "img_path", "file_path", "filename", "file", "image_file", "image_name", "image_index")
    + ("image",),
    "label": ("labels", "class", "class_name", "finding", "finding_label", "finding_labels", "diagnosis"),
    "dataset": ("source",), "patient_id": ("patient", "subject_id", "subject"), "split": ("subset", "dataset_split"),
    "mask": (), "mask_kind": (), "view": (), "upstream_label": (), "sex": (), "age": (), "licence": ("license",),
}  # fmt: skip
NEEDED = ("path", "label")


class TableRow(NamedTuple):
    """One radiograph of a table.

    Attributes:
        number: of its line in the file, from 1.
        known: column of `COLUMNS` -> cell, without blanks around it; "" where there is no such column.
        other: all other columns, by the names that the file gives them.
        is_too_long: it has more cells than the header.
    """

    number: int
    known: dict[str, str]
    other: dict[str, str]
    is_too_long: bool

    def cells(self) -> dict[str, str]:
        """All cells, by the names of both kinds."""
        return self.other | self.known


class TableContent(NamedTuple):
    """A table, and how it was understood.

    Attributes:
        lines: in their order, without those that are empty.
        names: column of `COLUMNS` -> what the file calls it.
        unused: columns that are not understood, as the file names them.
    """

    lines: list[TableRow]
    names: dict[str, str]
    unused: list[str]

    def find_column(self, word: str) -> str | None:
        """The key in `Line.cells` of the column that the file, or `COLUMNS`, calls so; None where there is none."""
        if word in self.unused:
            return word
        return next((key for key in self.names if _squash(word) in map(_squash, (key, self.names[key]))), None)


def read_table(path: str) -> TableContent:
    """Reads a CSV file of radiographs.

    Raises:
        PreparationError: it is missing, not such a file, or lacks a column that is needed.
    """
    text = _decode(path)
    try:
        header, rows = _split(text)
        names = _understand(header, path)
        lines = [_make_line(number, header, names, cells) for number, cells in rows]
    except csv.Error as error:
        raise PreparationError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    used = set(names.values())
    return TableContent(lines, names, [column for column in header if column and column not in used])


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
    """The header, and the line number and cells of each row that is not empty."""
    preface = re.match(r"sep=(.)\r?\n", text)  # Excel's own way to tell the delimiter
    head = text[preface.end() :] if preface else text
    empty = re.match(r"[\s,;|]*[\r\n]", head)
    before = text.count("\n", 0, len(text) - len(head) + (empty.end() if empty else 0))
    head = head[empty.end() :] if empty else head
    delimiter = preface[1] if preface else _find_delimiter(head)
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, skipinitialspace=True)
    header = [cell.strip() for cell in next(reader, [])]
    rows = ((before + reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    return header, rows


def _find_delimiter(text: str) -> str:
    """The delimiter by which the header has the columns that are needed; else that of most columns."""
    headers = {one: next(csv.reader(io.StringIO(text, newline=""), delimiter=one), []) for one in DELIMITERS}

    def rank(delimiter: str) -> tuple[int, int]:
        names = {_squash(cell) for cell in headers[delimiter]}
        known = [{_squash(word) for word in (needed, *COLUMNS[needed])} for needed in NEEDED]
        return sum(not names.isdisjoint(words) for words in known), len(headers[delimiter])

    return max(headers, key=rank)  # the first of equals: the comma


def _understand(header: Sequence[str], path: str) -> dict[str, str]:
    """Column of `COLUMNS` -> what the header calls it."""
    names: dict[str, str] = {}
    for column, others in COLUMNS.items():
        for word in (column, *others):
            called = [cell for cell in header if _squash(cell) == _squash(word)]
            if len(called) > 1:
                raise PreparationError(
                    f"{path}: it has two columns {column} ({', '.join(map(repr, called))}); remove one"
                )
            if called:
                names[column] = called[0]
                break
    for needed in NEEDED:
        if needed not in names:
            there = ", ".join(filter(None, header)) or "none"
            raise PreparationError(
                f"{path}: it has no column {needed} (its columns: {_shorten(there)}); path and label are needed, one "
                "row and one label per radiograph"
            )
    return names


def _make_line(number: int, header: Sequence[str], names: dict[str, str], cells: Sequence[str]) -> TableRow:
    by_name = dict(zip(header, (cell.strip() for cell in cells), strict=False))
    by_name[""] = ""  # pandas writes its row numbers under a header without a name
    known = {column: by_name.get(names.get(column, ""), "") for column in COLUMNS}
    used = set(names.values())
    other = {name: by_name.get(name, "") for name in header if name and name not in used}
    return TableRow(number, known, other, any(cell.strip() for cell in cells[len(header) :]))


def _squash(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _shorten(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"
