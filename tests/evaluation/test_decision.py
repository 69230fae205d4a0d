"""A prediction is decided from the confidence that validation chose, at any temperature."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from cxrjax.inference import pipeline
from cxrjax.inference.label_predictor import LabelPredictor
from cxrjax.inference.loaded_run import Fitted
from cxrjax.inference.rows import describe
from cxrjax.metrics.temperature import HOTTEST, apply_temperature
from cxrjax.runs import calibration

PROBABILITIES = np.array([0.2, 0.5, 0.3], np.float32)


def decide(min_confidence, temperature=1.0, finding=1):
    predictor = object.__new__(LabelPredictor)  # without networks
    predictor._run = SimpleNamespace(fitted=Fitted(temperature, min_confidence))
    probabilities = np.asarray(apply_temperature(PROBABILITIES, temperature), np.float32)
    return predictor.decision(SimpleNamespace(probabilities=probabilities, label=finding))


@pytest.mark.parametrize("temperature", [1.0, 0.3, 3.0])
def test_decision_uses_the_confidence_before_temperature_scaling(temperature):
    assert decide(0.499, temperature) == decide(0.5, temperature) == "decided"
    assert decide(0.501, temperature) == decide(np.inf, temperature) == "undecided"
    assert decide(0.3, temperature, finding=2) == "decided"  # of a majority against the mean
    assert decide(None, temperature) == decide(0.5, temperature, pipeline.NO_CLASS) == ""


def test_min_confidence_is_loaded_only_for_the_step_of_the_network(tmp_path):
    assert calibration.load_min_confidence(tmp_path, 7) is None
    for known, expected in (
        ({"step": 7, "min_confidence": 0.6}, 0.6),
        ({"step": 7, "min_confidence": None}, np.inf),  # none suffices
        ({"step": 7}, None),  # of an older version
        ({"step": 6, "min_confidence": 0.6}, None),
    ):
        calibration.path(tmp_path).write_text(json.dumps({"temperature": 1.0, "operating_points": {}} | known))
        assert calibration.load_min_confidence(tmp_path, 7) == expected


def test_unreliable_temperature_has_a_warning():
    known = {"version": calibration.VERSION, "split": "val", "temperature": 1.3}
    assert calibration.reliability_warning(known) == ""
    coldest = calibration.reliability_warning(known | {"temperature": 1 / HOTTEST})
    assert coldest.startswith("the temperature 0.05 is at the end of the range that is searched: val does not")
    older = calibration.reliability_warning({"split": "val", "temperature": 1.3})  # whose rules had no number
    assert older.startswith("another version of cxrjax fitted") and "--mode=evaluate --split=val fits" in older


def test_undecided_prediction_is_described_as_undecided():
    row = {"status": "ok", "prediction": "viral", "vote_fraction": 0.4}
    assert describe(row) == describe(row | {"decision": "decided"}) == "viral, 40% of votes"
    assert describe(row | {"decision": "undecided"}) == "undecided (viral, 40% of votes)"
