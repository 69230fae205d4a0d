"""Base of the errors that this package raises, and sentences that more than one of its modules raises."""

from collections.abc import Sequence
from pathlib import Path


class CxrjaxError(Exception):
    """An error that a user can fix; the message is one sentence with the file, the reason and what to do."""


def explain_missing_class(run: str | Path, label: str, classes: Sequence[str]) -> str:
    """Return the sentence on a class that a run does not have; `classes` is empty for a segmenter."""
    available = f"there are {', '.join(classes)}" if classes else "this run trained a segmenter"
    return f"{run}: has no class {label!r}; {available}"


def explain_missing_detector(run: str | Path) -> str:
    """Return the sentence on a run to which no out-of-distribution detector was fitted."""
    return f"{run}: has no OOD detector for --reject_ood; --mode=fit_ood fits one"
