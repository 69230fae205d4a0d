"""Inputs of a report: files of one run and one data set."""

import json
import re
import shutil
from collections import Counter

import pytest

from cxrjax.config import default_config
from cxrjax.data import tfds_store
from cxrjax.io import predictions_csv
from cxrjax.metrics import baselines
from cxrjax.report import inputs, render
from tests.helpers.report_page import (
    AUDIT,
    CARD,
    CLASSES,
    HERE,
    HOSTILE,
    ROWS,
    THERE,
    Page,
    answers,
    page,
    shown,
    table,
)


def test_evaluation_of_another_data_set_is_labeled(found):
    other = found._replace(name="elsewhere-test", directory="data/there", evaluation_data=THERE)
    text = page(other)
    assert "another data set, <bdi>elsewhere</bdi>" in text and "cxrjax audit" not in text
    assert re.search(r"cxrjax evaluate_saliency --workdir=\S+ --split=test --dataset=data/there", text)
    assert table(text, "Radiographs evaluated")[1] == ["test", "far|away", "77"]
    assert table(text, "Radiographs of training")[1] == ["train", "here", "90", "40"]
    card = render.render("model_card.md", other, shown()).decode()
    trained, evaluated = card.split("## Evaluation")
    assert "train, here: 90 normal, 40 viral" in trained and "viral" not in trained.split("val, here")[1]
    assert "77 viral" in evaluated and "90 normal" not in evaluated
    claim = answers(other, "CLAIM")
    assert "to be filled in" in claim["32"] and "test split of elsewhere, another data set" in claim["33"]
    claim = answers(found, "CLAIM")
    assert "of clinic, the data set of training" in claim["32"] and "to be filled in" in claim["33"]
    gone = page(other._replace(training_data=None, chance=dict.fromkeys(found.chance)))
    assert "no longer exists" in gone and table(gone, "Scores of the network")[1][3] == "–"


def test_page_has_the_data_card_and_the_settings_of_the_audit(found):
    text = page(found)
    assert "data_prep describe" in text and "Settings of the audit" not in text
    text = page(found._replace(evaluation_data=HERE._replace(card=CARD), audit=AUDIT))
    assert "data_prep describe" not in text and "Label and view go together." in text
    assert table(text, "Attributes that predict")[1] == ["view", "2", "7", "0.650", "0.390", "0.600"]
    assert table(text, "Radiographs by sex")[1:] == [["F", "5", ""], ["M", "", "2"]]
    assert "View: <bdi>PA</bdi>, all of them." in text
    assert table(text, "Settings of the audit")[1:] == [["seed", "41"], ["training.epochs", "12"]]
    assert "Seed 41" in text and "jax 0.10.9" in text and Page(text)


def test_inputs_are_read_from_the_run_and_a_damaged_file_is_named(tmp_path, monkeypatch):
    config = default_config()
    config.task, config.classifier.classes, config.training.metric = "classify", CLASSES, "macro_f1"
    (tmp_path / "config.json").write_text(config.to_json())
    with pytest.raises(Exception, match="not evaluated yet; --mode=evaluate --split=test"):
        inputs.gather_inputs(tmp_path, "test", None)
    folder = tmp_path / "evaluation" / "test"
    folder.mkdir(parents=True)
    columns = predictions_csv.classification_columns(CLASSES)
    predictions_csv.write(folder / "predictions.csv", ROWS, columns)
    (folder / "metrics.json").write_text(json.dumps({"all": {}}))
    with pytest.raises(Exception, match="older cxrjax; --mode=rescore"):
        inputs.gather_inputs(tmp_path, "test", None)
    (folder / "metrics.json").write_text(json.dumps({"all": {}, "subgroups": {}}))
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 5, "epoch": 1, "val/macro_f1": 0.5}\n{"step": 9, "epoch": 2, "val/macro_f1": 0.4}\n{"ep'
    )
    labels = ["normal", *["viral"] * 3]
    patients = ["p1", f"study-{'0a' * 12}", "", ""]
    stored = [
        {"source": "here", "label": label, "patient_id": patient}
        for label, patient in zip(labels, patients, strict=True)
    ]
    monkeypatch.setattr(tfds_store, "iter_records", lambda directory, split: stored)
    monkeypatch.setattr(tfds_store, "list_splits", lambda directory: ["train"])
    for name, value in (("read_report", {}), ("read_card", None), ("dataset_name", "clinic")):
        monkeypatch.setattr(tfds_store, name, lambda directory, value=value: value)
    found = inputs.gather_inputs(tmp_path, "test", None)
    assert found.best_epoch["epoch"] == 1 and found.rows[3]["path"] == HOSTILE
    assert found.training_data is found.evaluation_data and found.training_data.label_counts == {
        "train": Counter(viral=3, normal=1)
    }
    assert (found.training_data.without_patient, found.training_data.num_radiographs) == (3, 4)
    assert found.chance == baselines.chance_level(["viral"] * 3 + ["normal"], [each["label"] for each in ROWS], CLASSES)
    (tmp_path / "saliency" / "test").mkdir(parents=True)
    (tmp_path / "saliency" / "test" / "saliency_metrics.json").write_text("{")
    with pytest.raises(ValueError, match=r"saliency_metrics\.json: it is damaged"):
        inputs.gather_inputs(tmp_path, "test", None)


def test_one_radiograph_file_or_pair_is_written_in_the_singular(found):
    report = {"skipped": ["one"], "duplicates": [{"difference": ""}]}
    data = HERE._replace(without_patient=1, num_radiographs=2, preparation_report=report)
    all_scores = found.scores["all"] | {"no_prediction": 1}
    row = ROWS[0] | {"ood_reason": "rotated"}
    one = found._replace(
        rows=[row],
        ood_detector={},
        evaluation_data=data,
        scores=found.scores | {"n": 1, "patients": 1, "all": all_scores},
    )
    text = page(one)
    plural = r"\b1 (?:radiographs|patients|pairs|files|upstream files|predictions|entries)\b"
    assert re.findall(plural, text) == []
    for sentence in (
        "for 1 radiograph of 1 patient, the test split",
        "1 upstream file was left out, with the reason in",
        "1 pair of near-duplicates was found, 0 of them",
        "1 of 2 radiographs of <bdi>clinic</bdi> has no patient id",
        "1 radiograph without a prediction (no lungs found) counts as wrong",
        "1 of 1 radiograph is unlike those of training",
        "On 1 radiograph the network reaches",
    ):
        assert sentence in text, sentence


@pytest.mark.parametrize(
    ("without", "present", "absent"),
    [
        (0, "has a patient id; a patient in two splits is an error", "not known"),
        (9, "9 of 146 radiographs of <bdi>clinic</bdi> have no patient id: those of one patient", "Every radiograph"),
        (146, "patients of <bdi>clinic</bdi> are not known: radiographs of one patient may", "is an error"),
    ],
)
def test_sentences_on_patients_and_splits_are_true(found, without, present, absent):
    data_set = HERE._replace(without_patient=without)
    text = page(found._replace(training_data=data_set, evaluation_data=data_set))
    assert present in text and absent not in text
    unknown = found._replace(scores=found.scores | {"without_patient": 40})
    assert "40 radiographs, patients not known, the test split" in page(unknown)
    assert "40 radiographs of 37 patients, the test split" in page(found)


def test_only_results_of_the_same_data_set_are_joined(tmp_path, monkeypatch):
    """Two data sets in one folder: scores of the second are not shown with the audit of the first, by any path."""
    for name in ("clinic", "elsewhere"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "dataset_info.json").touch()
    monkeypatch.setattr(tfds_store, "dataset_name", lambda directory: directory.rstrip("/").split("/")[-1])
    stored = [{"source": "here", "label": "normal", "patient_id": "p1"}]
    monkeypatch.setattr(tfds_store, "iter_records", lambda directory, split: stored)
    monkeypatch.setattr(tfds_store, "list_splits", lambda directory: ["train"])
    config = default_config()
    config.task, config.classifier.classes, config.data.dir = "classify", CLASSES, f"{tmp_path}/data/clinic"
    (tmp_path / "config.json").write_text(config.to_json())
    for name in ("test", "elsewhere-test"):
        folder = tmp_path / "evaluation" / name
        folder.mkdir(parents=True)
        predictions_csv.write(folder / "predictions.csv", ROWS, predictions_csv.classification_columns(CLASSES))
        (folder / "metrics.json").write_text(json.dumps({"all": {"of": name}, "subgroups": {}}))
    for path in ("audit/test/audit.json", "maps/test/checks.json", "morphology/test/differences.json"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("{}")
    for directory in (None, f"{tmp_path}/data/clinic/", f"{tmp_path}/data/../data/clinic"):
        own = inputs.gather_inputs(tmp_path, "test", directory)
        assert not own.is_external and (own.audit, own.maps, own.morphometry) == ({}, {}, {})
    other = inputs.gather_inputs(tmp_path, "test", f"{tmp_path}/data/elsewhere/")
    assert (
        other.is_external and other.scores["all"] == {"of": "elsewhere-test"} and other.training_data.name == "clinic"
    )
    assert (other.audit, other.maps, other.morphometry) == (None, None, None)
    assert other.file("evaluation", "x") == tmp_path / "evaluation" / "elsewhere-test" / "x"
    shutil.rmtree(tmp_path / "data" / "clinic")
    gone = inputs.gather_inputs(tmp_path, "test", f"{tmp_path}/data/elsewhere")
    assert gone.training_data is None and gone.chance == other.chance  # the run keeps what it was trained on, counted
