"""The COVID-19 Radiography Database, old and new releases."""

from collections import Counter

import cv2
import numpy as np
import pytest

from data_prep.covid_radiography.source import find_number
from tests.helpers.image_files import save_image


def test_labels_come_from_folder_names(survey):
    found = survey("covid_radiography")
    assert Counter(found.attribute("label").values()) == {"covid19": 3, "opacity": 2, "normal": 3, "viral": 2}
    assert set(found.attribute("patient_id").values()) == {""}
    assert not found.skipped


def test_mask_of_256_pixels_is_resized_to_its_image(survey):
    found = survey("covid_radiography")
    example = found.examples["COVID/images/COVID-1.png"]
    mask = cv2.imdecode(np.frombuffer(example.mask, np.uint8), 0)
    assert (mask.shape, example.mask_kind) == ((299, 299), "lungs")
    assert set(np.unique(mask)) == {0, 1}
    assert mask[150, 75] == mask[150, 224] == 1 and mask[150, 150] == mask[5, 75] == 0  # either lung, and between
    assert found.examples["COVID/images/COVID-3.png"].mask == b""


def test_images_are_in_the_order_of_their_numbers(survey, tmp_path):
    """Use the layout of a release of 2020: no masks, and the images in the folder of their class."""
    for name in ("COVID-19 (10)", "COVID-19 (9)"):
        save_image(tmp_path / "COVID-19" / f"{name}.png")
    assert list(survey("covid_radiography", tmp_path).examples) == [
        "COVID-19/COVID-19 (9).png",
        "COVID-19/COVID-19 (10).png",
    ]


@pytest.mark.parametrize("name", ["COVID-19 (7)", "COVID (7)", "COVID 7", "COVID-7"])
def test_number_is_the_last_one_in_the_name(name):
    assert find_number(name) == 7
