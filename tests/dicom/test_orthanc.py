"""Results in Orthanc: stored once, in the study of the radiograph, with unchanged pixels."""

import cv2
import numpy as np
import pytest

from cxrjax import dicom
from tests.dicom import conftest as chest
from tests.helpers import orthanc

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(orthanc.PROGRAM is None, reason="Orthanc is not installed"),
]


def test_orthanc_stores_each_result_once_and_shows_the_overlay(model, tmp_path):
    path = tmp_path / "a.dcm"
    chest.save_chest(path, orientation=("F", "L"), PhotometricInterpretation="MONOCHROME1")
    prediction = model.predict(path)
    results = prediction.to_dicom(path)
    files = [path.read_bytes(), *map(dicom.encode, results)]
    again = map(dicom.encode, prediction.to_dicom(path))
    with orthanc.run(tmp_path) as server:
        answers = [server.read("instances", data) for data in files]
        assert [answer["Status"] for answer in answers] == 4 * ["Success"]
        assert [server.read("instances", data)["Status"] for data in again] == 3 * ["AlreadyStored"]
        assert len({answer["ParentStudy"] for answer in answers}) == 1
        assert len({answer["ParentSeries"] for answer in answers}) == 4

        stored = [server.fetch(f"instances/{answer['ID']}/file") for answer in answers]
        assert stored == files
        preview = np.frombuffer(server.fetch(f"instances/{answers[2]['ID']}/preview"), np.uint8)
        shown = cv2.imdecode(preview, cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(shown, results[1].pixel_array)
