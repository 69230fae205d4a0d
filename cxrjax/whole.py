"""Files that are written whole or not at all, and of several processes at one work by the first."""

import os
import secrets
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
    begun = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        begun.write_bytes(data)
        os.replace(begun, path)
    finally:
        begun.unlink(missing_ok=True)
