"""Examination of one stored radiograph: its DICOM file in, DICOM files of the results out."""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pydicom

from cxrjax import dicom
from cxrjax.data.image_input import ImageRefusedError
from cxrjax.dicom import DicomResultError
from cxrjax.inference.model import Model
from cxrjax.inference.prediction import Prediction
from cxrjax.io import radiograph
from cxrjax.io.dicom_header import text_of
from cxrjax.io.errors import ImageReadError
from cxrjax.receive.job_queue import Job

_OTHER_UID = "its SOP instance UID is not the one that the sender named"


class EncodedResult(NamedTuple):
    """A DICOM object as the content of a file."""

    uid: str  # SOP instance UID
    data: bytes


Examine = Callable[[Job], Sequence[EncodedResult]]


class SetAsideError(Exception):
    """A radiograph that is not examined; `reason` quotes nothing from its header."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Examiner:
    """Predictions of a model as DICOM objects."""

    def __init__(self, model: Model, *, reject_ood: bool = False, if_inverted: str = "refuse"):
        """Initialize.

        Args:
            model: the model.
            reject_ood: whether to set aside what the OOD detector says is no upright frontal chest radiograph.
            if_inverted: what to do with radiographs whose gray levels look inverted, see `Model.predict`.
        """
        self._model = model
        self._reject_ood = reject_ood
        self._if_inverted = if_inverted

    def __call__(self, job: Job) -> list[EncodedResult]:
        """Return the results of a radiograph.

        Raises:
            SetAsideError: it is no frontal chest radiograph, or cannot be read.
            OSError: its file cannot be read.
        """
        data = job.path.read_bytes()
        try:
            image = radiograph.decode(data, job.path.name)
            prediction = self._model.predict(image, if_inverted=self._if_inverted)
            source = pydicom.dcmread(io.BytesIO(data))
        except (ImageReadError, ImageRefusedError) as error:
            raise SetAsideError(error.reason) from error
        assert isinstance(prediction, Prediction)
        if text_of(source, "SOPInstanceUID") != job.uid:
            raise SetAsideError(_OTHER_UID)
        if self._reject_ood and prediction.ood_reason:
            raise SetAsideError(prediction.ood_reason)
        try:
            results = dicom.build_results(prediction, source)
        except DicomResultError as error:
            raise SetAsideError(error.reason) from error
        return [EncodedResult(str(result.SOPInstanceUID), dicom.encode(result)) for result in results]
