"""Segmentation, Secondary Capture and Structured Report of a prediction, in the study of its radiograph."""

import io
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pydicom

from cxrjax.dicom import uids
from cxrjax.dicom.errors import DicomResultError
from cxrjax.dicom.silencing import silence
from cxrjax.dicom.source import Source, parse_source, read_source
from cxrjax.runtime import user_secret

if TYPE_CHECKING:
    from cxrjax.dicom.identity import Identity
    from cxrjax.inference.prediction import Prediction


def build_results(
    prediction: "Prediction", source: pydicom.Dataset | str | os.PathLike[str], *, deidentify: bool = False
) -> list[pydicom.Dataset]:
    """Build the DICOM objects of a prediction, in memory.

    UIDs are derived from the SOP Instance UID of the source, the model and its settings, and the kind of object, so
    that another call returns the same UIDs.

    Args:
        prediction: for the radiograph of `source`.
        source: DICOM file of the radiograph, or its data set; the pixel data is not used, and it is not changed.
        deidentify: whether to leave out the attributes of patient and study, and to replace the UIDs of the source by
            others, which are derived by the user's secret (see `cxrjax.runtime.user_secret`). The same study has the
            same new UIDs.

    Returns:
        Segmentation, Secondary Capture and Structured Report, in this order, each with its file meta information. There
        is no Segmentation where no lungs were found, or of a run without a segmenter.

    Raises:
        DicomResultError: the source cannot be read, lacks a UID or its size, or is not of the size of the prediction;
            its pixels show who the patient is, and `deidentify` is true; or highdicom is not installed.
        SecretError: the user's secret can be neither read nor created.
    """
    check_installed()
    is_file = not isinstance(source, pydicom.Dataset)
    name = os.path.basename(source) if is_file else ""
    secret = user_secret.read_secret() if deidentify else None
    with silence():
        dataset = read_source(source) if is_file else source
        try:
            parsed = parse_source(dataset, secret=secret)
            _check_size(prediction, parsed)
        except DicomResultError as error:
            raise DicomResultError(error.reason, name) from None
        return _build(prediction, parsed, _identify(prediction, parsed, secret))


def encode(dataset: pydicom.Dataset) -> bytes:
    """Return a data set of `build_results` as the content of a DICOM file."""
    file = io.BytesIO()
    with silence():
        dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def check_installed() -> None:
    """Raise a DicomResultError if highdicom is not installed."""
    if find_spec("highdicom") is None:
        raise DicomResultError("DICOM results need highdicom: pip install 'cxrjax[dicom]'")


def _check_size(prediction: "Prediction", source: Source) -> None:
    upright = (source.width, source.height) if source.turn.transposed else (source.height, source.width)
    if upright != (prediction.frame.height, prediction.frame.width):
        raise DicomResultError(
            f"its upright size of {upright[0]} x {upright[1]} pixels is not that of the prediction, "
            f"{prediction.frame.height} x {prediction.frame.width}; give the file that was predicted"
        )


def _identify(prediction: "Prediction", source: Source, secret: bytes | None) -> "Identity":
    from cxrjax.dicom.identity import Identity

    info = prediction.model_info
    settings = (info.calibration, str(prediction.saliency_label), prediction.reason)
    key = uids.digest(source.original, info.weights_sha256, info.version, *settings, secret=secret or b"")
    return Identity(key, info.version, info.weights_sha256)


def _build(prediction: "Prediction", source: Source, identity: "Identity") -> list[pydicom.Dataset]:
    from cxrjax.dicom import overlay, report, segmentation

    label_map = None if prediction.label_map is None else prediction.to_native(prediction.label_map)
    structures = segmentation.find_structures(label_map)
    segments = segmentation.build(structures, source, identity) if structures else None
    results: list[pydicom.Dataset] = [] if segments is None else [segments]
    results.append(overlay.build(prediction, source, identity))
    results.append(report.build(prediction, structures, segments, source, identity))
    for result in results:
        source.fill(result)
        result.ContentQualification = "RESEARCH"
        if "PixelData" in result:
            result.BodyPartExamined = "CHEST"
            result.PatientOrientation = list(source.orientation or ())
    return results
