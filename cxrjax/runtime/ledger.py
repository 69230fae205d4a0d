"""Record of the files that a command wrote into a user's folder, so that it replaces and removes no other files.

A file counts as written by the command if the record has its name, size and SHA-256; a file that was changed since
belongs to the user. Each file is recorded in a journal before it is written, so that a killed command leaves no file
without a record. Until the command ends, the previous content of a file counts as recorded too.
"""

import hashlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from cxrjax.runtime import atomic_files

_TITLE = "files that cxrjax wrote here; it replaces or removes no others"


class Content(NamedTuple):
    """Size and checksum of a file's content."""

    size: int  # bytes
    sha256: str


class Ledger:
    """The files of a folder that earlier commands and the current one wrote."""

    def __init__(self, folder: Path, name: str, journals: Path):
        """Read the record.

        Args:
            folder: folder of the files; may be absent.
            name: file name of the record in it.
            journals: folder of the current command's journals; may be absent until something is written.

        Raises:
            ValueError: the file of that name is not such a record.
        """
        self._folder = folder
        self._path = folder / name
        self._journals = journals
        self._own_journal = journals / f"written-{secrets.token_hex(8)}.jsonl"
        self._files: dict[str, set[Content]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the record and the journals of all processes."""
        files = {name: {Content(*content)} for name, content in self._read_record().items()}
        for journal in self._journals.glob("written-*.jsonl"):
            for line in journal.read_text().splitlines():
                try:
                    name, content = json.loads(line)
                except ValueError:  # truncated by a kill, before the file of that line was written
                    continue
                files.setdefault(name, set()).add(Content(*content))
        self._files = files

    def owns(self, name: str) -> bool:
        """Return whether a file of that name exists, with its content as recorded."""
        return self._find_content(name) is not None

    def is_free(self, name: str) -> bool:
        """Return whether a file of that name may be written: none exists or it is owned, and no parent is a link."""
        parents = [self._folder / parent for parent in Path(name).parents[:-1]]
        if any(os.path.lexists(parent) and (parent.is_symlink() or not parent.is_dir()) for parent in parents):
            return False
        if not os.path.lexists(self._folder / name) or self.owns(name):
            return True
        self.refresh()  # another process may just have written it
        return self.owns(name)

    def place(self, finished: Path, name: str) -> None:
        """Move a finished file into the folder and record it.

        Args:
            finished: a file on the same file system.
            name: its name in the folder, which must be free (`is_free`).

        Raises:
            OSError: the file cannot be moved.
        """
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._append_to_journal(name, _describe(finished))
        os.replace(finished, path)

    def remove(self, name: str) -> None:
        """Remove a file if it is owned."""
        if self.owns(name):
            (self._folder / name).unlink()

    def save(self) -> None:
        """Write the record, including the entries of the journals."""
        self.refresh()
        files = {}
        for name, recorded in sorted(self._files.items()):
            content = next(iter(recorded)) if len(recorded) == 1 else self._find_content(name)
            if content and os.path.lexists(self._folder / name):
                files[name] = content
        record = {"title": _TITLE, "files": files}
        atomic_files.atomic_write(self._path, (json.dumps(record, indent=1) + "\n").encode())

    def _find_content(self, name: str) -> Content | None:
        """Return the content of a file if it is recorded; None otherwise."""
        recorded = self._files.get(name, set())
        path = self._folder / name
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size not in {content.size for content in recorded}:
                return None
            content = _describe(path)
        except OSError:
            return None
        return content if content in recorded else None

    def _append_to_journal(self, name: str, content: Content) -> None:
        with self._own_journal.open("a") as journal:
            journal.write(json.dumps([name, content]) + "\n")
        self._files.setdefault(name, set()).add(content)

    def _read_record(self) -> dict[str, list]:
        try:
            record = json.loads(self._path.read_bytes())
            if record["title"] != _TITLE or not all(len(content) == 2 for content in record["files"].values()):
                raise ValueError(record["title"])
            return record["files"]
        except FileNotFoundError:
            return {}
        except NotADirectoryError:
            return {}
        except (ValueError, TypeError, KeyError, AttributeError, IsADirectoryError) as error:
            raise ValueError(
                f"{self._path}: is not a record of files that cxrjax wrote; name another folder, or move the file away"
            ) from error


def _describe(path: Path) -> Content:
    with path.open("rb") as file:
        return Content(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
