"""The files of a run that was evaluated."""

import pytest

from cxrjax.config import default_config
from cxrjax.evaluation import finding_scoring
from cxrjax.metrics import bootstrap, confidence, prediction_arrays, subgroups
from cxrjax.report import inputs
from tests.helpers import finding_rows
from tests.helpers.report_page import CLASSES, HERE, ROWS, scores_of


@pytest.fixture
def found(tmp_path):
    """Evidence of a classifier that was evaluated and nothing else."""
    config = default_config()
    config.task, config.classifier.classes, config.training.metric = "classify", CLASSES, "macro_f1"
    chance = {"accuracy": 0.31, "macro_f1": 0.11, "macro_auroc": 0.5}
    return inputs.ReportInputs(
        workdir=tmp_path, config=config, split="test", name="test", directory="", rows=ROWS, chance=chance,
        identifiability=["covid19 comes from c alone & cannot be told from it."],
        scores={
            "all": scores_of(0.8123), "source_baseline": scores_of(0.4567), "n": 40, "patients": 37,
            "num_resamples": 2000,
            "calibration": {}, "selective_prediction": {}, "vote_convergence": {}, "operating_points": {},
            "subgroups": {"sex": {"F": scores_of(0.7) | {"n": 12}, "M": scores_of(0.8) | {"n": 28}}},
            "warnings": ["few of them"],
        },
        best_epoch={"epoch": 7}, audit=None, maps=None, ood_detector=None, morphometry=None, calibration=None,
        min_confidence=None, training_data=HERE, evaluation_data=HERE,
        versions={"cxrjax": "0", "jax": "1", "flax": "2"}, hardware="a machine",
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Rows of several findings as `predictions_csv.read` returns them."""
    names = finding_rows.FINDINGS
    unknown = {f"target_{name}": float("nan") for name in names} | {f"votes_{name}": 0 for name in names}
    unknown |= {f"probability_{name}": float("nan") for name in names} | {"prediction": ""}
    return [unknown | row for row in finding_rows.draw_rows(2)]


@pytest.fixture
def found_findings(found, rows):
    """Evidence of a classifier of several findings that was evaluated and nothing else."""
    config = default_config()
    config.task, config.classifier.targets, config.classifier.classes = "classify", "multi", finding_rows.FINDINGS
    patients = prediction_arrays.patients(rows)
    measure = finding_scoring.metric_fn(rows, subgroups.partition(rows), None, finding_rows.COUNTS)
    tree = bootstrap.bootstrap(measure, patients, 20)
    scores = {"targets": "multi", "n": len(rows), "patients": 60, "num_resamples": 20, "warnings": []}
    scores |= confidence.summarize(tree, patients)
    chance = {"macro_auroc": 0.5, "macro_average_precision": 0.4, "macro_f1": 0.4}
    return found._replace(config=config, rows=rows, scores=scores, chance=chance, identifiability=[])
