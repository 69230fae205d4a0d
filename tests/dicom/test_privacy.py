"""The attributes of a patient are in the DICOM results alone: in no table, name, message or log."""

import logging

import pydicom
import pytest

import cxrjax as cx
from cxrjax.cli import predict_files
from cxrjax.runtime import user_secret
from tests.dicom import conftest as chest

ODD = {
    "odd.dcm": {"PatientName": "Planted" * 20, "PatientID": "planted\\planted\x07", "PatientBirthDate": "planted-1933"},
    "charset.dcm": {"SpecificCharacterSet": "PLANTED 6", "PatientSex": "planted", "StudyTime": "planted"},
    "no_study.dcm": {"StudyInstanceUID": "planted"},
    "no_uid.dcm": {"SOPInstanceUID": ""},
}


@pytest.fixture
def folder(model, tmp_path, monkeypatch):
    """A folder of radiographs, most of them with odd values."""
    monkeypatch.setattr(cx, "load", lambda *_, **__: model)
    chest.save_chest(tmp_path / "in" / "plain.dcm")
    for name, tags in ODD.items():
        chest.save_chest(tmp_path / "in" / name, **tags)
    return tmp_path / "in"


@pytest.mark.parametrize("deidentify", [False, True])
def test_patient_attributes_are_only_in_dicom_results(folder, tmp_path, capfd, caplog, deidentify):
    caplog.set_level(logging.DEBUG)
    out = tmp_path / "out"
    kinds = ("figure", "json", "dicom")
    rows = predict_files.predict(tmp_path / "run", folder, out, save=kinds, deidentify=deidentify).rows
    statuses = {row["path"]: (row["status"], row["reason"]) for row in rows}
    for name, keyword in (("no_study.dcm", "StudyInstanceUID"), ("no_uid.dcm", "SOPInstanceUID")):
        status, reason = statuses[name]
        assert status == "failed" and f"its {keyword} is missing or not valid" in reason
    assert {statuses[name][0] for name in ("plain.dcm", "odd.dcm", "charset.dcm")} == {"ok"}

    results = sorted(path for path in out.iterdir() if path.suffix == ".dcm")
    others = [path for path in out.iterdir() if path.suffix != ".dcm"]
    assert len(results) == 9 and len(others) >= 2 * len(rows)
    said = "".join([*capfd.readouterr(), *caplog.messages, *(path.name for path in out.iterdir())]).lower()
    assert "plant" not in said and "1933" not in said and "1.2.3." not in said
    for path in others:
        assert b"plant" not in path.read_bytes().lower()
    for path in results:
        assert (b"plant" in path.read_bytes().lower()) != deidentify
        assert pydicom.dcmread(path).Modality in ("SEG", "OT", "SR")


def test_invalid_secret_stops_the_prediction(folder, tmp_path, configuration):
    configuration.parent.mkdir(parents=True)
    configuration.write_bytes(b"short")
    with pytest.raises(user_secret.SecretError, match="a secret of 5 bytes can be guessed"):
        predict_files.predict(tmp_path / "run", folder, tmp_path / "out", save=("dicom",), deidentify=True)
    assert not (tmp_path / "out").exists()


def test_logger_levels_are_restored(model, tmp_path):
    logger = logging.getLogger("highdicom")
    level = logger.level
    chest.save_chest(tmp_path / "a.dcm")
    model.predict(tmp_path / "a.dcm").to_dicom(tmp_path / "a.dcm")
    assert logger.level == level
