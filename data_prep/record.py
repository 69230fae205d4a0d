"""A radiograph as upstream describes it, before its file is opened, and the ways to leave it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.example import UNKNOWN

# What a mask file shows.
HEART = "heart"
LEFT_LUNG = "left lung"
RIGHT_LUNG = "right lung"
LUNG_FIELD = "lungs"
LABEL_MAP = "map"

NO_LABEL = "unlabeled"  # stands for an empty label in counts


class PreparationError(Exception):
    """A preparation that cannot be done; the message is one sentence with the name and the reason."""


class RecordError(Exception):
    """A radiograph that cannot be stored; the message is the reason, without the name of the radiograph."""


class SkippedRecord(NamedTuple):
    """An upstream file that is left out without being opened: missing, not a radiograph, or not a frontal view."""

    id: str
    reason: str


@dataclass(frozen=True)
class Record:
    """One radiograph before it is read; "" and NaN stand for unknown. See `Example` for the other attributes.

    Attributes:
        id: unique in its data set: the path as upstream writes it.
        file: its image file; None for a radiograph that the source draws.
        masks: mask files by what each shows: HEART, LEFT_LUNG, RIGHT_LUNG, LUNG_FIELD, or LABEL_MAP.
        mask_kind: of a LABEL_MAP, if known: one of `example.MASK_KINDS`.
        split: the name of a required split, several joined by "|" to choose from, or "" for any.
        payload: further data that the source needs to read it.
        findings: of a source with several findings per radiograph, see `cxrjax.io.findings`; `label` is that of
            `findings.format_label` then.
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
    license: str = ""
    split: str = ""
    payload: Any = None
    findings: Mapping[str, float] = field(default_factory=dict)


SplitPlan = dict[str, list[Record]]  # split name -> its radiographs, in the order in which they are stored
