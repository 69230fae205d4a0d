"""What prediction leaves behind; the network is a stand-in."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from configs import base
from cxrjax import figures, predict, predictions, runs


class StandIn:
    """Finds nothing but lungs, until it is to be killed."""

    finds, segments, classes, gated, until = False, True, (), False, 99

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
    monkeypatch.setattr(predict, "_PORTION", 1)
    monkeypatch.setattr(StandIn, "until", 1)
    with pytest.raises(KeyboardInterrupt):
        predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert [row["path"] for row in predictions.read(tmp_path / "out" / "predictions.partial.csv")] == ["a.png"]
    assert not (tmp_path / "out" / "predictions.csv").exists()
    monkeypatch.setattr(StandIn, "until", 2)
    predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert len(predictions.read(tmp_path / "out" / "predictions.csv")) == 2
    assert not (tmp_path / "out" / "predictions.partial.csv").exists()


def test_a_radiograph_that_is_no_longer_read_keeps_no_picture(pictures, tmp_path):
    predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert (tmp_path / "out" / "a.png.png").exists()
    (pictures / "a.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    cv2.imwrite(str(pictures / "b.png"), np.repeat(np.array([128, 0], np.uint8), 40)[:, None].repeat(80, 1))
    rows = predict.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert [row["status"] for row in rows] == ["unreadable", "refused"]
    assert not list((tmp_path / "out").glob("*.png"))
