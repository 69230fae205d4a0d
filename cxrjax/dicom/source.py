"""Header of the radiograph that results refer to: its identity, its raster, and the attributes of patient and study."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.uid import ComputedRadiographyImageStorage

from cxrjax.dicom import uids
from cxrjax.dicom.errors import DicomResultError
from cxrjax.io import dicom_orientation, reader
from cxrjax.io.dicom_header import integer_of, is_dicom, may_be_bare_dicom, numbers_of, read_dataset, text_of
from cxrjax.io.errors import ImageDecodeError, valid_uid
from cxrjax.io.limits import current

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# Of patient and study (PS3.3 C.7.1.1, C.7.2.1 and C.7.2.2): those that an image must have, then those that it may have.
_REQUIRED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
_OPTIONAL = (
    *("IssuerOfPatientID", "PatientBirthTime", "StudyDescription"),
    *("PatientAge", "PatientSize", "PatientWeight"),
)
_RASTER = ("Rows", "Columns", "PatientOrientation", "PixelSpacing", "BurnedInAnnotation")
TAGS = ("SpecificCharacterSet", *_UIDS, *_REQUIRED, *_OPTIONAL, *_RASTER)
_VALID = {  # VR -> values that are valid; others are left out
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[MFO]"),  # PatientSex is the only one
    "DA": re.compile(r"\d{8}"),
    "DS": re.compile(r"(?=.{1,16}$)[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
}


@dataclass(frozen=True)
class Source:
    """A radiograph in its study.

    Attributes:
        sop_class: UID of the kind of object that the file is.
        sop_instance: UID of the file, in results.
        study: UID of the study, in results.
        series: UID of the series, in results.
        height: rows of the file.
        width: columns of the file.
        orientation: see `dicom_orientation.read_orientation`.
        spacing: (row, column) PixelSpacing in mm; None if the file has none, or an impossible one.
        is_burned_in: whether the header says that the pixels show who the patient is.
        attributes: of patient and study, with text in UTF-8.
        original: SOP Instance UID of the file itself.
    """

    sop_class: str
    sop_instance: str
    study: str
    series: str
    height: int
    width: int
    orientation: tuple[str, str] | None
    spacing: tuple[float, float] | None
    is_burned_in: bool
    attributes: pydicom.Dataset = field(repr=False)
    original: str = field(repr=False)

    @property
    def turn(self) -> dicom_orientation.Turn:
        """The turn from the raster of the file to the upright radiograph."""
        return dicom_orientation.find_turn(self.orientation)

    def describe(self) -> pydicom.Dataset:
        """Return the data set of the radiograph for highdicom, without pixels and attributes of patient and study.

        Its SOP class is Computed Radiography, since highdicom does not know some others; `fill` sets the right one.
        """
        dataset = pydicom.Dataset()
        dataset.SOPClassUID = ComputedRadiographyImageStorage
        dataset.SOPInstanceUID = self.sop_instance
        dataset.StudyInstanceUID = self.study
        dataset.SeriesInstanceUID = self.series
        dataset.Rows = self.height
        dataset.Columns = self.width
        for keyword in _REQUIRED:
            setattr(dataset, keyword, "")
        return dataset

    def fill(self, dataset: pydicom.Dataset) -> None:
        """Set the attributes of patient and study of a result, and the SOP class in references to the radiograph."""
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.update(self.attributes)
        dataset.walk(self._correct_reference)

    def _correct_reference(self, item: pydicom.Dataset, element: DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID" and element.value == self.sop_instance:
            item.ReferencedSOPClassUID = self.sop_class


def read_source(path: str | os.PathLike[str]) -> pydicom.Dataset:
    """Read the header of a radiograph.

    Returns:
        The elements of TAGS that the file has.

    Raises:
        DicomResultError: it cannot be read, or is not a DICOM file.
    """
    name = Path(path).name
    try:
        limits = current()
        data = reader.read_bytes(os.fspath(path), limits)
        if not (is_dicom(data) or may_be_bare_dicom(data)):
            raise DicomResultError("is not a DICOM file, so that it has no study for DICOM results", name)
        return read_dataset(data, TAGS, limits)[0]
    except ImageDecodeError as error:
        raise DicomResultError(error.reason, name) from error


def parse_source(dataset: pydicom.Dataset, *, secret: bytes | None = None) -> Source:
    """Check the header of a radiograph.

    Args:
        dataset: the header, with or without pixels.
        secret: by which other UIDs replace those of the source, and the attributes of patient and study are left out;
            None to leave both as they are.

    Raises:
        DicomResultError: a UID or the size is missing or not valid; or the pixels show who the patient is and there is
            a secret.
    """
    found = {keyword: valid_uid(text_of(dataset, keyword)) for keyword in _UIDS}
    for keyword, uid in found.items():
        if not uid:
            raise DicomResultError(f"its {keyword} is missing or not valid, so that DICOM results cannot refer to it")
    height = integer_of(dataset, "Rows")
    width = integer_of(dataset, "Columns")
    if not height or not width:
        raise DicomResultError("its Rows or Columns are missing, so that DICOM results cannot have its size")
    is_burned_in = text_of(dataset, "BurnedInAnnotation").upper() == "YES"
    if is_burned_in and secret is not None:
        raise DicomResultError(
            "its BurnedInAnnotation is YES: the pixels show who the patient is, which the overlay would too, and which "
            "cannot be removed; make results without deidentifying them"
        )
    spacing = [value for value in numbers_of(dataset, "PixelSpacing") if value is not None and 1e-3 <= value <= 10]
    attributes = _copy_attributes(dataset)
    original = found["SOPInstanceUID"]
    if secret is not None:
        attributes = _remove_identity(uids.digest("patient", found["StudyInstanceUID"], secret=secret)[:16])
        found |= {name: uids.derive("replaced", found[name], secret=secret) for name in _UIDS[1:]}
    return Source(
        sop_class=found["SOPClassUID"],
        sop_instance=found["SOPInstanceUID"],
        study=found["StudyInstanceUID"],
        series=found["SeriesInstanceUID"],
        height=height,
        width=width,
        orientation=dicom_orientation.read_orientation(dataset),
        spacing=(round(spacing[0], 9), round(spacing[1], 9)) if len(spacing) == 2 else None,
        is_burned_in=is_burned_in,
        attributes=attributes,
        original=original,
    )


def _copy_attributes(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Copy the attributes of patient and study; a date, time or number that is not valid becomes empty."""
    attributes = pydicom.Dataset()
    for keyword in (*_REQUIRED, *_OPTIONAL):
        text = text_of(dataset, keyword).encode("utf-8", "replace").decode()
        vr = dictionary_VR(keyword)
        if vr in _VALID and not _VALID[vr].fullmatch(text):
            text = ""
        if text or keyword in _REQUIRED:
            _set_text(attributes, keyword, text)
    return attributes


def _remove_identity(pseudonym: str) -> pydicom.Dataset:
    """Return attributes that say nothing of patient and study but a pseudonym, which tells studies apart."""
    attributes = pydicom.Dataset()
    for keyword in _REQUIRED:
        _set_text(attributes, keyword, "")
    _set_text(attributes, "PatientID", f"cxrjax-{pseudonym}")
    attributes.PatientIdentityRemoved = "YES"
    attributes.DeidentificationMethod = "cxrjax: no attributes of patient and study, new UIDs"
    return attributes


def _set_text(dataset: pydicom.Dataset, keyword: str, text: str) -> None:
    """Set an element without pydicom's validation, whose warnings quote the value."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    dataset.add(DataElement(tag, dictionary_VR(keyword), text, validation_mode=config.IGNORE))
