"""A chest of three ellipses as a DICOM file in any orientation, and a stand-in that predicts its gray levels."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest

import cxrjax as cx
from cxrjax import dicom
from cxrjax.io import dicom_orientation
from tests.helpers import image_files, predictor

SHAPE = (150, 104)  # upright, in pixels
TOP, LEFT, RIGHT = 12, 6, 10  # blank borders
LEVELS = {2: 250, 3: 200, 1: 150}  # gray level by label
CLASSES = ("normal", "viral")
UIDS = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5", "SOPInstanceUID": "1.2.3.6"}
PATIENT = {  # nothing of it may appear anywhere but in the results
    "PatientName": "Planted^Müller",
    "PatientID": "PLANTED-4711",
    "PatientBirthDate": "19330817",
    "PatientSex": "F",
    "ReferringPhysicianName": "Plantation^Doctor",
    "AccessionNumber": "PLANTEDACC",
    "StudyID": "PLANTEDST",
    "StudyDescription": "Chest of planted",
    "StudyDate": "20190402",
    "StudyTime": "081500",
    "SpecificCharacterSet": "ISO_IR 100",
}


class Chest(predictor.StandIn):
    """A classifier that takes pixels by their gray level for a structure."""

    classes = CLASSES
    has_ood_detector = True

    def predict(self, images, batch_size):
        for image in images:
            labels = np.select([image > 225, image > 175, image > 110], [2, 3, 1]).astype(np.uint8)
            yield SimpleNamespace(lung_mask=labels > 1, labels=labels, saliency=image / np.float32(255), mean=0.75)

    def to_row(self, result):
        if not result.lung_mask.any():
            return {"status": "no lungs found", "reason": "no lungs", "lung_confidence": 0.0, "ood_reason": ""} | {
                f"votes_{name}": 0 for name in CLASSES
            }
        row = {"status": "ok", "reason": "", "lung_confidence": result.mean, "ood_reason": "it is drawn"}
        row |= {"votes_normal": 3, "votes_viral": 7, "probability_normal": 0.25, "probability_viral": 0.75}
        return row | {"prediction": "viral", "confidence": 0.75, "vote_fraction": 0.7}

    def label_map(self, result):
        return result.labels

    def saliency(self, result):
        return result.saliency

    def saliency_label(self, result):
        return "viral" if result.lung_mask.any() else None


def draw_labels() -> np.ndarray:
    """Draw the labels of the upright chest, uint8 [H, W]: the patient's left lung is at the right of the image."""
    labels = np.zeros(SHAPE, np.uint8)
    cv2.ellipse(labels, (72, 75), (14, 40), 0, 0, 360, 2, -1)
    cv2.ellipse(labels, (30, 70), (12, 45), 0, 0, 360, 3, -1)
    cv2.ellipse(labels, (56, 95), (14, 18), 0, 0, 360, 1, -1)
    return labels


def save_chest(path: Path, *, orientation: tuple[str, str] | None = None, labels: Any = None, **tags: Any) -> None:
    """Write the chest as a DICOM file in an orientation."""
    labels = draw_labels() if labels is None else labels
    pixels = np.zeros(SHAPE, np.uint8)
    inside = pixels[TOP:, LEFT:-RIGHT]
    inside[:] = np.random.default_rng(0).integers(20, 60, inside.shape)
    for label, level in LEVELS.items():
        pixels[labels == label] = level
    pixels = dicom_orientation.find_turn(orientation).undo(pixels)
    if tags.get("PhotometricInterpretation") == "MONOCHROME1":
        pixels = 255 - pixels
    if orientation is not None:
        tags["PatientOrientation"] = list(orientation)
    with dicom.silence(), pytest.MonkeyPatch.context() as patch:  # values may be invalid
        patch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)
        image_files.save_dicom(path, pixels, **UIDS | PATIENT | tags)


@pytest.fixture(autouse=True)
def configuration(tmp_path, monkeypatch) -> Path:
    """The file of the secret, in a configuration folder of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "cxrjax" / "patients.key"


@pytest.fixture
def model() -> cx.Model:
    """A model that is the stand-in."""
    model = predictor.stand_in_model(Chest(), 512, equalize=False)
    model.spec = model.spec._replace(
        classes=CLASSES, segmenter=SimpleNamespace(), input=cx.InputSpec(size=512, gamma=1.0, equalize=False)
    )
    return model
