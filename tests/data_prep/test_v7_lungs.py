"""V7 Labs: polygons drawn as masks, labels from tags, and patients with the identifiers of their collections."""

import cv2
import numpy as np
import pytest

from data_prep.options import Options
from data_prep.record import Record, RecordError, SkippedRecord
from data_prep.v7_lungs.source import SOURCE
from tests.data_prep.fixtures.v7_lungs import write


@pytest.fixture
def entries(tmp_path):
    write(tmp_path)
    return list(SOURCE.records(tmp_path, Options()))


@pytest.fixture
def rows(entries):
    return {row.id: row for row in entries if isinstance(row, Record)}


def test_only_frontal_radiographs_with_lungs_are_listed(entries, rows):
    assert [row for row in entries if isinstance(row, SkippedRecord)] == [
        SkippedRecord("releases/all-images/annotations/10.json", "not a Darwin annotation"),
        SkippedRecord("images/00000004.jpg", "CT, not a radiograph"),
        SkippedRecord("images/00000005.jpg", "lateral view"),
        SkippedRecord("images/00000006.jpg", "no lungs drawn in it"),
        SkippedRecord("images/00000008.jpeg", "no such file"),
    ]
    assert [(row.label, row.patient_id, row.view) for row in rows.values()] == [
        ("covid19", "ieee8023-263", "AP Supine"),
        ("bacterial", "kermany-person1946", ""),
        ("normal", "kermany-IM-1440", ""),
        ("covid19", "ieee8023-263", "PA"),
        ("viral", "kermany-person9", ""),
    ]
    first, second, *_ = rows.values()
    assert (first.sex, first.age, first.upstream_label) == ("M", 55, "COVID-19, Viral Pneumonia")
    assert second.license == "CC BY 4.0"


@pytest.mark.parametrize(
    ("name", "right", "left"),
    [
        ("00000001.jpg", 800, 800),  # 20 x 40 pixels, corners included, to the nearest pixel
        ("00000003.jpeg", 0, 800 - 3 * 3),  # a hole of 5 x 5 pixels, whose rim belongs to the lung
        ("00000009.jpeg", 800, 0),  # version 2 of the format
    ],
)
def test_polygons_are_drawn_as_masks(rows, name, right, left):
    example = SOURCE.read(rows[f"images/{name}"], Options())
    assert example.mask_kind == "lungs_with_heart"
    mask = cv2.imdecode(np.frombuffer(example.mask, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (example.height, example.width) == (64, 56)
    assert (mask[:, :28].sum(), mask[:, 28:].sum()) == (right, left)
    assert np.unique(mask).tolist() == [0, 1]


def test_annotation_of_another_size_is_refused(rows):
    with pytest.raises(RecordError, match=r"7\.json has another size: 57 x 64 pixels, the image 56 x 64"):
        SOURCE.read(rows["images/00000007.jpg"], Options())
