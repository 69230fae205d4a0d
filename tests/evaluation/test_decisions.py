"""The column `decision` of an evaluation, which follows the current threshold of the run."""

import json

import numpy as np
import pytest

from cxrjax.evaluation import decisions
from cxrjax.io import predictions_csv
from cxrjax.runs import calibration, provenance
from tests.helpers import finding_rows

CLASSES = ["normal", "covid19"]


def make_row(name: str, prediction: str, confidence: float) -> dict:
    probabilities = {"probability_normal": 1 - confidence, "probability_covid19": confidence}
    votes = {"votes_normal": 1, "votes_covid19": 2}
    return {
        "path": name, "label": "normal", "prediction": prediction, "confidence": confidence, "status": "ok",
        **probabilities, **votes,
    }  # fmt: skip


def calibrate(workdir, min_confidence) -> None:
    content = {"step": 7, "temperature": 2.0, "operating_points": {}, "min_confidence": min_confidence}
    content |= {"split": "val", "target": 0.9}
    calibration.path(workdir).write_text(json.dumps(content))


def test_decisions_follow_the_threshold_of_the_run(tmp_path):
    folder = tmp_path / "evaluation" / "test"
    folder.mkdir(parents=True)
    file = folder / "predictions.csv"
    rows = [make_row("a", "covid19", 0.6), make_row("b", "normal", 0.59), make_row("c", "", float("nan"))]
    predictions_csv.write(file, rows, predictions_csv.classification_columns(CLASSES))
    provenance.write(folder, provenance.Provenance("phantom", "test", 7))
    written = predictions_csv.read(file)
    above = "Of the predictions above, at least 90% were correct on the validation split (val), and here"
    nowhere = ": on the validation split (val), at no level of confidence were 90% of the predictions correct."
    for min_confidence, expected, sentences in (
        (
            0.6,
            ["decided", "undecided", ""],
            f"1 of 2 predictions is undecided (confidence below 60%). {above} 0% of 1.",
        ),
        (
            0.5,
            ["decided", "decided", ""],
            f"None of 2 predictions is undecided (confidence below 50%). {above} 50% of 2.",
        ),
        (None, ["undecided", "undecided", ""], f"2 of 2 predictions are undecided{nowhere}"),
    ):
        calibrate(tmp_path, min_confidence)
        decisions.write_decisions(tmp_path, "test")
        decided = predictions_csv.read(file)
        assert [row["decision"] for row in decided] == expected
        assert decisions.summarize_run(tmp_path, "test") == sentences
        assert list(decided[0])[-3:] == ["decision", "status", "reason"]
        for before, after in zip(written, decided, strict=True):
            assert after == pytest.approx(before | {"decision": after["decision"]}, nan_ok=True)
    provenance.write(folder, provenance.Provenance("phantom", "test", 8))
    decisions.write_decisions(tmp_path, "test")
    assert [row["decision"] for row in predictions_csv.read(file)] == ["", "", ""]  # fitted to another network
    assert decisions.summarize_run(tmp_path, "test") == ""


def test_findings_are_predicted_by_operating_points_of_validation(tmp_path):
    rows = finding_rows.draw_rows(2)
    folder = finding_rows.write(tmp_path, rows)
    file = folder / "predictions.csv"
    columns = [column for column in predictions_csv.read(file)[0] if not column.startswith("threshold_")]
    written = [{column: row.get(column) for column in columns} for row in predictions_csv.read(file)]
    predictions_csv.write(file, written, columns)  # by an older version, without thresholds
    provenance.write(folder, provenance.Provenance("phantom", "test", 7))
    old = {"step": 7, "temperature": {}, "operating_points": {"Edema": {"at_specificity": 0.1}}}
    calibration.path(tmp_path).write_text(json.dumps(old))
    decisions.write_decisions(tmp_path, "test")
    for row in predictions_csv.read(file):
        if row["status"] == "ok":
            voted = [
                name for name in finding_rows.FINDINGS if row[f"votes_{name}"] >= 5 and row[f"probability_{name}"] > 0.5
            ]
            assert row["prediction"] == ("|".join(voted) or "no finding") and row["threshold_Edema"] == 0.5
    calibration.path(tmp_path).write_text(
        json.dumps(old | {"operating_points": {"Edema": {"decision": 0.2}, "Hernia": {"decision": None}}})
    )
    decisions.write_decisions(tmp_path, "test")
    decided = predictions_csv.read(file)
    for row in decided:
        if row["status"] == "ok":
            assert ("Edema" in row["prediction"]) == (row["probability_Edema"] >= 0.2)
            assert ("Effusion" in row["prediction"]) == (row["probability_Effusion"] > 0.5)
            assert (row["threshold_Edema"], row["threshold_Effusion"]) == (0.2, 0.5)
        else:
            assert row["prediction"] == "" and np.isnan(row["threshold_Edema"])
    assert list(decided[0]) == list(predictions_csv.finding_columns(finding_rows.FINDINGS, False))[:-2] + [
        "decision", "status", "reason",
    ]  # fmt: skip


def test_rows_of_masks_have_no_decision(tmp_path):
    folder = tmp_path / "evaluation" / "test"
    folder.mkdir(parents=True)
    file = folder / "predictions.csv"
    predictions_csv.write(file, [{"path": "a", "status": "ok"}], predictions_csv.segmentation_columns(["lungs"]))
    content = file.read_bytes()
    decisions.write_decisions(tmp_path, "test")
    assert file.read_bytes() == content
