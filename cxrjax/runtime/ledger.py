"""A record of the files that a command wrote into a folder of the user's, so that it replaces and removes no others.

A file counts as written by the command if the record has its name, its size and its SHA-256: one that was changed since
is the user's. What is to be written is recorded first, in a journal, so that a kill leaves no file without its record;
until the command ends, what was there before counts too.
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
    """The content of a file."""

    size: int  # bytes
    sha256: str


class Ledger:
    """The files of a folder that earlier commands, and the one that is under way, wrote."""

    def __init__(self, folder: Path, name: str, journals: Path):
        """Read the record.

        Args:
            folder: where the files are; may be absent.
            name: of the record in it.
            journals: the folder of journals of the command that is under way; may be absent until something is written.

        Raises:
            ValueError: the file of that name is no such record.
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
                except ValueError:  # cut short by a kill, before the file of that line was written
                    continue
                files.setdefault(name, set()).add(Content(*content))
        self._files = files

    def owns(self, name: str) -> bool:
        """Return whether there is a file of that name, just as it was written."""
        return self._find_content(name) is not None

    def is_free(self, name: str) -> bool:
        """Return whether a file of that name may be written: there is none, or it is owned, and its folder is real."""
        parents = [self._folder / parent for parent in Path(name).parents[:-1]]
        if any(os.path.lexists(parent) and (parent.is_symlink() or not parent.is_dir()) for parent in parents):
            return False
        if not os.path.lexists(self._folder / name) or self.owns(name):
            return True
        self.refresh()  # another process may just have written it
        return self.owns(name)

    def place(self, begun: Path, name: str) -> None:
        """Give a finished file, of the same file system, its name in the folder; what is there has to be free.

        Raises:
            OSError: it cannot be.
        """
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._note(name, _describe(begun))
        os.replace(begun, path)

    def remove(self, name: str) -> None:
        """Remove a file if it is owned."""
        if self.owns(name):
            (self._folder / name).unlink()

    def save(self) -> None:
        """Write the record, the journals with it."""
        self.refresh()
        files = {}
        for name, recorded in sorted(self._files.items()):
            content = next(iter(recorded)) if len(recorded) == 1 else self._find_content(name)
            if content and os.path.lexists(self._folder / name):
                files[name] = content
        record = {"title": _TITLE, "files": files}
        atomic_files.atomic_write(self._path, (json.dumps(record, indent=1) + "\n").encode())

    def _find_content(self, name: str) -> Content | None:
        """Return what is in a file, if it is recorded so."""
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

    def _note(self, name: str, content: Content) -> None:
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
                f"{self._path}: is not the record of what cxrjax wrote here; name another folder, or move the file away"
            ) from error


def _describe(path: Path) -> Content:
    with path.open("rb") as file:
        return Content(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
