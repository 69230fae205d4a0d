"""The tables that come with a collection, CSV or Excel, row by row as column -> text."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from data_prep.record import PreparationError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LARGEST = 32 << 20  # bytes of a sheet unpacked, ten times the largest of an upstream
_STRINGS, _SHEET = "xl/sharedStrings.xml", "xl/worksheets/sheet1.xml"


def read_csv(path: Path, *needed: str) -> list[dict[str, str]]:
    """Reads a CSV file with a header, UTF-8 or else Latin-1; an absent cell is "".

    Raises:
        PreparationError: missing, not such a file, or without a column that is needed.
    """
    try:
        table = csv.DictReader(io.StringIO(_decode(path.read_bytes()), newline=""))
        rows = [{name: (text or "").strip() for name, text in row.items() if name} for row in table]
    except OSError as error:
        raise PreparationError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except csv.Error as error:
        raise PreparationError(f"{path}: not a CSV file ({error})") from error
    _check(path, table.fieldnames or [], needed)
    return rows


def read_xlsx(path: Path, *needed: str) -> list[dict[str, str]]:
    """Reads the first sheet of an Excel file, whose first row is the header; an absent cell is "".

    Raises:
        PreparationError: missing, not such a file, or without a column that is needed.
    """
    try:
        with zipfile.ZipFile(path) as book:
            texts = _elements(book, _STRINGS, "si") if _STRINGS in book.namelist() else []
            strings = ["".join(part.text or "" for part in text.iter(f"{_MAIN}t")) for text in texts]
            cells = [_read_row(row, strings) for row in _elements(book, _SHEET, "row")]
    except OSError as error:
        raise PreparationError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except Exception as error:  # readers of damaged archives raise whatever they like
        raise PreparationError(f"{path}: not a readable Excel file (.xlsx), or a damaged or encrypted one") from error
    header, *rows = cells or [{}]
    _check(path, header.values(), needed)
    return [{name: row.get(column, "") for column, name in header.items()} for row in rows]


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise csv.Error("it is no text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # of Figure 1, whose notes hold a degree sign


def _check(path: Path, columns: Iterable[str], needed: Iterable[str]) -> None:
    for name in needed:
        if name not in columns:
            raise PreparationError(f"{path}: it has no column {name}")


def _elements(book: zipfile.ZipFile, member: str, name: str) -> list[ElementTree.Element]:
    if book.getinfo(member).file_size > _LARGEST:
        raise ValueError("a sheet that is too large")
    return list(ElementTree.fromstring(book.read(member)).iter(f"{_MAIN}{name}"))


def _read_row(row: ElementTree.Element, strings: list[str]) -> dict[str, str]:
    """Column letters -> text."""
    cells = {}
    for cell in row.iter(f"{_MAIN}c"):
        text = "".join(part.text or "" for part in cell.iter() if part.tag in (f"{_MAIN}v", f"{_MAIN}t"))
        shared = cell.get("t") == "s" and text
        cells[re.match("[A-Z]+", cell.get("r", "?"))[0]] = (strings[int(text)] if shared else text).strip()
    return cells
