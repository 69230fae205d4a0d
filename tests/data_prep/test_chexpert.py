"""CheXpert: codes of certainty, frontal views, official splits, and paths as people rewrite them."""

import math

import pytest

from data_prep.collections.certainty import FINDINGS, read_findings
from data_prep.record import PreparationError
from data_prep.remarks import count_findings


def test_blank_is_unknown_and_minus_one_uncertain(survey):
    found = survey("chexpert")
    record = found.records["train/patient00002/study2/view1_frontal.jpg"]
    assert record.findings == {"Edema": 1, "Fracture": 0, "Pneumonia": -1}
    assert record.upstream_label == "Edema"
    assert count_findings([record])["Pneumonia"]["uncertain"] == 1


def test_no_finding_makes_blank_findings_negative_except_devices(survey):
    records = survey("chexpert").records
    healthy = records["train/patient00001/study1/view1_frontal.jpg"].findings
    assert healthy == {name: 0.0 for name in FINDINGS if name != "Support Devices"}
    devices = records["train/patient00003/study1/view1_frontal.jpg"].findings
    assert devices["Support Devices"] == 1 and sum(devices.values()) == 1


def test_absolute_and_windows_paths_and_spaces_are_resolved(survey):
    found = survey("chexpert")
    assert set(found.examples) == {
        "train/patient00001/study1/view1_frontal.jpg",
        "train/patient00002/study2/view1_frontal.jpg",
        "train/patient00003/study1/view1_frontal.jpg",
        "train/patient00004/study1/view1_frontal.jpg",
        "train/patient00006/study1/view 1_frontal.jpg",
        "valid/patient64541/study1/view1_frontal.jpg",
        "test/patient64741/study1/view1_frontal.jpg",
    }
    no_study = "its path has no train/, valid/, test/ with a patient and a study"
    assert found.skipped == {
        "train/patient00002/study2/view2_lateral.jpg": "lateral view",
        "train/patient00001/study1/../view1_frontal.jpg": no_study,
        "train/patient00005/study1/view1_frontal.jpg": "no such file",
        "train/patient00001/study1/view1_frontal.jpg": "listed a second time",
    }


def test_splits_and_metadata_equal_upstream(survey, tmp_path):
    found = survey("chexpert")
    assert [record.split for record in found.records.values()] == ["train"] * 5 + ["val", "test"]
    assert found.records["valid/patient64541/study1/view1_frontal.jpg"].patient_id == "chexpert-64541"
    sexes = found.attribute("sex")
    assert sexes["train/patient00001/study1/view1_frontal.jpg"] == "F"
    unknown = found.examples["train/patient00003/study1/view1_frontal.jpg"]
    assert unknown.sex == "" and math.isnan(unknown.age)  # upstream's Unknown and 0
    (tmp_path / "upstream" / "test_labels.csv").unlink()
    assert "test" not in {record.split for record in survey("chexpert", tmp_path / "upstream").records.values()}


def test_unknown_finding_code_is_refused(tmp_path):
    row = dict.fromkeys(FINDINGS, "") | {"Edema": "2.0"}
    with pytest.raises(PreparationError, match=r"train.csv: the cell '2.0' of Edema is not one of 1, 0, -1 or blank"):
        read_findings(row, tmp_path / "train.csv")
