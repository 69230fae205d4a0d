"""Montgomery and Shenzhen: labels from file names, sex and age from the readings, and united lung masks."""

import math

import cv2
import numpy as np
import pytest

from data_prep.collections.nlm import Reading, read_reading
from data_prep.montgomery.source import SOURCE as MONTGOMERY
from data_prep.options import Options
from data_prep.reader import read_example
from data_prep.record import RecordError, SkippedRecord
from data_prep.shenzhen.source import SOURCE as SHENZHEN
from tests.data_prep.fixtures.montgomery import write as write_montgomery
from tests.data_prep.fixtures.shenzhen import write as write_shenzhen
from tests.helpers.image_files import draw_lung_mask

LUNGS = draw_lung_mask("left") | draw_lung_mask("right")


def decode(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_montgomery_masks_are_united(tmp_path):
    write_montgomery(tmp_path)
    rows = list(MONTGOMERY.records(tmp_path, Options()))
    assert [(row.id, row.label, row.patient_id) for row in rows[:-1]] == [
        ("CXR_png/MCUCXR_0001_0.png", "normal", "montgomery-MCUCXR_0001"),
        ("CXR_png/MCUCXR_0002_0.png", "normal", "montgomery-MCUCXR_0002"),
        ("CXR_png/MCUCXR_0104_1.png", "tuberculosis", "montgomery-MCUCXR_0104"),
        ("CXR_png/MCUCXR_0108_1.png", "tuberculosis", "montgomery-MCUCXR_0108"),
    ]
    assert rows[-1] == SkippedRecord("CXR_png/MCUCXR_0113_1.png", "no such file")
    example = read_example(rows[2])
    assert (example.sex, example.age, example.spacing, example.view) == ("M", 61, (0.0875, 0.0875), "PA")
    assert example.upstream_label == "improved LUL infiltrate; cavity, active TB"
    assert example.mask_kind == "lungs"
    assert np.array_equal(decode(example.mask), LUNGS)
    with pytest.raises(RecordError, match="truncated"):
        read_example(rows[3])


def test_folder_or_its_parent_can_be_given(tmp_path):
    write_montgomery(tmp_path)
    inside = list(MONTGOMERY.records(tmp_path / "MontgomerySet", Options()))
    assert inside == list(MONTGOMERY.records(tmp_path, Options()))


def test_shenzhen_masks_are_optional(tmp_path):
    write_shenzhen(tmp_path)
    examples = [read_example(row) for row in SHENZHEN.records(tmp_path, Options())]
    assert [(example.label, example.sex, example.upstream_label) for example in examples] == [
        ("normal", "male", "normal"),
        ("normal", "Female", "normal"),
        ("tuberculosis", "female", "STB"),
        ("tuberculosis", "male", "right PTB"),
    ]
    assert [example.age for example in examples] == pytest.approx([45, 63, 28, 4 / 12])
    assert [example.mask_kind for example in examples] == ["lungs", "", "lungs", ""]
    assert np.array_equal(decode(examples[2].mask), LUNGS)


def test_reading_without_metadata(tmp_path):
    file = tmp_path / "reading.txt"
    file.write_text("\n")
    reading = read_reading(file)
    assert reading[::2] == Reading()[::2] == ("", "") and math.isnan(reading.age)
