"""A run directory that the last version with the former names wrote is read, applied and scored as by that version.

`former` was written by it: `run` has a segmenter and a classifier of one block each, trained on phantoms, `predicted`
the table of `--mode=predict` on `images`.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from cxrjax.audit.experiments import EXPERIMENTS
from cxrjax.cli import predict_files
from cxrjax.cli.prediction_journal import PredictionJournal
from cxrjax.evaluation import morphometry, scoring
from cxrjax.inference import ood, ood_store
from cxrjax.io import json_file, predictions_csv
from cxrjax.models import registry
from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.models.resnet import ResNet
from cxrjax.runs import provenance, run_dir
from cxrjax.runtime import former_names

FORMER = Path(__file__).parent / "former"


@pytest.fixture
def run(tmp_path, monkeypatch):
    segmenter = partial(FCDenseNet, blocks=(1, 1), bottleneck=1, growth=8, stem=8)
    monkeypatch.setitem(registry.SEGMENTERS, "fc_densenet29", segmenter)
    classifier = registry.BackboneEntry(partial(ResNet, stages=(1,), width=8))
    monkeypatch.setitem(registry.BACKBONES, "resnet6", classifier)
    monkeypatch.setattr(ood, "SIDE", 8)
    return Path(shutil.copytree(FORMER / "run", tmp_path / "run"))


def test_former_run_gives_the_same_predictions(run, tmp_path):
    predict_files.predict(run, FORMER / "images", tmp_path / "out")
    rows = predictions_csv.read(tmp_path / "out" / "predictions.csv")
    former_rows = predictions_csv.read(FORMER / "predicted" / "predictions.csv")
    assert len(rows) == 3 and {row["status"] for row in rows} == {"ok"} and rows[0]["ood_reason"] is not None
    assert former_rows[2].pop("ood_reason") == "what the lungs show is unlike the training radiographs"
    assert rows[2].pop("ood_reason") == "the content of the lungs is unlike the training radiographs"
    for row, former_row in zip(rows, former_rows, strict=True):
        assert [column for column in row if column in former_row] == list(former_row)
        for column, cell in former_row.items():
            # a probability of 0.002 is rounded to 2e-7 on another processor
            expected = cell if isinstance(cell, str) else pytest.approx(cell, rel=1e-4, abs=1e-6, nan_ok=True)
            assert row[column] == expected


def test_former_evaluation_gives_the_same_scores(run):
    folder = run / "evaluation" / "test"
    former_scores = json_file.read(folder / "metrics.json", "")
    scores = scoring.score_run(run, "test")
    assert list(scores) == list(former_scores) and scores.pop("warnings") != former_scores.pop("warnings")
    assert _flatten(scores) == pytest.approx(_flatten(former_scores), rel=1e-9)
    assert scores["selective_prediction"].keys() == {"vote_fraction", "confidence", "entropy"}


def _flatten(node, path=""):
    """Return the leaves of a tree by their paths, with -1 for null and the length of a text."""
    if isinstance(node, dict | list):
        children = node.items() if isinstance(node, dict) else enumerate(node)
        return {p: leaf for key, child in children for p, leaf in _flatten(child, f"{path}/{key}").items()}
    return {path: -1 if node is None else len(node) if isinstance(node, str) else node}


@pytest.mark.parametrize("table", [former_names.MODES, former_names.FLAGS, former_names.COLUMNS, former_names.FILES])
def test_former_and_current_names_are_disjoint(table):
    assert not set(table) & set(table.values())


def test_files_of_a_former_run_are_read_with_current_keys(run):
    step = run_dir.load_step(run, run_dir.load_config(run))
    assert ood_store.load(run, step) is not None and not (run / "ood_detector.npz").exists()
    origin = provenance.read(run / "evaluation" / "test")
    assert origin == provenance.Provenance("phantom", "test", step)
    summary = json_file.read(former_names.find(run, "ood_detector.json"), "")
    assert summary["expected_false_alarm_rate"] == pytest.approx(0.154, abs=1e-3)
    checks = json_file.read(former_names.find(run, "saliency", "test", "saliency_metrics.json"), "")
    assert checks["metrics"]["randomized_100_correlation"]["n"] == 10 and "resampling" in checks["checks"]
    assert checks["checks"]["weights"] == "inconclusive" and checks["checks"]["lungs"] == "passed"
    assert checks["metrics"]["resampled_ssim"]["n"] == 10 and checks["metrics"].keys() >= {"phase_randomized_ssim"}
    audit = json_file.read(run / "audit" / "test" / "audit.json", "")
    assert [entry["model"] for entry in audit["experiments"] if entry["name"] == "source"] == ["metadata"]
    names = [entry["name"] for entry in audit["experiments"]]
    assert {"metadata", "full_image", "lung_box", "unaltered"} <= set(names) <= {e.name for e in EXPERIMENTS}
    assert audit["scores"]["macro_auroc"]["n"] == 10 and audit["settings"]["probe_network"]["task"] == "classify"
    assert former_names.find(run, "audit", "test", "fingerprint.json").name == "made_of.json"
    rows = morphometry.read_rows(former_names.find(run, "morphometry", "test", "morphometry.csv"))
    assert len(rows) == 10 and all(row["lung_area_mm2"] > 1e3 for row in rows)


def test_current_file_is_preferred_to_a_former_one(tmp_path):
    (tmp_path / "gate.npz").touch()
    assert former_names.find(tmp_path, "ood_detector.npz") == tmp_path / "gate.npz"
    (tmp_path / "ood_detector.npz").touch()
    assert former_names.find(tmp_path, "ood_detector.npz") == tmp_path / "ood_detector.npz"


def test_keys_are_renamed_only_at_their_path():
    content = {"settling": {"5": {"agreement": 1}}, "all": {"no_finding": 2, "classes": {"settling": {"agreement": 3}}}}
    assert former_names.upgrade(content, "metrics.json") == {
        "vote_convergence": {"5": {"vote_fraction": 1}},
        "all": {"no_prediction": 2, "classes": {"settling": {"agreement": 3}}},
    }
    assert former_names.upgrade(content, "other.json") is content


def test_values_are_replaced_only_at_their_path():
    content = {"checks": {"weights": "open", "lungs": "passed"}, "verdict": "open"}
    for name in ("checks.json", "saliency_metrics.json"):
        assert former_names.upgrade(content, name) == {
            "checks": {"weights": "inconclusive", "lungs": "passed"},
            "verdict": "open",
        }


def test_unfinished_prediction_of_a_former_version_is_refused(tmp_path):
    folder = tmp_path / "predictions.partial"
    folder.mkdir()
    request = {"version": 2, "run": "r", "gated": False, "refuse": False}
    (folder / "asked.json").write_text(json.dumps(request))
    rows = (FORMER / "predicted" / "predictions.csv").read_text()
    (folder / "portion-1.csv").write_text(rows)
    with pytest.raises(ValueError, match="started by another version of cxrjax; remove the folder to start"):
        PredictionJournal(folder, predictions_csv.segmentation_columns(()), {"run": "r"})
    assert (folder / "portion-1.csv").read_text() == rows
