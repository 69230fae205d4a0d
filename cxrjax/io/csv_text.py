"""Writing and reading of text in CSV files that may be opened in a spreadsheet.

A spreadsheet evaluates a text cell that begins with =, +, - or @ as a formula. Such a cell is prefixed with an
apostrophe, and so is a cell that begins with apostrophes before such a character, so that `restore` is exact. Numbers
are written unchanged. File names may contain any bytes: text is encoded as UTF-8 with surrogateescape.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

# Includes the full-width forms, which some spreadsheets treat alike, and the white space that they skip.
_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]")


def defuse(text: str) -> str:
    """Prefix a text with an apostrophe if a spreadsheet might evaluate it as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restore(cell: str) -> str:
    """Return the original text of a cell written by `defuse`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def format_rows(rows: Iterable[Sequence[object]], end: str = "\r\n") -> str:
    """Format rows, including the header, as CSV: a str is defused, all other values are written unchanged."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator=end)
    for row in rows:
        table.writerow([defuse(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def encode_rows(rows: Iterable[Sequence[object]], end: str = "\r\n") -> bytes:
    """Format rows as the bytes of a CSV file, see `format_rows`."""
    return format_rows(rows, end).encode("utf-8", "surrogateescape")
