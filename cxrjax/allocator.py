"""The memory of the CPU, kept by the process once it has it.

A training step frees what the next one asks for again. By default glibc gives large blocks back to the system, which
fills every page of the next ones with zeros first: a fifth of the time of a small ResNet's step, measured on two cores.
It also keeps what each thread freed for that thread, and XLA's ask in turn; so there is one arena for all.
"""

import ctypes
import sys
from collections.abc import Callable

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of mallopt(3)


def keep_memory() -> None:
    """Let glibc hold freed memory for the next to ask; where there is no glibc, nothing changes."""
    mallopt = _find("mallopt")
    if mallopt:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)  # never: an int cannot say "above 2 GiB", and a step may take more


def give_back() -> None:
    """Give to the system what is freed, this once: around what takes more than all else, as compiling does."""
    trim = _find("malloc_trim")
    if trim:
        trim(0)


def _find(name: str) -> Callable[..., int] | None:
    """A function of glibc, or None where there is no glibc."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
