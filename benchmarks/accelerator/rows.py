"""What was measured, row by row: printed, and written to a file, as soon as it is known."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import write_table
from cxrjax.runtime import atomic_files


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        part: name of the part that measured it.
        what: what was measured.
        value: a number, or words.
        unit: of the number.
        peer: the same of PyTorch; None where it has no part in it.
        higher_is_better: which of the two is ahead where there are both.
        note: a wanted value, settings, or what went wrong.
    """

    part: str
    what: str
    value: float | str
    unit: str = ""
    peer: float | None = None
    higher_is_better: bool = True
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer; None without one."""
        if self.peer is None or isinstance(self.value, str) or not self.value or not self.peer:
            return None
        return self.value / self.peer if self.higher_is_better else self.peer / self.value

    def cells(self) -> list[str]:
        """The row of the Markdown table."""
        return [
            self.part,
            self.what,
            format_number(self.value),
            "" if self.peer is None else format_number(self.peer),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            self.unit,
            self.note,
        ]


HEAD = ["part", "measured", "cxrjax", "PyTorch", "times better", "unit", "note"]


class Report:
    """The rows so far; each is printed and kept in OUT/accelerator.json as it comes."""

    def __init__(self, out: Path, known: Mapping[str, Any]):
        """Begin with what is known of the command."""
        self._path = out / "accelerator.json"
        self.known = dict(known)
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Print a row and write all."""
        self.rows.append(row)
        print(" | ".join(row.cells()), flush=True)
        self.save()

    def save(self) -> None:
        """Write all that is known so far."""
        record = self.known | {"rows": [asdict(row) | {"ratio": row.ratio} for row in self.rows]}
        atomic_files.atomic_write(self._path, (json.dumps(record, indent=2) + "\n").encode())

    def table(self) -> str:
        """All rows in Markdown."""
        return write_table(HEAD, [row.cells() for row in self.rows])


def format_number(value: float | str) -> str:
    """A number in three digits; words as they are."""
    return value if isinstance(value, str) else f"{value:.3g}"
