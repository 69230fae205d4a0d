"""Rows of an unfinished prediction, in OUTPUT/predictions.partial, from which it resumes and which processes share.

Each chunk of rows is one file, written atomically by the process that predicted it. The process that finds a row for
every radiograph writes the table and removes the folder.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrjax.io import predictions_csv
from cxrjax.runtime import atomic_files, former_names

_SETTINGS = "request.json"
_VERSION = 2  # of the rows and of the pictures' names: raised when parts of two versions do not make one prediction
_OWN_FILES = ("portion-*.csv", "written-*.jsonl", "picture-*.png", "table-*.tmp", ".*.tmp")


class PredictionJournal:
    """The portions of one prediction, of all its processes."""

    def __init__(self, folder: Path, columns: Sequence[str], settings: Mapping[str, Any]):
        """Begin, or go on.

        Args:
            folder: of the portions; the folder it lies in exists.
            columns: of the table.
            settings: text, numbers and truth values that the rows depend on, the same in all processes.

        Raises:
            ValueError: see `check`; or a prediction with other settings is under way there, the first that differs is
                named.
        """
        check(folder)
        self._columns = columns
        self._folder = folder
        self._folder.mkdir(exist_ok=True)
        path = former_names.find(self._folder, _SETTINGS)
        wanted = {"version": _VERSION, **settings}
        if not path.exists():
            atomic_files.atomic_write(path, (json.dumps(wanted, indent=2) + "\n").encode())
        begun = former_names.upgrade(json.loads(path.read_text()), path.name)
        if begun.get("version") != _VERSION:
            raise ValueError(
                f"{self._folder}: was begun by another version of cxrjax; remove the folder, and the prediction begins "
                "again"
            )
        for key, value in wanted.items():
            if begun.get(key) != value:
                raise ValueError(
                    f"{self._folder}: was begun with {key}={begun.get(key)!r}, and is now given {value!r}; "
                    "go on with the old setting, or remove the folder"
                )

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the rows that there are by now, of any process, by path."""
        tables = [predictions_csv.read(file) for file in sorted(self._folder.glob("portion-*.csv"))]
        return {row["path"]: row for table in tables for row in table}

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a portion of rows."""
        if rows:
            predictions_csv.write(self._folder / f"portion-{secrets.token_hex(8)}.csv", rows, self._columns)

    def remove(self) -> None:
        """Remove the folder, but for files that are not of the prediction; another process may do so, too."""
        done = self._folder.with_name(f".{self._folder.name}.{secrets.token_hex(8)}")
        try:
            self._folder.rename(done)
        except FileNotFoundError:
            return
        for pattern in _OWN_FILES:
            for file in done.glob(pattern):
                file.unlink()
        former_names.find(done, _SETTINGS).unlink(missing_ok=True)
        try:
            done.rmdir()
        except OSError:  # a file of the user's is in it
            done.rename(self._folder)


def check(folder: Path) -> None:
    """Refuse a folder that is there and not of a prediction.

    Raises:
        ValueError: it is not, or what it says of its settings is damaged.
    """
    path = former_names.find(folder, _SETTINGS)
    try:
        if not folder.is_dir():
            is_own = not folder.exists()
        elif not path.exists():
            is_own = not any(each for each in folder.iterdir() if not each.name.startswith(f".{_SETTINGS}."))
        else:
            is_own = isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        is_own = False
    if not is_own:
        raise ValueError(
            f"{folder}: is not of a prediction that was stopped, or is damaged; move it away, or name another folder"
        )
