"""Limits on the size of input files and on the time and memory of decoding them, shared by all readers.

They are set by `--limits=max_pixels=2e8,max_seconds=120` of a command, or by the environment variable `CXRJAX_LIMITS`
of the same form, which passes them to all processes of a command.
"""

import math
import os
from dataclasses import dataclass, fields, replace
from typing import Self

VARIABLE = "CXRJAX_LIMITS"


@dataclass(frozen=True)
class Limits:
    """Limits of one file.

    Attributes:
        max_bytes: bytes of the file.
        max_pixels: pixels of the image. The largest radiographs of current detectors have less than 50 million.
        max_seconds: seconds of CPU time to decode it (three times as much wall-clock time).
        max_memory: bytes of memory to decode it, beyond what the reading process uses before.
    """

    max_bytes: int = 512 * 2**20
    max_pixels: int = 100_000_000
    max_seconds: float = 30
    max_memory: int = 3 * 2**30

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the defaults, changed by a text such as "max_pixels=2e8,max_seconds=120" or "".

        Raises:
            ValueError: an unknown limit, or a value that is not a positive number.
        """
        limits = cls()
        names = [field.name for field in fields(cls)]
        for setting in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = setting.partition("=")
            if name not in names:
                raise ValueError(f"{name!r} is not a limit of a file; available: {', '.join(names)}")
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if not 0 < number < math.inf:
                raise ValueError(f"the limit {name}={value!r} is not a positive number")
            limits = replace(limits, **{name: number if name == "max_seconds" else max(1, int(number))})
        return limits


def current() -> Limits:
    """Return the limits of this process: the defaults, changed by the environment variable.

    Raises:
        ValueError: see `Limits.parse`.
    """
    return Limits.parse(os.environ.get(VARIABLE, ""))


def use(text: str) -> None:
    """Set the limits of this process and of its child processes.

    Raises:
        ValueError: see `Limits.parse`.
    """
    Limits.parse(text)
    if text:
        os.environ[VARIABLE] = text
