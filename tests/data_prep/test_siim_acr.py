"""SIIM-ACR: relative runs along columns, several masks of an image, a header with a blank."""

import cv2
import numpy as np
import pytest

from data_prep.record import PreparationError, RecordError
from data_prep.siim_acr.source import decode_runs


def by_number(values):
    return {int(path.removesuffix(".dcm").rpartition(".")[2]): value for path, value in values.items()}


def test_runs_are_relative_and_along_columns():
    """Worked by hand: of 3 rows skip 1, run 2 (the rest of column 0), skip 3 (column 1), run 1 (top of column 2)."""
    expected = [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(decode_runs("1 2 3 1", (3, 4)), expected)
    for text, reason in [("1 2 3", "pairs"), ("1 x", "list of numbers"), ("10 3", "beyond its 4 x 3"), ("-1", "pairs")]:
        with pytest.raises(RecordError, match=reason):
            decode_runs(text, (3, 4))


def test_several_masks_of_an_image_are_united(survey):
    found = survey("siim_acr")
    lesions = by_number(found.attribute("lesions"))
    drawn = cv2.imdecode(np.frombuffer(lesions[1], np.uint8), 0)
    expected = np.zeros((64, 56), np.uint8)
    expected[1:5, 1] = 1  # from pixel 65 on, in column 1
    expected[1:5, 2] = 1  # 60 further
    expected[0:2, 10] = 1
    np.testing.assert_array_equal(drawn, expected)
    assert lesions[2] == b""


def test_labels_and_reasons_of_skipped_images(survey):
    found = survey("siim_acr")
    records = by_number(found.records)
    assert (records[1].label, records[1].findings) == ("pneumothorax", {"Pneumothorax": 1})
    assert (records[2].label, records[2].findings) == ("no pneumothorax", {"Pneumothorax": 0})
    assert by_number(found.skipped) == {
        4: "its mask runs beyond its 56 x 64 pixels",
        5: "no such file",
        7: "not in train-rle.csv: no mask published",
    }
    example = by_number(found.examples)[6]
    assert (example.age, example.sex, example.view) == (28, "F", "PA")


def test_second_stage_layout_with_all_images_in_one_folder_is_read(survey, tmp_path):
    survey("siim_acr")
    root = tmp_path / "upstream"
    (root / "train-rle.csv").rename(root / "stage_2_train.csv")
    (root / "stage_2_images").mkdir()
    for path in (root / "dicom-images-train").rglob("*.dcm"):
        path.rename(root / "stage_2_images" / path.name)
    assert set(by_number(survey("siim_acr", root).examples)) == {1, 2, 3, 6, 8}
    (root / "stage_2_train.csv").write_text("image,mask\na,1 2\n")
    with pytest.raises(PreparationError, match=r"stage_2_train\.csv: it has no column ImageId or EncodedPixels"):
        survey("siim_acr", root)
