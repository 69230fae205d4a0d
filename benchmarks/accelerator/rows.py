"""Rows of the results, each printed and saved as soon as it is measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import write_table
from cxrjax.runtime import atomic_files


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        part: name of the part that measured it.
        what: name of the measurement.
        value: a number or a text.
        unit: unit of the number.
        peer: the value of PyTorch; None if it was not measured.
        higher_is_better: whether higher values are better.
        note: a target, settings, or an error.
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
        """Return how many times better the value is than the peer's; None without a peer."""
        if self.peer is None or isinstance(self.value, str) or not self.value or not self.peer:
            return None
        return self.value / self.peer if self.higher_is_better else self.peer / self.value

    def cells(self) -> list[str]:
        """Return the cells of the Markdown table."""
        return [
            self.part,
            self.what,
            format_number(self.value),
            "" if self.peer is None else format_number(self.peer),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            self.unit,
            self.note,
        ]


HEADER = ["part", "measurement", "cxrjax", "PyTorch", "ratio (above 1: cxrjax is better)", "unit", "note"]


class Report:
    """All rows so far; each is printed and saved in OUT/accelerator.json immediately."""

    def __init__(self, out: Path, header: Mapping[str, Any]):
        """Start a report with the content of `header`, such as the command."""
        self._path = out / "accelerator.json"
        self.header = dict(header)
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Print a row and save the report."""
        self.rows.append(row)
        print(" | ".join(row.cells()), flush=True)
        self.save()

    def save(self) -> None:
        """Save the report."""
        record = self.header | {"rows": [asdict(row) | {"ratio": row.ratio} for row in self.rows]}
        atomic_files.atomic_write(self._path, (json.dumps(record, indent=2) + "\n").encode())

    def table(self) -> str:
        """Return all rows as a Markdown table."""
        return write_table(HEADER, [row.cells() for row in self.rows])


def format_number(value: float | str) -> str:
    """Return a number with three digits; text unchanged."""
    return value if isinstance(value, str) else f"{value:.3g}"
