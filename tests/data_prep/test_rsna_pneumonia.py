"""RSNA: classes, boxes as lesions, and NIH's patients."""

from collections import Counter

import cv2
import numpy as np
import pytest

from data_prep.record import PreparationError

FOLDER = "stage_2_train_images"


def test_image_with_several_boxes_is_one_record(survey):
    found = survey("rsna_pneumonia")
    assert Counter(row.label for row in found.records.values()) == {"normal": 3, "opacity": 3, "not normal": 2}
    assert sorted(found.skipped) == [f"{FOLDER}/00aecb01.dcm", f"{FOLDER}/00c0b293.dcm"]
    assert "no such file" in found.skipped[f"{FOLDER}/00aecb01.dcm"]
    assert "truncated" in found.skipped[f"{FOLDER}/00c0b293.dcm"]
    example = found.examples[f"{FOLDER}/00313ee0.dcm"]
    assert (example.view, example.sex, example.age) == ("PA", "F", 51)
    assert example.spacing == (0.143, 0.143)
    assert example.upstream_label == "Normal" and example.lesions == b""


def test_boxes_are_lesions_clipped_at_the_border(survey):
    """Images are 56 pixels wide and 64 high."""
    found = survey("rsna_pneumonia")
    two = cv2.imdecode(np.frombuffer(found.examples[f"{FOLDER}/00436515.dcm"].lesions, np.uint8), 0)
    expected = np.zeros((64, 56), np.uint8)
    expected[10:30, 4:16] = expected[8:32, 36:46] = 1
    np.testing.assert_array_equal(two, expected)
    beyond = cv2.imdecode(np.frombuffer(found.examples[f"{FOLDER}/00704310.dcm"].lesions, np.uint8), 0)
    assert beyond[60:, 50:].all() and beyond.sum() == 4 * 6


def test_patient_ids_are_those_of_nih_if_the_mapping_exists(survey, tmp_path):
    patient_ids = survey("rsna_pneumonia").attribute("patient_id")
    assert patient_ids[f"{FOLDER}/0004cfab.dcm"] == patient_ids[f"{FOLDER}/00313ee0.dcm"] == "nih-00000012"
    assert patient_ids[f"{FOLDER}/00a85be6.dcm"] == "rsna-00a85be6"  # the mapping lacks it
    mapping = tmp_path / "upstream" / "pneumonia-challenge-dataset-mappings_2018.json"
    mapping.unlink()
    patient_ids = survey("rsna_pneumonia", tmp_path / "upstream").attribute("patient_id")
    assert len(set(patient_ids.values())) == len(patient_ids) == 6
    mapping.write_text("{}[")
    with pytest.raises(PreparationError, match="mappings_2018.json"):
        survey("rsna_pneumonia", tmp_path / "upstream")
