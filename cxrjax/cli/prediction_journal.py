"""Rows of an unfinished prediction, in OUTPUT/predictions.partial, for resuming it and for sharing it among processes.

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
_VERSION = 3  # of the rows and of the names of files; increased when portions of two versions cannot be combined
_OWN_FILES = ("portion-*.csv", "written-*.jsonl", "picture-*.png", "file-*.tmp", "table-*.tmp", ".*.tmp")


class PredictionJournal:
    """The portions of rows of one prediction, from all its processes."""

    def __init__(self, folder: Path, columns: Sequence[str], settings: Mapping[str, Any]):
        """Start a prediction, or resume it.

        Args:
            folder: folder of the portions, which is created; its parent exists.
            columns: columns of the table.
            settings: values that the rows depend on, as JSON has them, the same in all processes.

        Raises:
            ValueError: see `check`; or the folder is that of a prediction with other settings, of which the message
                has the first that differs.
        """
        check(folder)
        self._columns = columns
        self._folder = folder
        self._folder.mkdir(exist_ok=True)
        path = former_names.find(self._folder, _SETTINGS)
        requested = {"version": _VERSION, **settings}
        if not path.exists():
            atomic_files.atomic_write(path, (json.dumps(requested, indent=2) + "\n").encode())
        existing = former_names.upgrade(json.loads(path.read_text()), path.name)
        if existing.get("version") != _VERSION:
            raise ValueError(
                f"{self._folder}: was started by another version of cxrjax; remove the folder to start the prediction "
                "again"
            )
        for key, value in requested.items():
            if existing.get(key) != value:
                raise ValueError(
                    f"{self._folder}: was started with {key}={existing.get(key)!r}, and now {value!r} is requested; "
                    "resume with the old setting, or remove the folder"
                )

    def read(self) -> dict[str, dict[str, Any]]:
        """Return the rows that all processes have written so far, by path."""
        tables = [predictions_csv.read(file) for file in sorted(self._folder.glob("portion-*.csv"))]
        return {row["path"]: row for table in tables for row in table}

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a portion of rows."""
        if rows:
            predictions_csv.write(self._folder / f"portion-{secrets.token_hex(8)}.csv", rows, self._columns)

    def remove(self) -> None:
        """Remove the folder, except for files of the user; another process may remove it at the same time."""
        removed = self._folder.with_name(f".{self._folder.name}.{secrets.token_hex(8)}")
        try:
            self._folder.rename(removed)
        except FileNotFoundError:
            return
        for pattern in _OWN_FILES:
            for file in removed.glob(pattern):
                file.unlink()
        former_names.find(removed, _SETTINGS).unlink(missing_ok=True)
        try:
            removed.rmdir()
        except OSError:  # it has a file of the user
            removed.rename(self._folder)


def check(folder: Path) -> None:
    """Check that a folder is absent, empty, or that of an unfinished prediction.

    Raises:
        ValueError: it is another folder, or its settings are damaged.
    """
    path = former_names.find(folder, _SETTINGS)
    try:
        if not folder.is_dir():
            is_own = not folder.exists()
        elif not path.exists():
            is_own = all(file.name.startswith(f".{_SETTINGS}.") for file in folder.iterdir())
        else:
            is_own = isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        is_own = False
    if not is_own:
        raise ValueError(
            f"{folder}: is not the folder of an unfinished prediction, or is damaged; move it away, or name "
            "another folder"
        )
