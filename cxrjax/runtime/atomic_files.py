"""Files and folders that are written whole or not at all; files, of several processes at one work, by the first."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cxrjax.runtime import multihost


def atomic_write(path: str | os.PathLike, data: bytes, private: bool = False) -> None:
    """Write a file; until the last byte is on disk, an older one of the name stays as it was.

    That holds for a loss of power too: the content is flushed to the disk before it takes the name.

    Args:
        path: the file; its folder exists.
        data: its content.
        private: whether only the user may read and write it, whatever the process's umask is.

    Raises:
        OSError: it cannot be written (no room, no right); what was begun is removed.
    """
    if not multihost.is_primary():
        return
    path = Path(path)
    begun = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        with begun.open("wb") as file:
            if private:
                os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(begun, path)
        sync(path.parent)
    finally:
        begun.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk; on systems and file systems that can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def atomic_dir(path: str | os.PathLike) -> Iterator[Path]:
    """A folder to write to, which has its name only once the block has ended without an error.

    Args:
        path: not there yet, or an empty folder.

    Raises:
        OSError: there is something already, or it cannot be written (no room, no right); what was begun is removed.
    """
    path = Path(path).resolve()
    if path.is_dir() and any(path.iterdir()) or path.exists() and not path.is_dir():
        raise FileExistsError(f"{path}: there is something here already; name another folder, or remove it")
    begun = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    begun.mkdir()  # outside of the clean-up: a folder that is there already is another's
    try:
        yield begun
        for file in begun.rglob("*"):
            sync(file)
        os.replace(begun, path)
        sync(path.parent)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
