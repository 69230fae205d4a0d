"""Files and folders that are written whole or not at all; files, of several processes at one work, by the first."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxrjax import hosts


def write(path: str | os.PathLike, data: bytes) -> None:
    """Write a file; until the last byte is on disk, an older one of the name stays as it was.

    Args:
        path: the file; its folder exists.
        data: its content.

    Raises:
        OSError: it cannot be written (no room, no right); what was begun is removed.
    """
    if not hosts.leads():
        return
    path = Path(path)
    begun = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        begun.write_bytes(data)
        os.replace(begun, path)
    finally:
        begun.unlink(missing_ok=True)


@contextmanager
def folder(path: str | os.PathLike) -> Iterator[Path]:
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
        os.replace(begun, path)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
