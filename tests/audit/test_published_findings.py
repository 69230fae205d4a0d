"""The audit of a network, such as a published one, with findings that the data set does not have."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cxrjax.audit import audited_model
from cxrjax.audit.context import AuditContext
from cxrjax.config.settings import ClassifierConfig, Config, DataConfig
from cxrjax.models import from_config
from cxrjax.ops.voting import VoteResult
from cxrjax.runs.run_dir import RunError

CLASSES = ("Edema", "Effusion", "Hernia", "Mass")
CONFIG = Config(
    task="classify", data=DataConfig(dir="data"), classifier=ClassifierConfig(targets="multi", classes=CLASSES)
)


def context(*findings):
    made = object.__new__(AuditContext)
    made.run_config, made.classes, made.is_multi_label = CONFIG, CLASSES, True
    made.__dict__["records"] = ([{"label": "", "findings": known} for known in findings], [])
    return made


def test_findings_without_positive_and_negative_rows_are_left_out(capsys):
    rows = [{"Edema": 1, "Effusion": 0, "Mass": 0}, {"Edema": -1, "Effusion": 1, "Mass": 0}]
    assert context(*rows)._select_learnable() == ("Effusion",)  # Edema is positive or uncertain, Hernia unknown
    assert "data: train does not have both values of Edema, Hernia, Mass" in capsys.readouterr().err
    with pytest.raises(RunError, match="data: train has no finding of the run that is positive in some"):
        context({"Edema": 1})._select_learnable()


def test_rows_have_no_columns_of_left_out_findings(tmp_path, monkeypatch):
    made = context({"Effusion": 1}, {"Effusion": 0})
    made.workdir, made.split, made.classes = tmp_path, "test", ("Effusion",)
    made.__dict__["records"] = ([], [{"id": 1}])
    path = tmp_path / "evaluation" / "test" / "predictions.csv"
    path.parent.mkdir(parents=True)
    path.touch()
    row = {"path": "a", "target_Mass": 1.0, "probability_Mass": 0.5, "votes_Mass": 1, "votes_Effusion": 0}
    monkeypatch.setattr("cxrjax.audit.context.predictions_csv.read", lambda _: [row])
    monkeypatch.setattr("cxrjax.audit.context._identify", lambda _: "a")
    assert made.rows == [{"path": "a", "votes_Effusion": 0}]


def test_predict_returns_votes_of_the_selected_outputs(monkeypatch):
    votes = np.array([[3, 1, 0, 2]])
    probabilities = np.array([[0.9, 0.2, 0.1, 0.6]])
    result = VoteResult(votes, probabilities, np.array([0]), np.ones(1), np.zeros(1), np.zeros(1), np.array([3]))
    monkeypatch.setattr(audited_model, "_vote", lambda *_: result)
    monkeypatch.setattr(audited_model.pipeline, "image_keys", lambda *_: np.zeros(1))
    model = object.__new__(audited_model.AuditedModel)
    vars(model).update(_seed=0, _batch_size=1, _classifier=None, _settings=SimpleNamespace(), _variables=None)
    vars(model).update(_outputs=[1, 3], _selects=True)
    selected = model.predict(np.zeros((1, 8, 8)), np.zeros((1, 8, 8)), np.zeros(1))
    np.testing.assert_array_equal(selected.votes, [[1, 2]])
    np.testing.assert_array_equal(selected.probabilities, [[0.2, 0.6]])
    assert selected.label.tolist() == [1] and selected.num_patches.tolist() == [3]


def test_thresholds_need_one_number_per_finding():
    for thresholds, targets in (((0.5,), "multi"), ((0.5,) * 4, "single")):
        wrong = replace(CONFIG, classifier=replace(CONFIG.classifier, targets=targets, thresholds=thresholds))
        with pytest.raises(ValueError, match="one for each of the 4 findings"):
            from_config.inference_config(wrong, 1)
