"""What prediction leaves behind; the network is a stand-in."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pydicom
import pytest

from configs import base
from cxrjax import figures, predict, predictions, runs

PREDICTOR = Path(__file__).parent / "predictor.py"


class StandIn:
    """Finds nothing but lungs, until it is to be killed."""

    finds, segments, classes, gated, step, until = False, True, (), False, 1, 99

    def __init__(self, workdir, calibrated, most):
        self.config, self.left = base.get_config(), self.until
        self.config.image.size = 64

    def examine(self, images, names):
        for _ in names:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield SimpleNamespace(lungs=np.zeros((64, 64), bool))

    def row(self, result):
        return {"status": "ok", "reason": "", "lung_confidence": 0.5}


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "Examiner", StandIn)
    monkeypatch.setattr(figures, "draw_finding", lambda *parts: parts[-1].write_bytes(b"drawn"))
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "in" / name), np.arange(6400, dtype=np.uint8).reshape(80, 80))
    return tmp_path / "in"


def test_nothing_is_refused_without_a_gate(pictures, tmp_path):
    with pytest.raises(runs.UnfitRun, match="run: has no gate to refuse by; --mode=fit_gate makes one"):
        predict.predict(tmp_path / "run", pictures, tmp_path / "out", refuse=True)
    assert not (tmp_path / "out").exists()


def test_a_prediction_that_is_killed_leaves_no_table_that_looks_whole(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "PORTION", 1)
    monkeypatch.setattr(StandIn, "until", 1)
    with pytest.raises(KeyboardInterrupt):
        predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    (part,) = (tmp_path / "out" / "predictions.partial").glob("*.csv")
    assert [row["path"] for row in predictions.read(part)] == ["a.png"]
    assert not (tmp_path / "out" / "predictions.csv").exists()
    with pytest.raises(ValueError, match=r"predictions.partial: was begun with calibrated=False, .* True"):
        predict.predict(tmp_path / "run", pictures, tmp_path / "out", calibrated=True)
    monkeypatch.setattr(StandIn, "until", 1)  # the other one is left
    predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert len(predictions.read(tmp_path / "out" / "predictions.csv")) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png.png", "b.png.png", "predictions.csv"}


def test_a_radiograph_that_is_no_longer_read_keeps_no_picture(pictures, tmp_path):
    predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert (tmp_path / "out" / "a.png.png").exists()
    (pictures / "a.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    cv2.imwrite(str(pictures / "b.png"), np.repeat(np.array([128, 0], np.uint8), 40)[:, None].repeat(80, 1))
    rows = predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert [row["status"] for row in rows] == ["unreadable", "refused"]
    assert not list((tmp_path / "out").glob("*.png"))


def test_what_a_header_says_of_view_and_modality_is_in_the_row(pictures, tmp_path):
    def write(name, **elements):
        pixels = np.arange(6400, dtype=np.uint16).reshape(80, 80) % 4096
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        dataset.Rows = dataset.Columns = 80
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset["PixelData"] = pydicom.DataElement("PixelData", "OW", pixels.tobytes())
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(pictures / name, enforce_file_format=True)

    write("c_pa.dcm", Modality="CR", ViewPosition="PA", PatientOrientation=["R", "F"])
    write("d_side.dcm", Modality="CR", ViewPosition="LL")
    write("e_slice.dcm", Modality="CT")
    rows = predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert [(row["status"], row.get("view"), row["reason"]) for row in rows] == [
        ("ok", "", ""),
        ("ok", "", ""),
        ("ok", "PA", "turned or mirrored back, for its PatientOrientation is R, F"),
        ("refused", "LL", "lateral view, by its ViewPosition"),
        ("refused", "", "CT, not a radiograph, by its Modality"),
    ]
    table = predictions.read(tmp_path / "out" / "predictions.csv")
    assert [row["view"] for row in table] == ["", "", "PA", "LL", ""]
    assert not (tmp_path / "out" / "d_side.dcm.png").exists()


def begin(source, output, process, processes, seconds):
    """A real process, which takes so long for each radiograph."""
    options = [str(x) for x in (source.parent / "run", source, output, process, processes, seconds)]
    environment = os.environ | {"PYTHONPATH": str(PREDICTOR.parents[1])}
    return subprocess.Popen([sys.executable, str(PREDICTOR), *options], env=environment)


def test_processes_share_a_folder_and_one_that_is_killed_goes_on(pictures, tmp_path, monkeypatch):
    """SIGKILL after the first portion; then given again beside the other: every row once, as of one process."""
    rng = np.random.default_rng(0)
    for k in range(11):
        cv2.imwrite(str(pictures / f"{k}.png"), rng.integers(0, 20 * (k + 1), (40, 40)).astype(np.uint8))
    (pictures / "9.png").write_bytes(b"torn")
    out, whole = tmp_path / "out", tmp_path / "whole"
    killed = begin(pictures, out, 0, 2, seconds=0.5)
    while killed.poll() is None and not list(out.glob("predictions.partial/*.csv")):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    (kept,) = out.glob("predictions.partial/*.csv")
    first = {row["path"] for row in predictions.read(kept)}
    drawn = {path: (out / f"{path}.png").stat().st_mtime_ns for path in first}
    both = [begin(pictures, out, i, 2, seconds=0) for i in (0, 1)]
    assert [process.wait() for process in both] == [0, 0]
    monkeypatch.setattr(predict, "Examiner", runpy.run_path(str(PREDICTOR))["StandIn"])
    predict.predict(tmp_path / "run", pictures, whole)
    assert (out / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    rows = [row["path"] for row in predictions.read(out / "predictions.csv")]
    assert rows == sorted(path.name for path in pictures.iterdir()) and len(rows) == 13
    assert not (out / "predictions.partial").exists()
    assert drawn == {path: (out / f"{path}.png").stat().st_mtime_ns for path in first}  # not examined again
