"""Page of two runs side by side, against the numbers of both."""

import json
import re
import shutil

import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.evaluation import compare_runs, external, external_findings
from cxrjax.io import predictions_csv
from cxrjax.report import comparison
from cxrjax.runs import calibration, provenance
from tests.helpers import axe, browser, finding_rows
from tests.helpers.hospitals import draw_rows
from tests.helpers.report_page import AUDIT, Page, table

CLASSES = ("normal", "covid19")
COLUMNS = predictions_csv.classification_columns(CLASSES)


def write_rows(workdir, name, rows):
    folder = workdir / "evaluation" / name
    folder.mkdir(parents=True)
    predictions_csv.write(folder / "predictions.csv", rows, COLUMNS)
    provenance.write(folder, provenance.Provenance("own", "test", 7))


def make_run(workdir, rows, **settings):
    workdir.mkdir(parents=True)
    config = default_config()
    config.task = "classify"
    config.classifier.classes = CLASSES
    config.update_from_flattened_dict(settings)
    (workdir / "config.json").write_text(config.to_json())
    content = {"step": 7, "target": 0.9, "temperature": 1.0, "operating_points": {}}
    calibration.path(workdir).write_text(json.dumps(content))
    write_rows(workdir, "test", rows)


def better_rows(rows):
    """Return the rows with every other wrong prediction corrected."""
    wrong = 0
    corrected = []
    for row in rows:
        if row["prediction"] != row["label"]:
            wrong += 1
        if row["prediction"] != row["label"] and wrong % 2:
            p = 0.1 if row["label"] == "normal" else 0.9
            row = row | {"prediction": row["label"], "probability_normal": 1 - p, "probability_covid19": p}
        corrected.append(row)
    return corrected


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run, a worse baseline and the page of both."""
    folder = tmp_path_factory.mktemp("runs")
    rows = draw_rows(np.random.default_rng(0), "own", 200, agreement=0.7)
    make_run(folder / "ne<b>w", better_rows(rows))
    make_run(folder / "old", rows, seed=5)
    compare_runs.compare_runs(folder / "ne<b>w", folder / "old", "test")
    return folder


def write_page(folder, first="ne<b>w", second="old"):
    return comparison.write(folder / first, folder / second, "test").read_text()


def test_comparison_sentence_has_the_interval_of_the_difference(pair):
    result = json.loads(compare_runs.comparison_path(pair / "ne<b>w", pair / "old", "test").read_text())
    text = write_page(pair)
    assert Page(text) and "ne<b>w" not in text
    better = {part: result[part]["macro auroc"] for part in ("run", "baseline", "difference")}
    low, high = better["difference"]["interval"]
    assert low > 0
    sentence = (
        f"ne&lt;b&gt;w is better than old: its macro AUROC is {better['run']['value']:.2f} against "
        f"{better['baseline']['value']:.2f}, {better['difference']['value']:.2f} more ({low:.2f} to {high:.2f})."
    )
    assert f"<h1>{sentence}</h1>" in text and text.index(sentence) < text.index("<table")
    accuracy = table(text, "Scores of both runs")[1]
    assert accuracy[0] == "Accuracy" and accuracy[3].startswith(f"{result['difference']['accuracy']['value']:.3f} ")
    assert table(text, "Settings of different")[1:] == [["seed", "0", "5"]]


def test_agreement_counts_every_radiograph_once(pair):
    result = json.loads(compare_runs.comparison_path(pair / "ne<b>w", pair / "old", "test").read_text())
    counts = result["agreement"]
    assert sum(counts.values()) == 200 and counts["baseline_alone"] == 0 and counts["run_alone"] > 0
    assert result["difference"]["accuracy"]["value"] == pytest.approx(counts["run_alone"] / 200)
    cells = table(write_page(pair), "Predictions of both runs")[1:]
    assert [line[1:] for line in cells] == [
        [str(counts["both_right"]), str(counts["run_alone"])],
        [str(counts["baseline_alone"]), str(counts["both_wrong"])],
    ]


def test_comparison_has_shortcuts_and_other_data_of_both_runs(pair):
    text = write_page(pair)
    assert "No other data set was evaluated with both runs" in text and "Not audited." in text
    assert re.search(r"cxrjax audit --workdir=\S*old --split=test", text)
    rows = draw_rows(np.random.default_rng(1), "north", 60) + draw_rows(np.random.default_rng(2), "south", 60)
    for name in ("ne<b>w", "old"):
        write_rows(pair / name, "clinics-test", rows)
        external.assess_run(pair / name, "clinics-test")
    (pair / "old" / "audit" / "test").mkdir(parents=True)
    right = {"value": 0.31, "interval": [0.2, 0.4], "n": 60}
    along = {"value": 0.97, "interval": [0.9, 0.99], "n": 60}
    against = {"name": "against_source", "category": "check", "share": None, "scores": {"macro_auroc": right}}
    against |= {"reference": {"macro_auroc": along}}
    content = AUDIT | {"experiments": [*AUDIT["experiments"], against]}
    (pair / "old" / "audit" / "test" / "audit.json").write_text(json.dumps(content))
    text = write_page(pair)
    found = external.read(pair / "old", "clinics-test")
    line = table(text, "clinics-test")[2]
    assert line[:2] == ["old", found["sentence"]]
    assert line[3].startswith(f"{found['pooled']['auroc']['value']:.2f} ")
    audits = table(text, "Audits of both runs")
    assert audits[1][:3] == ["ne<b>w", "Not audited.", "–"]
    assert audits[2][2:] == ["Source alone", "0.77 0.70–0.80", "66% 50–80%", "31% 20–40%", "97% 90–99%"]
    lead = (
        "Shortcuts: ne&lt;b&gt;w was not audited; the Source alone reaches 66% (50% to 80%) of the score of old above "
    )
    assert f"{lead}chance, and where the source misleads, 31% (20% to 40%) of pairs are ranked rightly." in text
    lines = comparison.format_shortcuts(pair / "ne<b>w", pair / "old", "test").splitlines()
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:4]] for line in lines}
    assert cells["pairs ranked rightly against the source"] == ["–", "0.31 (0.20 to 0.40)"]
    assert cells["best shortcut"] == ["not audited", "Source alone 0.77 (0.70 to 0.80)"]
    assert cells["clinics-test, AUROC pooled"][1].startswith(f"{found['pooled']['auroc']['value']:.2f} (")
    assert cells["clinics-test, AUROC within"][0] == cells["clinics-test, AUROC within"][1] != "–"


def test_comparison_with_an_inconclusive_share_has_no_percentage(pair, tmp_path):
    copy = tmp_path / "runs"
    shutil.copytree(pair, copy)
    compare_runs.compare_runs(copy / "ne<b>w", copy / "old", "test")
    (copy / "old" / "audit" / "test").mkdir(parents=True, exist_ok=True)
    source = AUDIT["experiments"][0] | {"share": {"value": 1.07, "interval": [0.22, 7.83], "n": 12}}
    content = AUDIT | {"n": 12, "experiments": [source]}
    (copy / "old" / "audit" / "test" / "audit.json").write_text(json.dumps(content))
    text = write_page(copy)
    lead = "the test split is too small (n = 12) to say what share of the score of old above chance the Source alone"
    assert f"{lead} reaches." in text and "107%" not in text and "783%" not in text
    assert table(text, "Audits of both runs")[2][4] == "too few to say (n = 12)"


def test_runs_of_several_findings_have_other_data_side_by_side(tmp_path, monkeypatch):
    assess = external_findings.assess
    monkeypatch.setattr(external_findings, "assess", lambda *rows: assess(*rows, resamples=20))
    for run, skill in (("new", 3.0), ("old", 1.0)):
        for name, seed in (("test", 1), ("other-test", 2)):
            folder = finding_rows.write(tmp_path / run, finding_rows.draw_rows(seed, skill), name)
            provenance.write(folder, provenance.Provenance(name.removesuffix("-test"), "test", 7))
        external.assess_run(tmp_path / run, "other-test")
    compare_runs.compare_runs(tmp_path / "new", tmp_path / "old", "test")
    text = write_page(tmp_path, "new", "old")
    lines = table(text, "other-test")
    assert Page(text) and lines[0][-1] == "pooled AUROC" and "averaged over the findings (macro AUROC)" in text
    for line, run in zip(lines[1:], ("new", "old"), strict=True):
        found = external.read(tmp_path / run, "other-test")
        assert line[:2] == [run, found["sentence"]]
        assert line[2].startswith(f"{found['within']['within']['value']:.2f} ")
        assert line[3].startswith(f"{found['pooled']['auroc']['value']:.2f} ")


def test_comparison_of_segmenters_has_no_audit_or_shortcut(tmp_path):
    config = default_config()
    config.task = "segment"
    for name, overlaps in (("new", (0.9, 0.95, 0.92)), ("old", (0.8, 0.85, 0.81))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config.to_json())
        rows = [
            {"path": f"{i}.png", "patient_id": f"{i}", "status": "ok", "dice_lungs": dice, "jaccard_lungs": dice / 2}
            for i, dice in enumerate(overlaps)
        ]
        folder = tmp_path / name / "evaluation" / "test"
        folder.mkdir(parents=True)
        predictions_csv.write(folder / "predictions.csv", rows, predictions_csv.segmentation_columns(["lungs"]))
    compare_runs.compare_runs(tmp_path / "new", tmp_path / "old", "test")
    text = write_page(tmp_path, "new", "old")
    assert Page(text) and "audit" not in text and "McNemar" not in text
    line = table(text, "Scores of both runs")[1]
    assert line[0] == "Dice lungs" and [value[:5] for value in line[1:4]] == ["0.923", "0.820", "0.103"]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "font_size"), [(320, 16), (320, 32), (768, 16), (768, 32), (1280, 16), (1920, 32)])
def test_nothing_is_cut_or_scrolls_sideways(tmp_path, width, font_size):
    rows = draw_rows(np.random.default_rng(0), "own", 60)
    settings = {
        "phantom_whole_image_of_twice_the_size": {},
        "phantom_patches_of_the_first_experiment": {"segmenter.workdir": "runs/phantom_segment/of_a_name/as_long"},
    }
    for name, changes in settings.items():
        make_run(tmp_path / name, rows, **changes)
        write_rows(tmp_path / name, "clinics-test", draw_rows(np.random.default_rng(1), "north", 60))
        external.assess_run(tmp_path / name, "clinics-test")
    first, second = settings
    compare_runs.compare_runs(tmp_path / first, tmp_path / second, "test")
    text = write_page(tmp_path, first, second)
    assert browser.find_cut(text, tmp_path, width, font_size) == "[]"


@pytest.mark.slow
def test_axe_finds_no_accessibility_fault(pair, tmp_path):
    text = write_page(pair)
    assert [axe.find_faults(text, tmp_path, theme, width) for theme, width in (("light", 1280), ("dark", 600))] == [
        "[]", "[]"]  # fmt: skip


@pytest.mark.parametrize(
    ("run", "baseline", "difference", "interval", "sentence"),
    [
        (0.8, 0.9, -0.1, [-0.15, -0.05],
         "b is better than a: its macro AUROC is 0.90 against 0.80, 0.10 more (0.05 to 0.15)."),
        (0.9, 0.89, 0.01, [-0.02, 0.04],
         "Neither run is shown to be better: the macro AUROC of a and b is 0.90 and 0.89, a difference of +0.01 that "
         "lies between -0.02 and +0.04."),
        (0.9, 0.9, 0.0, None, "The macro AUROC of a and b is 0.90 and 0.90; the difference has no interval."),
        (None, None, None, None, "The macro AUROC of a and b cannot be compared on these radiographs."),
    ],
)  # fmt: skip
def test_sentence_follows_from_the_interval(run, baseline, difference, interval, sentence):
    values = {"run": run, "baseline": baseline, "difference": difference}
    result = {part: {"macro auroc": {"value": value, "interval": interval}} for part, value in values.items()}
    assert comparison.describe(result, ("a", "b")) == sentence
