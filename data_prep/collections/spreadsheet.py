"""Read the tables of a collection, CSV or Excel, as one dict of column -> text per row."""

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from data_prep.record import PreparationError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_MAX_SHEET_BYTES = 32 << 20  # of an unpacked sheet, ten times the largest of the collections
_STRINGS = "xl/sharedStrings.xml"
_SHEET = "xl/worksheets/sheet1.xml"


def read_csv(path: Path, *needed: str) -> list[dict[str, str]]:
    """Read a CSV file with a header, in UTF-8 or otherwise Latin-1; a missing cell is "".

    Raises:
        PreparationError: the file is missing, is not a CSV, or lacks a column of `needed`.
    """
    try:
        table = csv.DictReader(io.StringIO(_decode(path.read_bytes()), newline=""))
        rows = [{name: (text or "").strip() for name, text in row.items() if name} for row in table]
    except OSError as error:
        raise PreparationError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except csv.Error as error:
        raise PreparationError(f"{path}: not a CSV file ({error})") from error
    _check_columns(path, table.fieldnames or [], needed)
    return rows


def iter_csv(path: Path, *needed: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a large CSV file one by one, without holding the file in memory; a missing cell is "".

    Args:
        path: UTF-8 text with a header; compressed by gzip if its name ends in .gz.
        needed: columns that it must have.

    Raises:
        PreparationError: see `read_csv`; or the file is cut short.
    """
    open_text = gzip.open if path.suffix == ".gz" else open
    try:
        with open_text(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            table = csv.DictReader(file)
            _check_columns(path, table.fieldnames or [], needed)
            for row in table:
                yield {name: (text or "").strip() for name, text in row.items() if name}
    except (OSError, EOFError) as error:
        raise PreparationError(f"{path}: {(getattr(error, 'strerror', '') or str(error)).lower()}") from error
    except csv.Error as error:
        raise PreparationError(f"{path}: not a CSV file ({error})") from error


def read_xlsx(path: Path, *needed: str) -> list[dict[str, str]]:
    """Read the first sheet of an Excel file, whose first row is the header; a missing cell is "".

    Raises:
        PreparationError: the file is missing, is not an Excel file, or lacks a column of `needed`.
    """
    try:
        with zipfile.ZipFile(path) as book:
            texts = _read_elements(book, _STRINGS, "si") if _STRINGS in book.namelist() else []
            strings = ["".join(part.text or "" for part in text.iter(f"{_MAIN}t")) for text in texts]
            rows = [_read_row(row, strings) for row in _read_elements(book, _SHEET, "row")]
    except OSError as error:
        raise PreparationError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except Exception as error:  # damaged archives raise many types of errors
        raise PreparationError(f"{path}: not a readable Excel file (.xlsx), or a damaged or encrypted one") from error
    header = rows[0] if rows else {}
    _check_columns(path, header.values(), needed)
    return [{name: row.get(column, "") for column, name in header.items()} for row in rows[1:]]


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise csv.Error("it is not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # Figure 1, whose notes contain a degree sign


def _check_columns(path: Path, columns: Iterable[str], needed: Iterable[str]) -> None:
    for name in needed:
        if name not in columns:
            raise PreparationError(f"{path}: it has no column {name}")


def _read_elements(book: zipfile.ZipFile, member: str, name: str) -> list[ElementTree.Element]:
    if book.getinfo(member).file_size > _MAX_SHEET_BYTES:
        raise ValueError("the sheet is too large")
    return list(ElementTree.fromstring(book.read(member)).iter(f"{_MAIN}{name}"))


def _read_row(row: ElementTree.Element, strings: list[str]) -> dict[str, str]:
    """Return column letters -> text."""
    cells = {}
    for cell in row.iter(f"{_MAIN}c"):
        column = re.match("[A-Z]+", cell.get("r", ""))
        if column is None:
            raise ValueError("a cell without a reference")
        text = "".join(part.text or "" for part in cell.iter() if part.tag in (f"{_MAIN}v", f"{_MAIN}t"))
        is_shared = cell.get("t") == "s" and text
        cells[column[0]] = (strings[int(text)] if is_shared else text).strip()
    return cells
