"""JSRT and SCR: 12 bits at 0.175 mm, heart and both lungs from GIF files, folds that keep the test images apart."""

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
def taken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jsrt")
    write(folder)
    return {row.id.removeprefix("All247images/"): row for row in SOURCE.records(folder, Options())}


@pytest.fixture(scope="module")
def examples(taken):
    return {name: SOURCE.read(taken[name], Options()) for name in ("JPCLN001.IMG", "JPCLN003.IMG")}


def decode(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_names_folds_and_clinical_data(taken):
    assert taken.pop("JPCLN004.IMG") == SkippedRecord("JPCLN004.IMG", "no such file")  # only the clinical data name it
    told = [(name, row.label, row.upstream_label, row.patient_id, row.split) for name, row in taken.items()]
    assert told == [
        ("JPCLN001.IMG", "nodule", "malignant", "jsrt-JPCLN001", "train|val"),
        ("JPCLN002.IMG", "nodule", "benign", "jsrt-JPCLN002", "test"),
        ("JPCLN003.IMG", "nodule", "malignant", "jsrt-JPCLN003", "train|val"),
        ("JPCNN001.IMG", "normal", "non-nodule", "jsrt-JPCNN001", "train|val"),
        ("JPCNN002.IMG", "normal", "normal", "jsrt-JPCNN002", "test"),
    ]
    assert [(row.sex, row.age) for row in taken.values()][::3] == [("Male", 53), ("Male", 72)]
    assert math.isnan(taken["JPCLN002.IMG"].age)


def test_the_three_gif_files_become_one_map(examples):
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


def test_a_nodule_is_drawn_where_its_place_and_size_are_told(examples):
    lesions = decode(examples["JPCLN001.IMG"].lesions)
    rows, columns = np.nonzero(lesions)
    assert (rows.mean(), columns.mean()) == pytest.approx((692, 1634), abs=0.01)
    # 15 mm across: pi * 7.5**2 mm² of 0.175² mm² a pixel.
    assert lesions.sum() == pytest.approx(math.pi * 7.5**2 / 0.175**2, rel=0.02)
    assert examples["JPCLN003.IMG"].lesions == b""  # its size is "?"


def test_an_image_of_another_size_is_refused(taken):
    with pytest.raises(RecordError, match="2000 bytes instead of 8388608"):
        SOURCE.read(taken["JPCNN002.IMG"], Options())


@pytest.mark.parametrize("seed", range(5))
def test_validation_never_comes_out_of_the_test_fold(taken, seed):
    rows = [row for row in taken.values() if isinstance(row, Record)]
    plan = splits.assign_splits(rows, splits.name_ratios(SOURCE.split_ratios), seed)
    even = {row.id for row in rows if int(row.id[-7:-4]) % 2 == 0}
    assert {row.id for row in plan["test"]} == even
