"""Cross-validation: the folds of each training, and the pooled scores by hand."""

import json

import numpy as np
import pytest
from scipy import stats

from cxrjax.config import default_config, freeze
from cxrjax.data import dataset, tfds_store
from cxrjax.evaluation import cross_validation, evaluate
from cxrjax.runs import run_dir
from cxrjax.training import trainer
from data_prep.__main__ import main as prepare


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Phantoms in four folds."""
    folder = tmp_path_factory.mktemp("folds")
    assert prepare(["phantom", f"--out={folder}", "--count=4", "--size=64", "--folds=4"]) == 0
    return str(folder / "phantom")


def load(directory, split):
    return dataset.load(directory, split, size=32, gamma=0.5, equalize=True, borders="uniform", num_threads=1)


def test_joined_splits_are_concatenated_in_order(folds):
    first, second, both = (load(folds, split) for split in ("fold0", "fold2", "fold0+fold2"))
    assert both.paths == first.paths + second.paths
    np.testing.assert_array_equal(both.images, np.concatenate([first.images, second.images]))
    assert tfds_store.load_labels(folds, "fold0+fold2")[1] == first.labels + second.labels
    with pytest.raises(dataset.DatasetError, match="no split 'fold9'.*fold0, fold1, fold2, fold3"):
        load(folds, "fold0+fold9")


def test_no_patient_is_in_two_folds(folds):
    patients = [set(load(folds, f"fold{k}").patients) for k in range(4)]
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_pooled_score_has_a_student_t_interval():
    values = [0.8, 0.9, 0.7, 0.8]
    pooled = cross_validation.pool_scores(values)
    assert pooled["mean"] == pytest.approx(0.8) and pooled["deviation"] == pytest.approx(np.sqrt(0.02 / 3))
    half = 3.182446 * np.sqrt(0.02 / 3) / 2  # t of 3 degrees of freedom at 0.975, from a table
    assert pooled["interval"] == pytest.approx([0.8 - half, 0.8 + half])
    assert pooled["interval"] == pytest.approx(stats.t.interval(0.95, 3, loc=0.8, scale=stats.sem(values)))
    assert cross_validation.pool_scores([1.0, 0.9, 1.0])["interval"][1] == 1
    assert cross_validation.pool_scores([None, 0.5]) == {
        "values": [None, 0.5], "mean": 0.5, "deviation": None, "interval": None,
    }  # fmt: skip


def test_each_fold_is_tested_once_and_a_stopped_run_resumes(folds, tmp_path, monkeypatch):
    config = default_config()
    config.task, config.data.dir = "segment", folds
    trained, stop = [], {"fold2"}

    def stand_in_train(config, workdir):
        if workdir.name in stop:
            raise KeyboardInterrupt
        trained.append((workdir.name, config.data.train, config.data.validation))

    def stand_in_evaluate(workdir, split):
        place = workdir / "evaluation" / split
        place.mkdir(parents=True)
        f1, half = ({"value": value, "interval": [0.0, 1.0], "n": 9} for value in (0.1 * int(split[-1]), 0.5))
        scores = {"n": 9, "macro": {"f1": f1}, "classes": {"covid19": {"f1": half, "support": 3}}}
        (place / "metrics.json").write_text(json.dumps({"all": scores}))

    monkeypatch.setattr(trainer, "train", stand_in_train)
    monkeypatch.setattr(evaluate, "evaluate_run", stand_in_evaluate)
    with pytest.raises(KeyboardInterrupt):
        cross_validation.cross_validate(freeze(config), tmp_path)
    stop.clear()
    result = cross_validation.cross_validate(freeze(config), tmp_path)
    assert trained == [
        ("fold0", "fold2+fold3", "fold1"), ("fold1", "fold0+fold3", "fold2"),
        ("fold2", "fold0+fold1", "fold3"), ("fold3", "fold1+fold2", "fold0"),
    ]  # fmt: skip
    assert set(result["scores"]) == {"macro/f1", "classes/covid19/f1"}
    assert result["scores"]["macro/f1"]["mean"] == pytest.approx(0.15)
    assert json.loads((tmp_path / "cross_validation.json").read_text()) == result
    assert "| macro/f1 | 0.150 | 0.129 |" in cross_validation.format_scores(result)
    config.seed = 1
    with pytest.raises(run_dir.RunError, match="seed=0"):
        cross_validation.cross_validate(freeze(config), tmp_path)


def test_data_set_without_folds_is_refused_by_name(tmp_path):
    assert prepare(["phantom", f"--out={tmp_path}", "--count=2", "--size=64"]) == 0
    with pytest.raises(dataset.DatasetError, match="has 0 folds; prepare it with --folds=K"):
        cross_validation.list_folds(str(tmp_path / "phantom"))
