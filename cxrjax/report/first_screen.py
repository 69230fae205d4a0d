"""Content of the first screen of a page: a sentence, a caveat, and scores as bars."""

from typing import Any, NamedTuple

from cxrjax.runtime.formatting import format_label

_AREA = "1 is perfect, 0.5 is a coin toss: the area under the ROC curve"
AUROC_NOTE = f"{_AREA}, averaged over the classes (macro AUROC)"
FINDING_NOTE = f"{_AREA}, averaged over the findings (macro AUROC)"


def class_auroc_note(label: str) -> str:
    """Return what the AUROC of one class means."""
    return f"{_AREA} of {format_label(label)} against all others (AUROC)"


class Bar(NamedTuple):
    """Score on the first screen."""

    name: str
    kind: str  # "network", "shortcut", "chance" or "structure"
    number: Any  # {"value", "interval"} or a plain number


class Overview(NamedTuple):
    """Content of the first screen beside its radiographs."""

    sentence: str
    detail: str  # a caveat; "" for none
    bars: tuple[Bar, ...]
    unit: str  # what the numbers mean
    needs_audit: bool  # whether an audit can be made, and was not
