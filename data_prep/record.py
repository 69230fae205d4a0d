"""What upstream says of a radiograph before its file is opened, and the two ways to say no."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.example import UNKNOWN

HEART, LEFT_LUNG, RIGHT_LUNG, LUNG_FIELD, LABEL_MAP = (
    "heart",
    "left lung",
    "right lung",
    "lungs",
    "map",
)  # what a mask file shows


class PreparationError(Exception):
    """A request that cannot be met; the message is one sentence that names what and why."""


class RecordError(Exception):
    """One radiograph that cannot be taken; the message is the reason without its name."""


class SkippedRecord(NamedTuple):
    """A file of upstream's that is not taken for what is known of it: absent, no radiograph, no frontal view."""

    id: str
    reason: str


@dataclass(frozen=True)
class Record:
    """One radiograph to come. "" and NaN stand for not known; see `Example` for what is not told here.

    Attributes:
        id: unique in its data set: the path as upstream writes it.
        file: where it lies; None for a radiograph that is drawn, not read.
        masks: mask files, by what each shows: HEART, LEFT, RIGHT, LUNGS_PART, or MAP (a label map).
        mask_kind: of a MAP, where it is known: `example.STRUCTURES` or `example.LUNGS`.
        split: where it has to be: the name of a split, several joined by "|" to choose from, "" for any.
        given: whatever else the source needs to make it.
    """

    id: str
    file: Path | None = None
    label: str = ""
    upstream_label: str = ""
    patient_id: str = ""
    source: str = ""
    view: str = ""
    sex: str = ""
    age: float = UNKNOWN
    spacing: tuple[float, float] = (UNKNOWN, UNKNOWN)
    masks: dict[str, Path] = field(default_factory=dict)
    mask_kind: str = ""
    licence: str = ""
    split: str = ""
    payload: Any = None


SplitPlan = dict[str, list[Record]]  # split name -> its radiographs, in the order they are stored
