"""Progress bars, which are off where standard error is not a terminal."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

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
