"""Atomic writes of files and folders. In a multi-process run, only the first process writes files."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cxrjax.runtime import multihost


def atomic_write(path: str | os.PathLike, data: bytes, private: bool = False) -> None:
    """Write a file atomically; an existing file of that name stays unchanged until the last byte is on disk.

    This also holds for a loss of power: the content is flushed to the disk before it gets the name. Processes other
    than the first write nothing.

    Args:
        path: the file; its folder exists.
        data: its content.
        private: whether only the user may read and write it, regardless of the process's umask.

    Raises:
        OSError: the file cannot be written (disk full, no permission); the temporary file is removed.
    """
    if not multihost.is_primary():
        return
    path = Path(path)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("wb") as file:
            if private:
                os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, where the system and the file system support it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def atomic_dir(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `path` when the block ends without an error.

    Args:
        path: the folder to create; it must not exist, or be an empty folder.

    Raises:
        OSError: `path` already has content, or cannot be written (disk full, no permission); the temporary folder is
            removed.
    """
    path = Path(path).resolve()
    if path.is_dir() and any(path.iterdir()) or path.exists() and not path.is_dir():
        raise FileExistsError(f"{path}: already exists; name another folder, or remove it")
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.mkdir()  # outside the clean-up: an existing folder belongs to another process
    try:
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
