"""PadChest: labels as Python lists with blanks and nan, narrower terms, projections, and files of 16 bit."""

import math

import pytest

from data_prep.padchest.source import FINDINGS, TABLE, _read_labels
from data_prep.record import PreparationError


def positive(found, name):
    return {finding for finding, value in found.records[name].findings.items() if value}


def test_labels_and_their_narrower_terms_are_findings(survey):
    found = survey("padchest")
    assert positive(found, "0/2168_00-087-178.png") == {"pleural effusion", "cardiomegaly", "fracture"}
    assert positive(found, "1/2168_00-087-182.png") == {"consolidation", "infiltrates", "COPD signs"}
    assert positive(found, "1/2168_00-087-187.png") == {"pleural effusion"}
    normal = found.records["0/20536686640136348236148679891455886468_k6ga29.png"]
    assert normal.findings == dict.fromkeys(FINDINGS, 0.0) and normal.upstream_label == "normal"


def test_skipped_rows_have_reasons(survey):
    assert survey("padchest").skipped == {
        "2168_00-087-179.png": "its projection is L, which is not frontal",
        "2168_00-087-180.png": "its report says only unchanged",
        "2168_00-087-181.png": "upstream labels it exclude",
        "2168_00-087-183.png": "no labels",
        "2168_00-087-184.png": "no such file",
        "2168_00-087-185.png": "its projection is EXCLUDE, which is not frontal",
        "20536686640136348236148679891455886468_k6ga29.png": f"listed a second time in {TABLE}.gz",
        "1/2168_00-087-186.png": "truncated or damaged PNG file",
    }


def test_patients_ages_and_16_bit(survey):
    found = survey("padchest")
    example = found.examples["0/2168_00-087-178.png"]
    assert (example.patient_id, example.age, example.sex, example.view) == ("padchest-10698", 64, "M", "AP_horizontal")
    assert example.bits == 16 and example.format == "png"
    assert math.isnan(found.examples["1/2168_00-087-182.png"].age)
    assert found.examples["1/a name with spaces.png"].patient_id == "padchest-10705"


def test_nan_in_a_list_of_labels_is_ignored(tmp_path):
    text = "[nan, 'non malignant nodule', nan]"
    assert _read_labels(text, "a.png", tmp_path / "t.csv") == {"non malignant nodule"}


@pytest.mark.parametrize("text", ["['a'", "5", "[5]", "__import__('os')", "[" * 9999, "{'a': 1}.clear()"])
def test_labels_cell_that_is_not_a_list_of_texts_is_refused(tmp_path, text):
    with pytest.raises(PreparationError, match=r"t\.csv: the labels of a\.png are not a list of texts"):
        _read_labels(text, "a.png", tmp_path / "t.csv")
