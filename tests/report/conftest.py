"""The files of a run that was evaluated."""

import pytest

from cxrjax.config import default_config
from cxrjax.report import inputs
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
