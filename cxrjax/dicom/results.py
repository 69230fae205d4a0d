"""Segmentation, Secondary Capture and Structured Report of a prediction, in the study of its radiograph."""

from typing import TYPE_CHECKING

import pydicom

from cxrjax.runtime.errors import CxrjaxError

if TYPE_CHECKING:
    from cxrjax.inference.prediction import Prediction


class DicomResultError(CxrjaxError):
    """A radiograph for which no DICOM objects can be made; the message quotes nothing from its header."""


def build_results(
    prediction: "Prediction", source: pydicom.Dataset, *, deidentify: bool = False
) -> list[pydicom.Dataset]:
    """Build the DICOM objects of a prediction, in memory.

    UIDs are derived from the SOP Instance UID of the source, the model and the kind of object, so that another call
    returns the same UIDs.

    Args:
        prediction: for the radiograph of `source`.
        source: data set of the radiograph; its pixel data is not used, and it is not changed.
        deidentify: whether to leave out the attributes of patient and study, and to replace the UIDs of the source. The
            same study has the same new UIDs.

    Returns:
        Segmentation, Secondary Capture and Structured Report, in this order, each with its file meta information. There
        is no Segmentation where no lungs were found, or of a run without a segmenter.

    Raises:
        DicomResultError: the source lacks a UID or its size, or is not of the size of the prediction.
        ModuleNotFoundError: highdicom is not installed; the message has the command that installs it.
    """
    raise NotImplementedError


def encode(dataset: pydicom.Dataset) -> bytes:
    """Return a data set of `build_results` as the content of a DICOM file."""
    raise NotImplementedError
