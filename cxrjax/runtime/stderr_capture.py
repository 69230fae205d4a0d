"""Capture of the messages that C libraries write to standard error, so that they are read instead of printed.

libjpeg, libpng and libtiff report damage there and null else, without the name of the file. Descriptor 2 belongs to
the whole process, so only a process that runs one call at a time may capture it (`bounded_worker`); in any other
process `read_new` returns "".
"""

import os
import tempfile

_captured: int | None = None


def start() -> None:
    """Redirect descriptors 1 and 2 to an unnamed file for the rest of this process."""
    global _captured
    if _captured is not None:
        return
    try:
        if hasattr(os, "memfd_create"):
            _captured = os.memfd_create("complaints")
        else:
            with tempfile.TemporaryFile() as file:
                _captured = os.dup(file.fileno())
    except OSError:
        with open(os.devnull, "wb") as null:
            _redirect(null.fileno())
        return
    _redirect(_captured)


def is_active() -> bool:
    """Return whether this process captures its standard error."""
    return _captured is not None


def read_new() -> str:
    """Return the text written since the last call, and discard it; "" in a process that does not capture."""
    if _captured is None:
        return ""
    size = os.lseek(_captured, 0, os.SEEK_CUR)
    if not size:
        return ""
    text = os.pread(_captured, size, 0)
    os.ftruncate(_captured, 0)
    os.lseek(_captured, 0, os.SEEK_SET)
    return text.decode("utf-8", "replace")


def _redirect(target: int) -> None:
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
