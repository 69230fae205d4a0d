"""Write and read the text of CSV files that a spreadsheet may open.

A spreadsheet runs a text cell that begins with =, +, - or @ as a formula. Such a cell is written behind an apostrophe,
and one that begins with apostrophes before such a character behind one more, so that `restore` is exact. Numbers are
written as they are. Names of files may hold any bytes: text is encoded as UTF-8 with surrogateescape.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

# With the full-width forms, which some spreadsheets take for the same, and the white space that they skip.
_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]")


def defuse(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: behind an apostrophe where it might."""
    return f"'{text}" if _FORMULA.match(text) else text


def restore(cell: str) -> str:
    """Return the text that `defuse` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def format_rows(rows: Iterable[Sequence[object]], end: str = "\r\n") -> str:
    """Return rows, the header among them, as CSV: a str is text, which is defused, all else is written as it is."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator=end)
    for row in rows:
        table.writerow([defuse(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def encode_rows(rows: Iterable[Sequence[object]], end: str = "\r\n") -> bytes:
    """Return `format_rows` as the bytes of a file."""
    return format_rows(rows, end).encode("utf-8", "surrogateescape")
