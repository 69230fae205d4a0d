"""Progress bars, which are off where standard error is not a terminal."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

from cxrjax.runtime import terminal

_DELAY = 2.0  # seconds before a bar appears


def progress_bar(iterable: Iterable[Any] | None = None, *, desc: str, unit: str, **options: Any) -> tqdm:
    """Return a progress bar, which iterates over `iterable` if there is one.

    Args:
        iterable: what to iterate over; None for a bar that is updated by hand, as a context manager.
        desc: activity, such as "finding lungs".
        unit: singular name of what is counted, such as "radiograph".
        **options: further options of `tqdm`, such as `total`.
    """
    return tqdm(iterable, **({"delay": _DELAY, "disable": None, "desc": desc, "unit": unit} | options))


def print_above_bars(text: str, file: TextIO | None = None) -> None:
    """Print one line, escaped, above the progress bars that are on the terminal.

    Args:
        text: the line.
        file: the stream; standard output if None.
    """
    file = file or sys.stdout
    with tqdm.external_write_mode(file=file):
        terminal.print_line(text, file)
