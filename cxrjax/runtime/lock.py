"""One process at a time in a folder, by a lock that ends with the process, however that ends."""

import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cxrjax.runtime import terminal
from cxrjax.runtime.text import SHORT, printable

NAME = ".lock"
_LONGEST = 1000  # bytes of what the holder writes into it


class Locked(OSError):
    """Another process works in the folder; the message names the folder and that process."""


@contextmanager
def hold(folder: Path, work: str) -> Iterator[None]:
    """Hold the lock of a folder inside the block.

    Where the file system has no such locks, one line on stderr says so and the block runs without.

    Args:
        folder: exists.
        work: what a process that holds the lock does, as "trained" in "it is being trained".

    Raises:
        Locked: another process holds it.
        OSError: no file can be written there.
    """
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{folder / NAME}: this is no regular file; remove it")
        _take(descriptor, folder, work)
        yield
    finally:
        os.close(descriptor)  # the file stays: to remove it could take away one that another process holds by now


def _take(descriptor: int, folder: Path, work: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Locked(
            f"{folder}: it is being {work} by another process ({_describe_holder(descriptor)}); wait until that has "
            "ended, or name another --workdir"
        ) from None
    except OSError as error:  # NFS without a lock daemon, some network file systems
        terminal.warn(
            f"{folder}: the file system has no locks ({error.strerror}); see that no other process works here"
        )
        return
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (json.dumps(holder) + "\n").encode(), 0)


def _describe_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, _LONGEST, 0))
        return printable(f"{holder['process']} on {holder['host']}, since {holder['since']}", SHORT)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "which one is not known"
