"""Read DICOM metadata: whether a file is a frontal radiograph, and the patient's sex and age."""

import math
import re
from dataclasses import replace

from cxrjax.io import reader
from cxrjax.io.dicom_elements import read_header, read_text
from cxrjax.io.errors import ImageReadError
from cxrjax.io.projection_terms import is_lateral
from data_prep.example import UNKNOWN, Example
from data_prep.reader import read_example
from data_prep.record import Record, RecordError

MAX_AGE = 120  # years; larger values are errors
_TAGS = ("PatientSex", "PatientAge")
_SEXES = ("F", "M", "O")  # of PatientSex (PS3.3 C.7.1.1)
_UNITS_PER_YEAR = {"Y": 1, "M": 12, "W": 365.25 / 7, "D": 365.25}


def read_frontal(record: Record) -> Example:
    """Read one radiograph as `read_example` does, with sex and age from a DICOM header.

    Raises:
        RecordError: the file has another modality or a lateral view, or `read_example` raises it.
    """
    if record.file is None:
        raise RecordError("no such file")
    header = read_header(record.file, _TAGS)
    try:
        refusal = reader.shared().explain_refusal(record.file)
    except ImageReadError as error:
        raise RecordError(error.reason) from error
    if refusal:
        raise RecordError(refusal)
    example = read_example(record)
    if is_lateral(example.view):
        raise RecordError("lateral view")
    sex = read_text(header, "PatientSex")
    return replace(
        example,
        sex=example.sex or (sex if sex in _SEXES else ""),
        age=parse_age(read_text(header, "PatientAge")) if math.isnan(example.age) else example.age,
    )


def parse_age(text: str) -> float:
    """Parse years from DICOM's "045Y", "006M" or a number; NaN for other text and ages above `MAX_AGE`."""
    match = re.fullmatch(r"(\d+)([YMWD]?)", text.strip())
    years = int(match[1]) / _UNITS_PER_YEAR[match[2] or "Y"] if match else UNKNOWN
    return years if years <= MAX_AGE else UNKNOWN
