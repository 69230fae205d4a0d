"""What a DICOM file tells beside its pixels: whether it is a frontal radiograph, and of whom."""

import contextlib
import math
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pydicom

from cxrjax.io import reader
from cxrjax.io.errors import UnreadableRadiograph
from cxrjax.io.view_words import is_lateral
from data_prep.example import UNKNOWN, Example
from data_prep.reading import read_example
from data_prep.row import BadRow, Row

OLDEST = 120  # years; more is a slip of the pen
_TAGS = ["PatientSex", "PatientAge"]
_A_YEAR = {"Y": 1, "M": 12, "W": 365.25 / 7, "D": 365.25}


def read_frontal(row: Row) -> Example:
    """Reads one radiograph as `read_example` does, with sex and age as a DICOM file tells them.

    Raises:
        BadRow: no radiograph but another modality, a lateral view, or what `read_example` refuses.
    """
    header = _read_header(row.file)
    try:
        refusal = reader.shared().explain_refusal(row.file)
    except UnreadableRadiograph as error:
        raise BadRow(error.reason) from error
    if refusal:
        raise BadRow(refusal)
    example = read_example(row)
    if is_lateral(example.view):
        raise BadRow("lateral view")
    return replace(
        example,
        sex=example.sex or str(header.get("PatientSex") or ""),
        age=parse_age(str(header.get("PatientAge") or "")) if math.isnan(example.age) else example.age,
    )


def parse_age(text: str) -> float:
    """Years from DICOM's "045Y", "006M" or a bare number; NaN from anything else and where no one is so old."""
    told = re.fullmatch(r"(\d+)([YMWD]?)", text.strip())
    years = int(told[1]) / _A_YEAR[told[2] or "Y"] if told else UNKNOWN
    return years if years <= OLDEST else UNKNOWN


def _read_header(file: Path) -> pydicom.Dataset:
    """Nothing of a file that is no DICOM file: what is wrong with it, `read_example` says."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
    return pydicom.Dataset()
