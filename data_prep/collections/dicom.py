"""What a DICOM file tells beside its pixels: whether it is a frontal radiograph, and of whom."""

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

OLDEST = 120  # years; more is a slip of the pen
_TAGS = ("PatientSex", "PatientAge")
_SEXES = ("F", "M", "O")  # of PatientSex (PS3.3 C.7.1.1)
_A_YEAR = {"Y": 1, "M": 12, "W": 365.25 / 7, "D": 365.25}


def read_frontal(row: Record) -> Example:
    """Reads one radiograph as `read_example` does, with sex and age as a DICOM file tells them.

    Raises:
        RecordError: no radiograph but another modality, a lateral view, or what `read_example` refuses.
    """
    header = read_header(row.file, _TAGS)
    try:
        refusal = reader.shared().explain_refusal(row.file)
    except ImageReadError as error:
        raise RecordError(error.reason) from error
    if refusal:
        raise RecordError(refusal)
    example = read_example(row)
    if is_lateral(example.view):
        raise RecordError("lateral view")
    sex = read_text(header, "PatientSex")
    return replace(
        example,
        sex=example.sex or (sex if sex in _SEXES else ""),
        age=parse_age(read_text(header, "PatientAge")) if math.isnan(example.age) else example.age,
    )


def parse_age(text: str) -> float:
    """Years from DICOM's "045Y", "006M" or a bare number; NaN from anything else and where no one is so old."""
    told = re.fullmatch(r"(\d+)([YMWD]?)", text.strip())
    years = int(told[1]) / _A_YEAR[told[2] or "Y"] if told else UNKNOWN
    return years if years <= OLDEST else UNKNOWN
