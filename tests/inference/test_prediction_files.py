"""Files of a prediction: the headings of its figure; the network is a stand-in."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageDraw

from cxrjax.inference import prediction_files
from cxrjax.plotting import radiographs
from tests.helpers import predictor


class StandIn(predictor.StandIn):
    """Predictor with a saliency map of a class; the map is empty where no class is predicted."""

    def __init__(self, prediction, decision, saliency_label):
        self.cells = {"prediction": prediction, "vote_fraction": 0.8, "decision": decision}
        self.label = saliency_label

    def to_row(self, result):
        return super().to_row(result) | self.cells

    def decision(self, result):
        return self.cells["decision"]

    def saliency(self, result):
        return np.zeros(result.lung_mask.shape, np.float32)

    def saliency_label(self, result):
        return self.label


@pytest.mark.parametrize(
    ("label", "decision", "saliency_label", "heading"),
    [
        ("covid19", "decided", "covid19", "saliency map of COVID-19"),
        ("normal", "decided", "normal", "saliency map of normal"),
        ("viral", "undecided", "viral", "saliency map of viral"),
        ("normal", "decided", "covid19", "saliency map of COVID-19"),
        ("", "", None, "no saliency map"),
    ],
)
def test_heading_of_the_map_names_the_class_that_the_map_shows(monkeypatch, label, decision, saliency_label, heading):
    texts = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, position, text, *style: texts.append(text))
    model = predictor.stand_in_model(StandIn(label, decision, saliency_label), 32)
    prediction = replace(model.predict(np.arange(64**2).reshape(64, 64).astype(np.uint8)), label=label or None)
    prediction_files.encode(prediction, "figure")
    assert [text for text in texts if "map" in text] == [heading]
    assert f"color bar: {radiographs.SCALE_NOTE}" in texts
    assert ("undecided" in texts[0].lower()) is (decision == "undecided")
