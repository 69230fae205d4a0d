"""NIH ChestX-ray14: findings in one cell, the official test split, boxes, sizes and ages as upstream has them."""

import math

import cv2
import numpy as np
import pytest

from data_prep.nih_chestxray14.source import FINDINGS
from data_prep.record import PreparationError


def test_findings_of_one_cell_become_fourteen_values(survey):
    found = survey("nih_chestxray14")
    both = found.records["00000001_001.png"].findings
    assert len(both) == len(FINDINGS) == 14
    assert {name for name, value in both.items() if value} == {"Cardiomegaly", "Emphysema"}
    assert set(found.records["00000002_000.png"].findings.values()) == {0.0}
    assert found.records["00000001_001.png"].upstream_label == "Cardiomegaly|Emphysema"


def test_splits_equal_upstream_and_skipped_images_have_reasons(survey):
    found = survey("nih_chestxray14")
    assert [name for name, record in found.records.items() if record.split == "test"] == [
        "00000004_000.png",
        "00000010_000.png",
    ]
    assert {record.split for record in found.records.values()} == {"train|val", "test"}
    assert found.skipped == {
        "00000002_000.png": "listed a second time in Data_Entry_2017_v2020.csv",
        "00000005_000.png": "in neither train_val_list.txt nor test_list.txt",
        "00000006_000.png": "no such file",
    }


def test_patients_ages_and_spacing(survey):
    found = survey("nih_chestxray14")
    patients = found.attribute("patient_id")
    assert patients["00000001_000.png"] == patients["00000001_001.png"] == "nih-00000001"  # as RSNA's mapping writes it
    ages = found.attribute("age")
    assert ages["00000001_000.png"] == ages["00000001_001.png"] == 58
    assert math.isnan(ages["00000002_000.png"])  # 414 years
    example = found.examples["00000001_000.png"]
    # Originals of 2682 x 2749 pixels of 0.143 mm are published at another size, here 56 x 64 pixels.
    assert example.spacing == pytest.approx((2749 * 0.143 / 64, 2682 * 0.143 / 56))
    assert np.isnan(found.examples["00000003_000.png"].spacing).all()


def test_boxes_are_lesions(survey):
    lesions = survey("nih_chestxray14").attribute("lesions")
    drawn = cv2.imdecode(np.frombuffer(lesions["00000004_000.png"], np.uint8), 0)
    expected = np.zeros((64, 56), np.uint8)
    expected[10:30, 4:16] = expected[60:, 50:] = 1
    np.testing.assert_array_equal(drawn, expected)
    assert lesions["00000001_000.png"] == b""


def test_unknown_finding_is_refused(survey, tmp_path):
    survey("nih_chestxray14")
    table = tmp_path / "upstream" / "Data_Entry_2017_v2020.csv"
    table.rename(table.with_name("Data_Entry_2017.csv"))  # as Kaggle has it
    assert len(survey("nih_chestxray14", tmp_path / "upstream").records) == 9
    table = table.with_name("Data_Entry_2017.csv")
    table.write_text(table.read_text().replace("Hernia", "Hernie"))
    with pytest.raises(PreparationError, match=r"Data_Entry_2017\.csv: 'Hernie' is not one of the 14 findings"):
        survey("nih_chestxray14", tmp_path / "upstream")
