"""A run directory that the last version with the former names wrote is read, applied and scored as by that version.

`former` was written by it: `run` has a segmenter and a classifier of one block each, trained on phantoms, `predicted`
the table of `--mode=predict` on `images`.
"""

import shutil
from functools import partial
from pathlib import Path

import pytest

from cxrjax.cli import predict_files
from cxrjax.evaluation import scoring
from cxrjax.inference import ood
from cxrjax.io import json_file, predictions_csv
from cxrjax.models import registry
from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.models.resnet import ResNet
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


def test_a_former_run_predicts_what_it_predicted(run, tmp_path):
    predict_files.predict(run, FORMER / "images", tmp_path / "out")
    rows = predictions_csv.read(tmp_path / "out" / "predictions.csv")
    former_rows = predictions_csv.read(FORMER / "predicted" / "predictions.csv")
    assert len(rows) == 3 and {row["status"] for row in rows} == {"ok"} and rows[0]["ood_reason"] is not None
    for row, former_row in zip(rows, former_rows, strict=True):
        assert list(row) == list(former_row)
        for column, cell in former_row.items():
            assert row[column] == (cell if isinstance(cell, str) else pytest.approx(cell, rel=1e-4, nan_ok=True))


def test_a_former_evaluation_is_scored_as_it_was(run):
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


@pytest.mark.parametrize("table", [former_names.MODES, former_names.FLAGS, former_names.COLUMNS])
def test_no_name_of_today_is_a_former_name(table):
    assert not set(table) & set(table.values())
