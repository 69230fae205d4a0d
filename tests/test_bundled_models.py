"""The bundled models agree with their cards."""

import csv
import json
import re
import textwrap

import cv2
import numpy as np
import pytest
import safetensors

import cxrjax as cx
from cxrjax import demo
from cxrjax.metrics import classification
from cxrjax.runs import model_names
from data_prep.phantom.draw import draw

COUNT = 6  # test radiographs of each collection
# Least mean Dice of the lungs of COUNT radiographs; the card has the means of all.
LEAST_DICE = {"jsrt": 0.95, "openist": 0.95, "chest_xray": 0.93, "covid-chestxray-dataset": 0.90}


def _test_rows(folder):
    with (folder / "lungs.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "test"]


@pytest.mark.slow
def test_lungs_model_reaches_its_dice_in_adults_and_children(shared):
    folder = shared / "data"
    rows = _test_rows(folder)
    model = cx.load("lungs")
    for source, least in LEAST_DICE.items():
        chosen = [row for row in rows if row["dataset"] == source][:COUNT]
        predictions = model.predict([folder / row["path"] for row in chosen], batch_size=COUNT)
        dice = []
        for row, prediction in zip(chosen, predictions, strict=True):
            truth = cv2.imread(str(folder / row["mask"]), cv2.IMREAD_UNCHANGED)
            labels = prediction.to_native(prediction.label_map)
            truth = cv2.resize(truth, labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
            lungs = truth >= 2 if row["mask_kind"] == "structures" else truth > 0
            scored = labels != 1 if row["mask_kind"] == "lungs_with_heart" else np.full(labels.shape, True)
            dice.append(classification.dice(np.isin(labels, (2, 3)) & scored, lungs & scored))
        assert np.mean(dice) >= least, (source, dice)


@pytest.mark.slow
def test_the_example_of_the_card_runs(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = next(row for row in _test_rows(shared / "data") if row["dataset"] == "openist")
    image = cv2.imread(str(shared / "data" / row["path"]), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite("patient.png", image)
    block = re.search(r"\n\n((?: {4}.*\n)+)", (model_names.FOLDER / "lungs.md").read_text(encoding="utf-8"))
    assert block
    exec(textwrap.dedent(block[1]), {})
    labels = cv2.imread("masks/patient.png.mask.png", cv2.IMREAD_UNCHANGED)
    assert labels.shape == image.shape
    assert set(np.unique(labels)) == {0, 1, 2, 3}


@pytest.mark.slow
def test_demonstration_notice_is_in_every_prediction_and_copy(tmp_path):
    model = cx.load("findings-demo")
    prediction = model.predict(draw("bacterial", np.random.default_rng(1)).pixels)
    assert prediction.label in model.classes and prediction.saliency is not None
    assert prediction.to_row()["notice"] == prediction.to_dict()["notice"] == model.notice
    model.save(tmp_path / "copy.safetensors", dtype="float16")
    assert cx.load(tmp_path / "copy.safetensors").notice == model.notice


def test_demonstration_notice_has_the_scores_of_its_card():
    with safetensors.safe_open(model_names.FOLDER / "findings-demo.safetensors", "np") as file:
        text = json.loads(file.metadata()["notice.json"])["notice"]
    card = (model_names.FOLDER / "findings-demo.md").read_text(encoding="utf-8")
    row = re.search(r"\| macro AUROC \| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \| ([\d.]+) ", card)
    assert row and re.findall(r"\d\.\d+", text) == list(row.groups())
    assert text.startswith("A demonstration of the software, not a diagnostic test")


def test_demonstration_card_has_the_scores_of_its_audit():
    with safetensors.safe_open(model_names.FOLDER / "findings-demo.safetensors", "np") as file:
        audit = json.loads(file.metadata()["audit/test/audit.json"])
    experiments = {experiment["name"]: experiment for experiment in audit["experiments"]}
    card = (model_names.FOLDER / "findings-demo.md").read_text(encoding="utf-8")
    for control, name in {
        "collection alone": "source",
        "collection, view, size and file format together": "metadata",
        "border of the image alone, by a small network": "border",
        "background alone, by a small network": "background",
    }.items():
        score = experiments[name]["scores"]["macro_auroc"]
        share = experiments[name]["share"]
        low, high = score["interval"]
        least, most = share["interval"]
        row = f"| {control} | {score['value']:.3f} ({low:.3f} to {high:.3f}) "
        row += f"| {share['value']:.0%} ({least:.0%} to {most:.0%}) |"
        assert row in card


def test_every_model_has_a_card_and_all_together_are_small():
    sizes = {name: (model_names.FOLDER / f"{name}.safetensors").stat().st_size for name in model_names.MODELS}
    assert sum(sizes.values()) <= 12e6
    for name in sizes:
        card = (model_names.FOLDER / f"{name}.md").read_text(encoding="utf-8")
        assert card.startswith(f"# {name}\n") and "not for diagnosis" in card and "## License" in card


@pytest.mark.slow
def test_demo_segments_phantoms_and_a_file(tmp_path, capsys):
    inverse = cv2.bitwise_not(draw("normal", np.random.default_rng(5)).pixels)
    cv2.imwrite(str(tmp_path / "inverse.png"), inverse)
    demo.main(str(tmp_path / "look"), str(tmp_path / "inverse.png"), str(tmp_path / "absent.png"))
    printed, refused = capsys.readouterr()
    scores = [float(score) for score in re.findall(r"Dice of the lungs (\d\.\d+)$", printed, re.MULTILINE)]
    assert len(scores) == 3 and min(scores) >= 0.88
    assert "inverse.png: the gray levels look inverted" in refused and "absent.png: no such file" in refused
    assert len(list((tmp_path / "look" / "lungs").glob("phantom_*.mask.png"))) == 3
    assert "phantom_bacterial.png.figure.png: lung confidence 0.94, undecided (covid19)" in printed
    assert "findings-demo: A demonstration" in printed
