"""Detection of inverted gray levels in phantoms and real radiographs."""

from dataclasses import replace

import numpy as np
import pytest

import cxrjax as cx
from cxrjax.data import polarity
from data_prep.phantom.draw import draw

SPEC = cx.InputSpec(size=64)
COUNT = 30  # radiographs of each collection
COLLECTIONS = {
    "jsrt": "jsrt/images",
    "openist": "openist/images",
    "kermany": "chest_xray",
    "covid": "covid-chestxray-dataset/images",
    "tuberculosis": "tuberculosis",
}


def _phantom(seed):
    return draw(("normal", "bacterial", "covid19")[seed % 3], np.random.default_rng(seed)).pixels


@pytest.mark.parametrize("seed", range(6))
def test_inverted_phantoms_are_detected_and_others_are_not(seed):
    pixels = _phantom(seed)
    for gray in (pixels, (pixels.astype(np.uint16) * 200) + 7):
        assert not polarity.looks_inverted(cx.preprocess(gray, SPEC))
        assert polarity.looks_inverted(cx.preprocess(gray.max() - gray, SPEC))


def test_polarity_depends_only_on_the_order_of_gray_levels():
    image = cx.preprocess(_phantom(0), SPEC)
    darker = np.rint(255 * (image / 255.0) ** 2).astype(np.uint8)
    assert not polarity.looks_inverted(darker)
    assert polarity.looks_inverted(255 - darker)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotated_radiograph_is_not_called_inverted(turns):
    for seed in range(3):
        assert not polarity.looks_inverted(np.rot90(cx.preprocess(_phantom(seed), SPEC), turns).copy())


def test_images_without_a_chest_are_not_called_inverted():
    rng = np.random.default_rng(0)
    ramp = np.arange(64, dtype=np.uint8).repeat(64).reshape(64, 64)
    images = [rng.integers(0, 256, (64, 64), np.uint8) for _ in range(50)]
    for image in (*images, ramp, ramp[::-1].copy(), ramp.T.copy(), np.full((64, 64), 9, np.uint8)):
        assert not polarity.looks_inverted(image)


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_real_radiographs_and_their_inverses_are_distinguished(shared, collection):
    paths = cx.find_radiographs(shared / "data" / COLLECTIONS[collection])
    paths = paths[:: max(1, len(paths) // COUNT)][:COUNT]
    assert len(paths) == COUNT
    hits = 0
    for path in paths:
        radiograph = cx.read_radiograph(path)
        assert not polarity.looks_inverted(cx.preprocess(radiograph, SPEC)), path
        inverse = replace(radiograph, pixels=255 - radiograph.pixels)
        hits += polarity.looks_inverted(cx.preprocess(inverse, SPEC))
    assert hits >= COUNT - 2


def test_wrong_photometric_interpretation_is_detected(shared):
    folder = shared / "data" / "dicom"
    found = {
        path.name: polarity.looks_inverted(cx.preprocess(cx.read_radiograph(path), SPEC))
        for path in cx.find_radiographs(folder)
    }
    assert found == {"1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": False, "Fake_MONOHR1.dcm": True}
