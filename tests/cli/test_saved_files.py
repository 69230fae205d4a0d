"""Saved masks and maps are aligned with the pixels of the file; the network is a stand-in that detects marks."""

import csv
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import cxrjax as cx
from cxrjax.cli import predict_files
from cxrjax.io import predictions_csv
from tests.helpers import image_files

HELPER = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "helpers" / "predictor.py")))
SHAPE = (131, 90)
TOP, LEFT, RIGHT = 9, 5, 14  # blank borders
MARKS = {2: (40, 70), 3: (60, 12), 1: (100, 40)}  # by label: row and column in the file
KINDS = ("figure", "mask", "map", "overlay", "json", "embedding")


class StandIn(HELPER.StandIn):
    """Labels structures by their gray level, and returns the gray level as saliency."""

    def predict(self, images, batch_size):
        for image in images:
            labels = np.select([image > 235, image > 175, image > 110], [2, 3, 1]).astype(np.uint8)
            yield SimpleNamespace(lung_mask=labels > 1, labels=labels, saliency=image / np.float32(255), mean=0.5)

    def label_map(self, result):
        return result.labels

    def saliency(self, result):
        return result.saliency

    def saliency_label(self, result):
        return "viral"

    def embedding(self, result):
        return np.arange(4, dtype=np.float32)


@pytest.fixture
def marked(tmp_path, monkeypatch):
    """A folder with a file and the same radiograph as an inverted DICOM file, both with blank borders and marks."""
    model = HELPER.stand_in_model(StandIn(), 512, equalize=False)
    spec = model.spec._replace(segmenter=SimpleNamespace(), input=cx.InputSpec(size=512, gamma=1.0, equalize=False))
    model.spec = spec
    monkeypatch.setattr(cx, "load", lambda *_, **__: model)
    monkeypatch.setattr(cx.Model, "with_outputs", lambda self, **_: self)
    pixels = np.zeros(SHAPE, np.uint8)
    inside = pixels[TOP:, LEFT:-RIGHT]
    inside[:] = np.random.default_rng(0).integers(20, 60, inside.shape)
    for label, level in ((2, 255), (3, 200), (1, 145)):
        row, column = MARKS[label]
        pixels[row : row + 3, column : column + 3] = level
    image_files.save_image(tmp_path / "in" / "a.png", pixels)
    spacing = {"ImagerPixelSpacing": [0.5, 0.2]}
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    image_files.save_dicom(tmp_path / "in" / "b.dcm", 255 - pixels, **spacing, **inverted)
    return tmp_path / "in"


def test_saved_masks_and_maps_are_aligned_with_the_input_file(marked, tmp_path):
    out = tmp_path / "out"
    rows = predict_files.predict(tmp_path / "run", marked, out, save=KINDS).rows
    for row in rows:
        mask = cv2.imread(str(out / row["mask"]), cv2.IMREAD_UNCHANGED)
        assert mask.shape == SHAPE and mask.dtype == np.uint8
        levels = cv2.imread(str(out / row["map"]), cv2.IMREAD_UNCHANGED)
        saliency = np.load(out / row["map_npy"])
        assert levels.shape == saliency.shape == SHAPE and (levels.dtype, saliency.dtype) == (np.uint16, np.float32)
        assert np.abs(levels / 65535 - saliency).max() <= 0.5 / 65535 + 1e-7
        assert (saliency[:TOP] == 0).all() and (mask[:, -RIGHT:] == 0).all()
        for label, (row_, column) in MARKS.items():
            assert mask[row_ + 1, column + 1] == label
        row_, column = MARKS[2]
        assert (mask[row_ : row_ + 3, column : column + 3] == 2).all() and (mask == 2).sum() == 9
        assert np.unravel_index(saliency.argmax(), SHAPE) in [
            (row_ + r, column + c) for r in range(3) for c in range(3)
        ]
        assert [row[f"left_lung_{part}"] for part in ("row", "column", "height", "width")] == [row_, column, 3, 3]
        overlay = cv2.imread(str(out / row["overlay"]))
        assert overlay.shape == (*SHAPE, 3) and (overlay[:TOP] == 0).all()
    png, dicom = rows
    assert "left_lung_area_mm2" not in png and dicom["left_lung_area_mm2"] == pytest.approx(9 * 0.5 * 0.2)


def test_saved_files_are_listed_in_the_table_and_replaced_on_rerun(marked, tmp_path):
    out = tmp_path / "out"
    predict_files.predict(tmp_path / "run", marked, out, save=KINDS)
    names = {
        f"{name}{suffix}"
        for name in ("a.png", "b.dcm")
        for suffix in (".figure.png", ".mask.png", ".map.png", ".map.npy", ".overlay.png", ".prediction.json",
                       ".embedding.npz")
    }  # fmt: skip
    tables = {"predictions.csv", "predictions_files.json"}
    assert {path.name for path in out.iterdir()} == names | tables
    assert json.loads((out / "predictions_files.json").read_text())["files"].keys() == names | {"predictions.csv"}
    (row, _) = predictions_csv.read(out / "predictions.csv")
    assert [row[column] for column in ("figure", "map_npy", "json")] == [
        "a.png.figure.png", "a.png.map.npy", "a.png.prediction.json",
    ]  # fmt: skip
    with (out / "predictions.csv").open() as file:
        assert next(csv.DictReader(file))["left_lung_row"] == "40"  # pixels, without a decimal point
    assert json.loads((out / "b.dcm.prediction.json").read_text())["lung_geometry"]["left_lung_row"] == 40
    assert np.load(out / "a.png.embedding.npz")["embedding"].tolist() == [0, 1, 2, 3]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    predict_files.predict(tmp_path / "run", marked, out, save=KINDS)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_user_files_stay_and_files_without_prediction_are_removed(marked, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.png.mask.png").write_bytes(b"mine")
    rows = predict_files.predict(tmp_path / "run", marked, out, save=["mask", "json"]).rows
    assert [row["mask"] for row in rows] == ["a.png.mask-2.png", "b.dcm.mask.png"]
    (marked / "a.png").write_bytes(b"")
    (marked / "b.dcm").unlink()
    predict_files.predict(tmp_path / "run", marked, out, save=["map"])
    assert (out / "a.png.mask.png").read_bytes() == b"mine"
    assert not list(out.glob("a.png.mask-2.png")) and not list(out.glob("a.png.*.json"))


def test_save_accepts_an_empty_list_and_refuses_unknown_kinds(marked, tmp_path):
    predict_files.predict(tmp_path / "run", marked, tmp_path / "out", save=[])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"predictions.csv", "predictions_files.json"}
    with pytest.raises(ValueError, match="'masks' is not a kind of file of a prediction; there are figure, mask, map"):
        predict_files.predict(tmp_path / "run", marked, tmp_path / "new", save=["masks"])
    assert not (tmp_path / "new").exists()


def test_unfinished_prediction_with_other_saved_files_is_not_resumed(marked, tmp_path, monkeypatch):
    monkeypatch.setattr(StandIn, "predict", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        predict_files.predict(tmp_path / "run", marked, tmp_path / "out", save=["mask"])
    with pytest.raises(ValueError, match=r"was started with save=\['mask'\], and now \['figure'\] is requested"):
        predict_files.predict(tmp_path / "run", marked, tmp_path / "out")
