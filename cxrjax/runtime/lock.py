"""Exclusive lock of a folder, which is released when the process ends, even if it is killed."""

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
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.text import SHORT_LENGTH, printable

NAME = ".lock"
_MAX_BYTES = 1000  # that are read of the holder's description


class LockedError(CxrjaxError, OSError):
    """Another process holds the lock; the message names the folder and that process."""


@contextmanager
def acquire(folder: Path, work: str, flag: str = "--workdir") -> Iterator[None]:
    """Hold the lock of a folder inside the block.

    Where the file system does not support locks, a warning is printed on stderr and the block runs without a lock.

    Args:
        folder: an existing folder.
        work: participle for the error message of other processes, as "trained" in "it is being trained".
        flag: that names the folder on the command line.

    Raises:
        LockedError: another process holds the lock.
        OSError: the lock file cannot be written.
    """
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{folder / NAME}: not a regular file; remove it")
        _lock(descriptor, folder, work, flag)
        yield
    finally:
        os.close(descriptor)  # the file stays: another process may hold its lock by now


def _lock(descriptor: int, folder: Path, work: str, flag: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(
            f"{folder}: it is being {work} by another process ({_describe_holder(descriptor)}); wait until that "
            f"process has ended, or name another {flag}"
        ) from None
    except OSError as error:  # NFS without a lock daemon, some network file systems
        terminal.warn(
            f"{folder}: the file system has no locks ({error.strerror}); make sure that no other process works here"
        )
        return
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, (json.dumps(holder) + "\n").encode(), 0)


def _describe_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, _MAX_BYTES, 0))
        return printable(f"{holder['process']} on {holder['host']}, since {holder['since']}", SHORT_LENGTH)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "unknown process"
