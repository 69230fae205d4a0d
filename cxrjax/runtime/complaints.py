"""What C libraries write to standard error, kept from the terminal and readable by the code that called them.

libjpeg, libpng and libtiff report damage there and nowhere else, without the name of the file. Descriptor 2 belongs to
the whole process, so only a process that runs one call at a time may capture it (`bounded_worker`); anywhere else
`take` finds nothing.
"""

import os
import tempfile

_captured: int | None = None


def capture() -> None:
    """Send descriptors 1 and 2 to a file without a name for the rest of the life of this process."""
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
        with open(os.devnull, "wb") as nowhere:
            _redirect(nowhere.fileno())
        return
    _redirect(_captured)


def are_captured() -> bool:
    """Return whether this process captures them."""
    return _captured is not None


def take() -> str:
    """Return what was written since the last call, and forget it; "" in a process that does not capture."""
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
