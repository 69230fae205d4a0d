"""The rows of a prediction under way, in OUTPUT/predictions.partial: so that it goes on after a kill, and is shared.

Each portion of rows is a file of its own, written whole by whichever process examined it. Whoever finds a row of every
radiograph there makes predictions.csv of them, and removes the folder.
"""

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrjax import predictions, whole

_FOLDER, _ASKED, _TABLE = "predictions.partial", "asked.json", "predictions.csv"


class Parts:
    """The portions of one prediction, of all its processes."""

    def __init__(self, output: Path, columns: Sequence[str], asked: Mapping[str, Any]):
        """Begin, or go on.

        Args:
            output: the folder of the prediction, which exists.
            columns: of its table.
            asked: text, numbers and truth values that its rows depend on, the same in all processes.

        Raises:
            ValueError: one that was asked for otherwise is under way there; the first that differs is named.
        """
        self._columns, self._folder, self._table = columns, output / _FOLDER, output / _TABLE
        self._folder.mkdir(exist_ok=True)
        path = self._folder / _ASKED
        if not path.exists():
            whole.write(path, (json.dumps(asked, indent=2) + "\n").encode())
        begun = json.loads(path.read_text())
        for key, value in asked.items():
            if begun.get(key) != value:
                raise ValueError(
                    f"{self._folder}: was begun with {key}={begun.get(key)!r}, and is now given {value!r}; "
                    "go on with the old setting, or remove the folder"
                )

    def read(self) -> dict[str, dict[str, Any]]:
        """The rows that there are by now, of any process, by path."""
        try:
            tables = [predictions.read(file) for file in self._folder.glob("*.csv")]
        except FileNotFoundError:  # another process, the last, has finished just now
            tables = [predictions.read(self._table)]
        return {row["path"]: row for table in tables for row in table}

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep a portion of rows."""
        predictions.write(self._folder / f"{secrets.token_hex(8)}.csv", rows, self._columns)

    def finish(self, paths: Sequence[str]) -> None:
        """Write predictions.csv, a row a path in their order, if all of them are there."""
        rows = self.read()
        if not rows.keys() >= set(paths):
            return
        predictions.write(self._table, [rows[path] for path in paths], self._columns)
        done = self._folder.with_name(f".{_FOLDER}.{secrets.token_hex(8)}")
        try:
            self._folder.rename(done)
        except FileNotFoundError:  # another process, which found them all too, was faster
            return
        shutil.rmtree(done)
