"""Examination of stored files: which are predicted, and why others are set aside."""

import pydicom
import pytest

from cxrjax.receive.examiner import Examiner, SetAsideError
from cxrjax.receive.job_queue import Job
from tests.dicom.conftest import UIDS, model, save_chest  # noqa: F401  (model is a fixture)

UID = UIDS["SOPInstanceUID"]


@pytest.fixture
def examine(model, tmp_path):  # noqa: F811
    """A function that saves a chest with some tags, and examines it."""

    def examine(uid=UID, **tags):
        options = {name: tags.pop(name) for name in ("reject_ood", "if_inverted") if name in tags}
        path = tmp_path / "0123.dcm"
        if not path.exists():
            save_chest(path, **tags)
        return Examiner(model, **options)(Job(1, uid, path))

    return examine


def test_frontal_radiograph_has_three_reproducible_results(examine):
    first = examine(ViewPosition="PA")
    assert len(first) == 3
    assert [uid for uid, _ in first] == [uid for uid, _ in examine()]
    datasets = [pydicom.dcmread(pydicom.filebase.DicomBytesIO(data)) for _, data in first]
    assert [dataset.SOPInstanceUID for dataset in datasets] == [uid for uid, _ in first]
    assert {dataset.StudyInstanceUID for dataset in datasets} == {UIDS["StudyInstanceUID"]}


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ViewPosition": "LL"}, "lateral view, by its ViewPosition"),
        ({"BodyPartExamined": "KNEE"}, "knee, not the chest, by its BodyPartExamined"),
        ({"ManufacturerModelName": "cxrjax"}, "a result of cxrjax, not a radiograph, by its ManufacturerModelName"),
        ({"PixelData": b"\0" * 10}, "truncated pixel data: less than its Rows and Columns need"),
        ({"reject_ood": True}, "it is drawn"),
        ({"uid": "1.2.3"}, "its SOP instance UID is not the one that the sender named"),
        ({"StudyInstanceUID": ""}, "StudyInstanceUID"),
    ],
)
def test_set_aside_reason_has_no_patient_data(examine, tags, reason):
    with pytest.raises(SetAsideError) as raised:
        examine(**tags)
    assert reason in raised.value.reason
    assert "lanted" not in raised.value.reason.lower()
