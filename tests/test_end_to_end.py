"""From phantoms to figures at a small size: prepare, train both networks, evaluate and predict."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest
from sklearn.metrics import f1_score

from cxrjax import plotting, report
from cxrjax.cli import predict_files
from cxrjax.data import dataset
from cxrjax.evaluation import morphometry, saliency, scoring
from cxrjax.io import lesions_csv, predictions_csv
from cxrjax.metrics.temperature import apply_temperature
from cxrjax.runs import calibration, run_dir
from cxrjax.runtime import compilation_cache

SIZE = 96


@pytest.fixture(scope="module")
def folder(phantom_runs, small_segmenter, tmp_path_factory):
    """A copy of prepared phantoms, a segmenter's run and a classifier's run, which tests may write to."""
    return shutil.copytree(phantom_runs, tmp_path_factory.mktemp("end_to_end") / "runs")


def test_predictions_csv_has_one_row_per_radiograph_and_gives_all_scores(folder):
    place = folder / "classify" / "evaluation" / "test"
    rows = predictions_csv.read(place / "predictions.csv")
    scores = json.loads((place / "metrics.json").read_text())
    assert len(rows) == len({row["path"] for row in rows}) == scores["all"]["n"]
    labels, findings = [row["label"] for row in rows], [row["prediction"] for row in rows]
    assert scores["all"]["macro"]["f1"]["value"] == pytest.approx(
        f1_score(labels, findings, average="macro", zero_division=0)
    )
    votes = [sum(row[key] for key in row if key.startswith("votes_")) for row in rows]
    assert all(total == (8 if row["status"] == "ok" else 0) for total, row in zip(votes, rows, strict=True))
    assert {row["source_baseline"] for row in rows} == {
        min(row["source_baseline"] for row in rows)
    }  # one source, one guess
    (place / "metrics.json").unlink()
    assert json.loads(json.dumps(scoring.score_run(folder / "classify", "test"))) == scores
    uncertain = [row["expected_entropy"] + row["mutual_information"] for row in rows if row["status"] == "ok"]
    assert all(0 <= entropy <= np.log(len(scores["all"]["classes"])) + 1e-5 for entropy in uncertain)


def test_validation_is_evaluated_first_and_calibrates_the_run(folder, tmp_path):
    validation = predictions_csv.read(folder / "classify" / "evaluation" / "val" / "predictions.csv")
    run = folder / "classify"
    known = calibration.load(run, run_dir.load_step(run, run_dir.load_config(run)))
    assert {row["split"] for row in validation} == {"val"} and known["n"] == len(validation)
    picture = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (90, 90)).astype(np.uint8), (0, 0), 5)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    plain, scaled = (
        predict_files.predict(folder / "classify", tmp_path / "a.png", tmp_path / "out", calibrated).rows[0]
        for calibrated in (False, True)
    )
    probabilities = [key for key in plain if key.startswith("probability_")]
    expected = apply_temperature(np.array([plain[key] for key in probabilities]), known["temperature"])
    np.testing.assert_allclose([scaled[key] for key in probabilities], expected, rtol=1e-4, atol=1e-7)
    least = known["min_confidence"]  # before any temperature, for both
    decision = "decided" if least is not None and plain["confidence"] >= least else "undecided"
    assert plain["decision"] == scaled["decision"] == decision
    json.dumps(plain)  # of plain numbers
    votes = [key for key in plain if key.startswith("votes_") or key in ("prediction", "vote_fraction")]
    assert votes and all(scaled[key] == plain[key] for key in votes)


def test_a_run_without_a_temperature_cannot_be_calibrated(folder, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    with pytest.raises(run_dir.RunError, match="no calibration.json with a temperature"):
        predict_files.predict(folder / "segment", tmp_path / "a.png", tmp_path / "out", calibrated=True)


@pytest.mark.slow
def test_saliency_evaluation_uses_the_evaluated_predictions(folder, tmp_path):
    run = folder / "classify"
    rows = {row["path"]: row for row in predictions_csv.read(run / "evaluation" / "test" / "predictions.csv")}
    judged = saliency.evaluate_saliency(run, "test")
    assert json.loads((run / "saliency" / "test" / "saliency_metrics.json").read_text()) == judged
    checks = list(csv.DictReader((run / "saliency" / "test" / "saliency_metrics.csv").read_text().splitlines()))
    assert [check["prediction"] for check in checks] == [rows[check["path"]]["prediction"] for check in checks]
    energies = [(float(check["energy_in_lesions"] or "nan"), rows[check["path"]]) for check in checks]
    assert np.isfinite([energy for energy, _ in energies]).any()
    for energy, row in energies:
        assert energy == pytest.approx(row["energy_in_lesions"], abs=1e-5, nan_ok=True)
    assert (run / "saliency" / "test" / "curves.svg").read_bytes().startswith(b"<?xml")

    box, path = (10, 20, 30, 40), checks[0]["path"]
    (tmp_path / "lesions.csv").write_text(f"path,row,column,height,width\n{path},{','.join(map(str, box))}\n")
    table = lesions_csv.read(tmp_path / "lesions.csv")
    drawn = dataset.load_lesions(str(folder / "data"), "test", SIZE, "bottom", table)  # crops nothing of the phantoms
    expected = np.zeros((SIZE, SIZE), bool)
    expected[10:40, 20:60] = True
    np.testing.assert_array_equal(drawn[0], expected)
    assert not drawn[1:].any()
    with pytest.raises(dataset.DatasetError, match="names no radiograph of test"):
        dataset.load_lesions(str(folder / "data"), "test", SIZE, "uniform", {"other.png": [box]})


def test_segmentation_is_scored_by_structure(folder):
    scores = json.loads((folder / "segment" / "evaluation" / "test" / "metrics.json").read_text())
    structures = scores["all"]["structures"]
    assert set(structures) == {"lungs", "left lung", "right lung", "heart"}
    assert all(s["jaccard"]["value"] <= s["dice"]["value"] for s in structures.values())
    assert structures["lungs"]["dice"]["value"] > 0.7  # eight epochs of eighteen radiographs


def test_run_folder_is_self_contained_and_bad_files_are_passed(folder, tmp_path):
    run = shutil.copytree(folder / "classify", tmp_path / "run")
    settings = json.loads((run / "config.json").read_text())
    settings["segmenter"]["workdir"] = str(tmp_path / "gone")  # the run of the classifier has a copy of it
    (run / "config.json").write_text(json.dumps(settings))
    picture = np.random.default_rng(0).integers(0, 255, (80, 70)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "b.png"), picture)
    data = (tmp_path / "in" / "b.png").read_bytes()
    (tmp_path / "in" / "a.png").write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(tmp_path / "in" / "c.png"), cv2.resize(picture, (100, 100)))
    rows = predict_files.predict(run, tmp_path / "in", tmp_path / "out").rows
    assert [row["path"] for row in rows] == ["a.png", "b.png", "c.png"]
    assert rows[0]["status"] == "unreadable" and "truncated" in rows[0]["reason"]
    assert not (tmp_path / "out" / "a.png.figure.png").exists() and (tmp_path / "out" / "b.png.figure.png").exists()
    read = predictions_csv.read(tmp_path / "out" / "predictions.csv")
    assert [row["status"] for row in read] == [row["status"] for row in rows]


def test_prediction_does_not_depend_on_batch_or_patch_parallelism(folder, tmp_path, monkeypatch):
    picture = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (90, 90)).astype(np.uint8), (0, 0), 5)
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), np.roll(picture, ord(name), axis=0))
    predict = partial(predict_files.predict, folder / "classify", save=("mask",))
    together = predict(tmp_path / "in", tmp_path / "all").rows
    (tmp_path / "traced").mkdir()
    monkeypatch.setattr(
        compilation_cache,
        "_trace_cache",
        compilation_cache.TraceCache(tmp_path / "traced", compilation_cache.hash_package()),
    )
    # There is only one device; test_multihost has several. The last turn finds all traces cached.
    for turn, (devices, traced) in enumerate([(1, 2), (2, 5), (2, 5)]):
        monkeypatch.setattr(jax, "device_count", lambda devices=devices: devices)
        compared = 0
        for row in together:
            alone = predict(tmp_path / "in" / row["path"], tmp_path / f"{turn}").rows[0]
            assert row.keys() == alone.keys() and row["status"] == alone["status"]
            if (tmp_path / "all" / row["mask"]).read_bytes() == (tmp_path / f"{turn}" / alone["mask"]).read_bytes():
                assert [alone[key] for key in row] == [
                    value if isinstance(value, str | int) else pytest.approx(value, abs=1e-5) for value in row.values()
                ]
                compared += 1
        assert compared >= 2  # rounding may move a pixel of the lungs of a barely trained network
        assert len([*(tmp_path / "traced").iterdir()]) == traced


def test_equal_images_have_equal_predictions(folder, tmp_path):
    """Bit for bit with another name or position in its batch, and up to rounding alone."""
    picture = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (90, 90)).astype(np.uint8), (0, 0), 5)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub/patient_7.png", "z.png"):
        cv2.imwrite(str(tmp_path / "in" / name), picture)
    for name in ("b.png", "y.png"):
        cv2.imwrite(str(tmp_path / "in" / name), np.roll(picture, 9, axis=0))
    rows = predict_files.predict(folder / "classify", tmp_path / "in", tmp_path / "all").rows
    (alone,) = predict_files.predict(folder / "classify", tmp_path / "in" / "sub", tmp_path / "sub").rows
    answers = {}
    for row in rows:
        of_names = ("path", "figure")
        answer = tuple(sorted((key, str(value)) for key, value in row.items() if key not in of_names))
        answers.setdefault(answer, []).append(row["path"])
    assert sorted(answers.values()) == [["a.png", "sub/patient_7.png", "z.png"], ["b.png", "y.png"]]
    (together,) = (row for row in rows if row["path"] == "sub/patient_7.png")
    for key in alone.keys() - {"path", "figure"}:
        is_rounded = isinstance(alone[key], float)
        assert alone[key] == (pytest.approx(together[key], abs=1e-5, nan_ok=True) if is_rounded else together[key]), key


@pytest.mark.parametrize("run", ["segment", "classify"])
def test_the_report_shows_the_cases_and_scores_of_the_run(folder, run):
    page = report.write(folder / run, "test").read_text()
    rows = predictions_csv.read(folder / run / "evaluation" / "test" / "predictions.csv")
    scores = json.loads((folder / run / "evaluation" / "test" / "metrics.json").read_text())["all"]
    main = scores["accuracy"] if run == "classify" else scores["structures"]["lungs"]["dice"]
    assert f"{main['value']:.3f}" in page and f"{main['interval'][0]:.3f}–{main['interval'][1]:.3f}" in page
    assert page.count("<dialog") == len(rows) and all(row["path"] in page for row in rows)
    assert "Model card" in (folder / run / "report" / "MODEL_CARD.md").read_text()
    with pytest.raises(run_dir.RunError, match="--split=val"):
        report.write(folder / "segment", "val")


def test_out_of_distribution_images_are_flagged_or_refused(folder, tmp_path):
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(2).integers(0, 255, (90, 90)).astype(np.uint8)
    blank = np.repeat(np.array([128, 0], np.uint8), 40)[:, None].repeat(80, 1)  # except its border
    for name, picture in {"blank": blank, "noise": noise, "turned": noise.T}.items():
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), picture)
    flagged = predict_files.predict(folder / "classify", tmp_path / "in", tmp_path / "flagged").rows
    refused = predict_files.predict(folder / "classify", tmp_path / "in", tmp_path / "refused", reject_ood=True).rows
    assert flagged[0] == refused[0] and refused[0]["status"] == "refused" and "single gray" in refused[0]["reason"]
    for row, same in zip(flagged[1:], refused[1:], strict=True):
        assert row["ood_reason"] == same["ood_reason"] == same["reason"] != ""
        assert row["status"] != "refused" == same["status"] and "prediction" not in same
    assert (tmp_path / "flagged" / flagged[1]["figure"]).exists() and not list((tmp_path / "refused").glob("*.png"))
    rows = predictions_csv.read(folder / "classify" / "evaluation" / "test" / "predictions.csv")
    scores = json.loads((folder / "classify" / "evaluation" / "test" / "metrics.json").read_text())
    assert scores["all"]["out_of_distribution"] == sum(row["ood_reason"] != "" for row in rows)


def test_morphometry_is_equal_for_segmenter_and_classifier_runs(folder, monkeypatch):
    monkeypatch.setattr(plotting, "draw_box_plots", lambda *_: None)  # tested with the other plots
    for run in ("segment", "classify"):
        morphometry.compare_morphometry(folder / run, "train")
    one, other = (
        morphometry.read_rows(folder / run / "morphometry" / "train" / "morphometry.csv")
        for run in ("segment", "classify")
    )
    assert len(one) == len({row["path"] for row in one}) > 10
    for name in ("lung_area_fraction", "lung_area_mm2", "lung_intensity_mean"):  # one segmenter, the same radiographs
        assert [row[name] for row in one] == pytest.approx([row[name] for row in other], nan_ok=True)
    assert set(one[0]) > set(morphometry.MEASURES) and all(
        row["lung_area_mm2"] > 1e3 for row in one if row["lung_area_fraction"] > 0.1
    )


def start_training(folder: Path, workdir: Path, devices: int) -> subprocess.Popen:
    """Start a training of a segmenter with the fixture's settings, by the command line on `devices` CPU devices.

    The fixture's own network is smaller, which is possible only in this process.
    """
    arguments = ["-m", "cxrjax.main", "--config=configs/phantom.py:segment", f"--workdir={workdir}"]
    settings = json.loads((folder / "segment" / "config.json").read_text())
    for group, key in (
        ("data", "dir"), ("image", "size"), ("segmenter", "size"), ("training", "epochs"),
        ("training", "batch_size"), ("evaluation", "batch_size"),
    ):  # fmt: skip
        arguments.append(f"--config.{group}.{key}={settings[group][key]}")
    arguments.append("--config.training.checkpoint_every_minutes=0.0")
    variables = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).resolve().parents[1]
    return subprocess.Popen([sys.executable, *arguments], cwd=root, env=variables, stderr=subprocess.DEVNULL)


def records(workdir: Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def uninterrupted(folder, tmp_path_factory):
    """The records of an uninterrupted training on one device."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    assert start_training(folder, workdir / "run", devices=1).wait() == 0
    return records(workdir / "run")


@pytest.mark.slow
def test_killed_training_resumes_to_the_same_records(folder, uninterrupted, tmp_path):
    """SIGKILL, which nothing can catch, twice; the checkpoints are saved after every step, so one may be torn."""
    for epochs in (1, 3):
        process = start_training(folder, tmp_path / "run", devices=1)
        while len(records(tmp_path / "run")) < epochs and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.3)  # inside the next epoch
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert start_training(folder, tmp_path / "run", devices=1).wait() == 0
    assert records(tmp_path / "run") == uninterrupted


@pytest.mark.slow
def test_training_on_two_devices_equals_one_device(folder, uninterrupted, tmp_path):
    assert start_training(folder, tmp_path / "run", devices=2).wait() == 0
    ours = records(tmp_path / "run")
    assert [record["step"] for record in ours] == [record["step"] for record in uninterrupted]
    assert ours[0]["train/loss"] == pytest.approx(uninterrupted[0]["train/loss"], rel=1e-4)
    assert ours[-1]["val/dice_lungs"] == pytest.approx(uninterrupted[-1]["val/dice_lungs"], abs=0.02)
