"""VinDr-CXR: three readers as a majority or as soft labels, the consensus of the test set, boxes of all readers."""

import cv2
import numpy as np
import pytest

from data_prep.record import PreparationError
from tests.data_prep.fixtures.vindr_cxr import _TEST, _TRAIN


def positive(record):
    return {name: value for name, value in record.findings.items() if value}


def test_findings_are_the_majority_or_fraction_of_the_readers(survey):
    images = [f"train/{image}.dicom" for image in _TRAIN]
    majority = survey("vindr_cxr").records
    assert [positive(majority[image]) for image in images[:4]] == [{"Cardiomegaly": 1}, {}, {}, {"Atelectasis": 1}]
    soft = survey("vindr_cxr", readers="soft").records
    assert positive(soft[images[0]]) == pytest.approx({"Cardiomegaly": 2 / 3, "ILD": 1 / 3})
    assert positive(soft[images[2]]) == pytest.approx({"Nodule/Mass": 1 / 3})
    assert len(soft[images[1]].findings) == 27 and not positive(soft[images[1]])


def test_test_split_has_the_upstream_consensus(survey):
    records = survey("vindr_cxr", readers="soft").records
    test = {name: positive(record) for name, record in records.items() if record.split == "test"}
    assert test == {f"test/{image}.dicom": {"Edema": 1} for image in _TEST}
    assert {record.split for record in records.values()} == {"train|val", "test"}


def test_laterals_and_missing_files_are_named(survey):
    found = survey("vindr_cxr")
    assert found.skipped[f"train/{_TRAIN[5]}.dicom"] == "no such file"
    assert "lateral" in found.skipped[f"train/{_TRAIN[4]}.dicom"] and len(found.skipped) == 2
    example = found.examples[f"train/{_TRAIN[1]}.dicom"]
    assert (example.sex, example.age, example.lesions) == ("M", 49, b"")


def test_boxes_of_all_readers_are_lesions(survey):
    example = survey("vindr_cxr").examples[f"train/{_TRAIN[0]}.dicom"]
    expected = np.zeros((64, 56), np.uint8)
    expected[20:50, 10:40] = expected[18:48, 12:44] = 1
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(example.lesions, np.uint8), 0), expected)


def test_label_other_than_0_or_1_is_refused(survey, tmp_path):
    survey("vindr_cxr")
    table = tmp_path / "upstream" / "annotations" / "image_labels_test.csv"
    table.write_text(table.read_text().replace(",0\n", ",0\n").replace(f"{_TEST[1]},0", f"{_TEST[1]},2"))
    with pytest.raises(PreparationError, match=rf"image_labels_test\.csv: a label of {_TEST[1]} is not 0 or 1"):
        survey("vindr_cxr", tmp_path / "upstream")
