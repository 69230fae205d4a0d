"""The files of evaluations and the network and data that they belong to; the network itself is a stand-in."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cxrjax import plotting
from cxrjax.cli import commands
from cxrjax.config import freeze, recipes
from cxrjax.data import batch, dataset, tfds_store
from cxrjax.evaluation import evaluate, external, plots, scoring, tables
from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap
from cxrjax.runs import (
    calibration,
    dataset_record,
    provenance,
    run_dir,
)
from cxrjax.runs.checkpoints import Checkpoints
from data_prep.__main__ import main as prepare

SIZE = 64


class StandIn:
    """Predicts by the checksum of a radiograph, or finds no lungs if `blind`."""

    blind = False

    def __init__(self, workdir, use_ood_detector=True):
        self.config, self.has_ood_detector = run_dir.load_config(workdir), False
        self.step, self.classes = run_dir.load_step(workdir, self.config), tuple(self.config.classifier.classes)

    def predict(self, images):
        return (SimpleNamespace(saliency=np.zeros((SIZE, SIZE)), key=key) for key in batch.hash_images(images))

    def to_row(self, result):
        if self.blind:
            return {"status": predictions_csv.NO_LUNGS_FOUND}
        p = np.random.default_rng(result.key).dirichlet(np.ones(5))
        row = {"status": "ok", "prediction": self.classes[p.argmax()], "confidence": p.max(), "vote_fraction": p.max()}
        row |= {f"votes_{name}": int(100 * x) for name, x in zip(self.classes, p, strict=True)}
        return row | {f"probability_{name}": x for name, x in zip(self.classes, p, strict=True)}

    def decision(self, result):
        return ""

    def lung_mask(self, result):
        return None

    def saliency(self, result):
        return result.saliency


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two data sets with the same name: that of the run and another."""
    folder = tmp_path_factory.mktemp("data")
    for name, seed in (("own", 0), ("other", 1)):
        arguments = ["phantom", f"--out={folder / name}", "--count=6", f"--size={SIZE}", f"--seed={seed}"]
        assert prepare([*arguments, "--split_ratios=0.6,0.2,0.2", "--duplicates=off"]) == 0
    return folder


@pytest.fixture
def run(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "load_predictor", StandIn)
    monkeypatch.setattr(bootstrap.bootstrap, "__defaults__", (50, 0))
    monkeypatch.setattr(plots, "draw_plots", lambda *_: None)
    monkeypatch.setattr(plotting, "draw_sheet", lambda *_, **__: None)
    config = recipes.load("phantom:classify")
    config.data.dir, config.image.size = str(prepared / "own" / "phantom"), SIZE
    run_dir.create_or_resume(tmp_path / "run", freeze(config))
    save_checkpoint(tmp_path / "run", 3)
    return tmp_path / "run"


def save_checkpoint(workdir: Path, step: int) -> None:
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save("best", step, {"x": np.zeros(1)})


def test_calibration_of_an_older_network_is_fitted_again(run):
    evaluate.evaluate_run(run, "train")
    evaluate.evaluate_run(run, "test")
    assert calibration.load(run, 3)["step"] == 3
    save_checkpoint(run, 5)
    with pytest.raises(ValueError, match=r"calibration.json: was fitted .* step 3, not to that of 5; --mode=evaluate"):
        calibration.load(run, 5)
    evaluate.evaluate_run(run, "test")
    assert (
        calibration.load(run, 5)["step"]
        == json.loads((run / "evaluation/val/provenance.json").read_text())["step"]
        == 5
    )
    with pytest.raises(ValueError, match="step 5, not to that of 3"):  # its rows are still those of the older one
        scoring.score_run(run, "train")
    older = {key: value for key, value in calibration.load(run, 5).items() if key != "step"}
    calibration.path(run).write_text(json.dumps(older))
    with pytest.raises(ValueError, match="step unknown"):
        calibration.load(run, 5)
    evaluate.evaluate_run(run, "test")
    assert calibration.matches_step(run, 5)


def test_other_data_sets_have_their_own_evaluation_folder(run, prepared):
    own = evaluate.evaluate_run(run, "val")
    rows = (run / "evaluation" / "val" / "predictions.csv").read_bytes()
    other = evaluate.evaluate_run(run, "val", str(prepared / "other"))
    assert (own["split"], other["split"], own["dataset"], other["dataset"]) == (
        "val",
        "phantom-val",
        "phantom",
        "phantom",
    )
    assert (run / "evaluation" / "val" / "predictions.csv").read_bytes() == rows
    assert (run / "evaluation" / "phantom-val" / "predictions.csv").read_bytes() != rows
    chosen = "temperature and operating points were chosen on val, which val shares"
    assert chosen in own["warnings"] and not any("chosen on" in warning for warning in other["warnings"])
    assert dataset_record.results_dirname(run, run_dir.load_config(run), "val", str(prepared / "own")) == "val"


def prepare_elsewhere(folder: Path, **counts: int) -> None:
    """Prepare the data set folder/elsewhere: a split "test" of so many images of noise with each label."""
    rng = np.random.default_rng(0)
    for label, count in counts.items():
        (folder / "raw" / label).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(folder / "raw" / label / f"{label}{i}.png"), rng.integers(0, 256, (SIZE, SIZE), np.uint8))
    arguments = ["folder", f"--raw_dir={folder / 'raw'}", f"--out={folder}", "--name=elsewhere"]
    assert prepare([*arguments, "--split_ratios=0,0,1", "--duplicates=off"]) == 0


def test_radiographs_of_other_hospitals_with_other_labels_are_left_out_and_named(run, tmp_path):
    """Each row is that of its own radiograph, although others before it in the split are left out."""
    prepare_elsewhere(tmp_path, normal=3, sars=2, viral=2)
    evaluate.evaluate_run(run, "test")
    scores = evaluate.evaluate_run(run, "test", str(tmp_path / "elsewhere"))
    assert scores["n"] == 5
    rows = predictions_csv.read(run / "evaluation" / "elsewhere-test" / "predictions.csv")
    assert {Path(row["path"]).stem for row in rows} == {"normal0", "normal1", "normal2", "viral0", "viral1"}
    assert all(Path(row["path"]).stem.startswith(row["label"]) for row in rows)
    stored = dataset.load_split(run_dir.load_config(run), "test", str(tmp_path / "elsewhere"))
    keys = dict(zip(stored.paths, batch.hash_images(stored.images), strict=True))
    for row in rows:
        first = np.random.default_rng(keys[row["path"]]).dirichlet(np.ones(5))[0]
        assert row["probability_normal"] == pytest.approx(first, abs=1e-6)
    warning = external.read(run, "elsewhere-test")["warnings"][0]
    assert warning == "not evaluated, since the network does not know their label: 2 with the label sars"


def test_data_set_of_other_labels_alone_is_refused(run, tmp_path):
    prepare_elsewhere(tmp_path, sars=2)
    with pytest.raises(dataset.DatasetError, match="its label 'sars' is not among the classes normal, bacterial"):
        evaluate.evaluate_run(run, "test", str(tmp_path / "elsewhere"))


def test_moved_data_set_is_recognized_as_that_of_the_run(run, prepared, tmp_path):
    config = run_dir.load_config(run)
    dataset_record.save(run, config)
    expected = evaluate.evaluate_run(run, "test")
    rows = (run / "evaluation" / "test" / "predictions.csv").read_bytes()
    shutil.copytree(prepared / "own", tmp_path / "moved")
    settings = config.to_dict()
    settings["data"]["dir"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="gone: the data set of .*run is not here; if it has moved, give --dataset"):
        commands.check_own_dataset(commands.Request(run))
    commands.check_own_dataset(commands.Request(run, dataset=str(tmp_path / "moved")))
    shutil.rmtree(run / "evaluation")
    calibration.path(run).unlink()
    scores = evaluate.evaluate_run(run, "test", str(tmp_path / "moved"))
    assert scores == expected and calibration.load(run, 3)["split"] == "val"
    assert sorted(path.name for path in (run / "evaluation").iterdir()) == ["test", "val"]
    assert (run / "evaluation" / "test" / "predictions.csv").read_bytes() == rows
    other = dataset_record.results_dirname(run, run_dir.load_config(run), "test", str(prepared / "other"))
    assert other == "phantom-test"


def test_run_with_saved_labels_needs_only_the_evaluated_data(run, prepared, capsys):
    config = run_dir.load_config(run)
    expected = evaluate.evaluate_run(run, "val", str(prepared / "other"))["source_baseline"]
    assert sorted(zip(*provenance.load_labels(run, config), strict=True)) == sorted(
        zip(*tfds_store.load_labels(config.data.dir, "train"), strict=True)
    )
    (prepared / "own").rename(prepared / "away")
    try:
        calibration.path(run).unlink()
        capsys.readouterr()
        scores = evaluate.evaluate_run(run, "val", str(prepared / "other"))
        assert scores["source_baseline"] == expected and expected["accuracy"]["value"] is not None
        assert "no temperature and no operating points" in capsys.readouterr().err and not scores["operating_points"]
        (run / "training_labels.json").unlink()
        scores = evaluate.evaluate_run(run, "val", str(prepared / "other"))
        assert "no scores of the source alone" in capsys.readouterr().err
    finally:
        (prepared / "away").rename(prepared / "own")
    assert scores["source_baseline"]["n"] == 0 and scores["source_baseline"]["accuracy"]["value"] is None
    assert scores["gain_over_source"]["accuracy"]["value"] is None and "accuracy" in tables.format_scores(scores)


def test_validation_without_lungs_calibrates_nothing(run, monkeypatch, capsys):
    calibration.path(run).write_text('{"step": 2, "temperature": 1.0, "operating_points": {}}')
    monkeypatch.setattr(StandIn, "blind", True)
    scores = evaluate.evaluate_run(run, "test")
    assert "nothing was found in any radiograph" in capsys.readouterr().err
    assert scores["operating_points"] == {} and not calibration.path(run).exists()


def test_evaluation_without_a_detector_has_no_ood_column_or_scores(run):
    scores = evaluate.evaluate_run(run, "test")
    assert "ood_reason" not in predictions_csv.read(run / "evaluation" / "test" / "predictions.csv")[0]
    assert "out_of_distribution" not in scores["all"]
