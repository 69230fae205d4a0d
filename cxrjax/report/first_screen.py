"""Content of the first screen of a page: a sentence, a caveat, and scores as bars."""

from typing import Any, NamedTuple

AUROC_NOTE = "1 is perfect, 0.5 is a coin toss: the area under the ROC curve, averaged over the classes (macro AUROC)"


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
