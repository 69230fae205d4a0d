"""JSRT and SCR: 12 bits at 0.175 mm, heart and both lungs from GIF files, and splits by folds."""

import math

import cv2
import numpy as np
import pytest

from data_prep import splits
from data_prep.jsrt_scr.source import SOURCE
from data_prep.options import Options
from data_prep.record import Record, RecordError, SkippedRecord
from tests.data_prep.fixtures.jsrt_scr import write
from tests.helpers.image_files import draw_lung_mask

SIDE = 2048


@pytest.fixture(scope="module")
def jsrt_records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jsrt")
    write(folder)
    return {row.id.removeprefix("All247images/"): row for row in SOURCE.records(folder, Options())}


@pytest.fixture(scope="module")
def examples(jsrt_records):
    return {name: SOURCE.read(jsrt_records[name], Options()) for name in ("JPCLN001.IMG", "JPCLN003.IMG")}


def decode(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_labels_folds_and_clinical_data(jsrt_records):
    assert jsrt_records.pop("JPCLN004.IMG") == SkippedRecord(
        "JPCLN004.IMG", "no such file"
    )  # only the clinical data name it
    metadata = [(name, row.label, row.upstream_label, row.patient_id, row.split) for name, row in jsrt_records.items()]
    assert metadata == [
        ("JPCLN001.IMG", "nodule", "malignant", "jsrt-JPCLN001", "train|val"),
        ("JPCLN002.IMG", "nodule", "benign", "jsrt-JPCLN002", "test"),
        ("JPCLN003.IMG", "nodule", "malignant", "jsrt-JPCLN003", "train|val"),
        ("JPCNN001.IMG", "normal", "non-nodule", "jsrt-JPCNN001", "train|val"),
        ("JPCNN002.IMG", "normal", "normal", "jsrt-JPCNN002", "test"),
    ]
    assert [(row.sex, row.age) for row in jsrt_records.values()][::3] == [("Male", 53), ("Male", 72)]
    assert math.isnan(jsrt_records["JPCLN002.IMG"].age)


def test_three_gif_files_are_merged_to_one_map(examples):
    example = examples["JPCLN001.IMG"]
    assert (example.height, example.width, example.mask_kind) == (SIDE, SIDE, "structures")
    assert example.spacing == (0.175, 0.175)
    mask = decode(example.mask)
    assert np.unique(mask).tolist() == [0, 1, 2, 3]
    # Masks of 1024 pixels on an image of 2048: each pixel counts for four. The left lung is on the picture's right.
    for value, side in ((2, "left"), (3, "right")):
        lung = draw_lung_mask(side, (SIDE // 2, SIDE // 2))
        assert np.array_equal(mask[::2, ::2] == value, lung > 0)
        assert (mask == value).sum() == 4 * lung.sum()
    assert np.nonzero(mask == 2)[1].min() > SIDE / 2 > np.nonzero(mask == 3)[1].max()


def test_nodule_is_drawn_if_position_and_size_are_known(examples):
    lesions = decode(examples["JPCLN001.IMG"].lesions)
    rows, columns = np.nonzero(lesions)
    assert (rows.mean(), columns.mean()) == pytest.approx((692, 1634), abs=0.01)
    # 15 mm across: pi * 7.5**2 mm² of 0.175² mm² a pixel.
    assert lesions.sum() == pytest.approx(math.pi * 7.5**2 / 0.175**2, rel=0.02)
    assert examples["JPCLN003.IMG"].lesions == b""  # its size is "?"


def test_image_of_another_size_is_refused(jsrt_records):
    with pytest.raises(RecordError, match="2000 bytes instead of 8388608"):
        SOURCE.read(jsrt_records["JPCNN002.IMG"], Options())


@pytest.mark.parametrize("seed", range(5))
def test_validation_images_are_not_from_the_test_fold(jsrt_records, seed):
    rows = [row for row in jsrt_records.values() if isinstance(row, Record)]
    plan = splits.assign_splits(rows, splits.name_ratios(SOURCE.split_ratios), seed)
    even = {row.id for row in rows if int(row.id[-7:-4]) % 2 == 0}
    assert {row.id for row in plan["test"]} == even
