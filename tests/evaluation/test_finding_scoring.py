"""From rows of several findings to metrics.json: known truths, thresholds of validation, runs compared, figures."""

import json

import pytest
from sklearn.metrics import roc_auc_score

from cxrjax.evaluation import compare_runs, fit_calibration, scoring, tables
from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap
from cxrjax.runs import calibration, provenance
from tests.helpers.finding_rows import FINDINGS, N, draw_rows, write


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap.bootstrap, "__defaults__", (60, 0))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    write(workdir, draw_rows(1), "val")
    folder = write(workdir, draw_rows(2))
    fit_calibration.fit(workdir, "val")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap.bootstrap, "__defaults__", (60, 0))
        return workdir, folder, scoring.score_run(workdir, "test")


def test_scores_use_only_known_targets(run):
    _, folder, scores = run
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(scores))
    rows = [row for row in predictions_csv.read(folder / "predictions.csv") if row["target_Edema"] >= 0]
    truth = [row["target_Edema"] for row in rows]
    lost = [-1.0 if t else 2.0 for t in truth]  # a radiograph without a prediction loses every pair
    found = [p if p == p else q for p, q in zip((row["probability_Edema"] for row in rows), lost, strict=True)]
    edema = scores["all"]["classes"]["Edema"]
    assert edema["auroc"]["value"] == pytest.approx(roc_auc_score(truth, found))
    assert (edema["n"], edema["support"], edema["n"] + edema["uncertain"]) == (len(rows), sum(truth), N)
    low, high = edema["auroc"]["interval"]
    assert low < edema["auroc"]["value"] < high
    effusion = scores["all"]["classes"]["Effusion"]["auroc"]["value"]
    assert scores["all"]["macro"]["auroc"]["value"] == pytest.approx((edema["auroc"]["value"] + effusion) / 2)
    assert scores["all"]["classes"]["Hernia"]["auroc"]["value"] is None
    assert scores["all"]["no_prediction"] == 1
    assert any("Hernia" in warning and "no AUROC" in warning for warning in scores["warnings"])


def test_source_baseline_uses_the_training_counts(run):
    _, folder, scores = run
    rows = predictions_csv.read(folder / "predictions.csv")
    truth = [row["target_Effusion"] for row in rows]
    expected = roc_auc_score(truth, [0.75 if row["source"] == "b" else 0.25 for row in rows])
    source = scores["source_baseline"]["classes"]["Effusion"]["auroc"]["value"]
    assert source == pytest.approx(expected) and source > 0.6
    gain = scores["gain_over_source"]["classes"]["Effusion"]["auroc"]["value"]
    assert gain == pytest.approx(scores["all"]["classes"]["Effusion"]["auroc"]["value"] - source)
    edema = scores["source_baseline"]["classes"]["Edema"]["auroc"]["value"]
    assert edema == 0.5  # as frequent in both sources of training


def test_thresholds_and_temperatures_come_from_validation(run):
    workdir, _, scores = run
    stored = calibration.load(workdir, None)
    assert set(stored["temperature"]) == set(stored["operating_points"]) == {"Effusion", "Edema"}
    assert "min_confidence" not in stored and calibration.load_min_confidence(workdir, None) is None
    point = scores["operating_points"]["Effusion"]["at_sensitivity"]
    assert point["threshold"] == stored["operating_points"]["Effusion"]["at_sensitivity"]
    assert point["sensitivity"]["interval"][0] <= point["sensitivity"]["value"] <= point["sensitivity"]["interval"][1]
    scaled = scores["calibration"]["scaled"]
    assert scaled["classes"]["Edema"]["temperature"] == stored["temperature"]["Edema"]
    assert set(scaled["macro"]) == {"ece", "brier", "log_loss"} and "Hernia" not in scaled["classes"]
    assert scores["calibration"]["raw"]["classes"]["Edema"]["brier"]["interval"] is not None


def test_subgroups_add_up_and_the_table_has_every_finding(run):
    _, folder, scores = run
    assert sum(group["n"] for group in scores["subgroups"]["source"].values()) == N
    text = tables.format_scores(scores)
    assert all(name in text for name in FINDINGS) and "source alone" in text
    for name in ("roc", "precision_recall", "reliability"):
        assert all((folder / f"{name}{form}").stat().st_size > 1000 for form in (".png", ".svg"))
    assert not (folder / "confusion.png").exists()


def test_two_runs_are_compared_by_finding(run, tmp_path):
    workdir, _, scores = run
    baseline = tmp_path / "baseline"
    write(baseline, draw_rows(3, skill=0.0))
    result = compare_runs.compare_runs(workdir, baseline, "test")
    effusion = result["difference"]["AUROC Effusion"]
    assert result["run"]["AUROC Effusion"]["value"] == scores["all"]["classes"]["Effusion"]["auroc"]["value"]
    assert effusion["value"] > 0.1 and result["p"]["AUROC Effusion"] < 0.05
    assert result["p"]["AUROC Hernia"] is None and result["difference"]["AUROC Hernia"]["value"] is None
    assert "AUROC Effusion" in tables.format_comparison(result)


def test_runs_with_different_targets_are_not_compared(run, tmp_path):
    workdir, _, _ = run
    rows = draw_rows(2)
    rows[0]["target_Edema"] = 1 - rows[0]["target_Edema"]
    write(tmp_path / "other", rows)
    with pytest.raises(ValueError, match="target_Edema of 0.png"):
        compare_runs.compare_runs(workdir, tmp_path / "other", "test")


def test_damaged_training_counts_are_refused_by_name(run, tmp_path):
    (tmp_path / "training_findings.json").write_text('{"a": {"Edema": [1, "2"]}}')
    with pytest.raises(ValueError, match=r"training_findings\.json"):
        provenance.load_finding_counts(tmp_path)
