"""Phantoms with several findings: their pixels, labels, splits and stored records."""

import json

import numpy as np
import pytest

from cxrjax.config import default_config, freeze
from cxrjax.data import dataset, tfds_store, truth_table
from cxrjax.io import findings
from cxrjax.io.prepared import DatasetError
from cxrjax.runs import class_names
from data_prep import stratify
from data_prep.__main__ import main
from data_prep.phantom.draw import draw_patient
from data_prep.phantom_findings.findings import FINDINGS, fill_findings
from data_prep.phantom_findings.source import PhantomFindingsOptions, draw_labels
from data_prep.record import Record
from data_prep.splits import assign_splits


def draw(*names, seed=0):
    return draw_patient(lambda structures, rng: fill_findings(names, structures, rng), np.random.default_rng(seed), 128)


def test_findings_lie_in_the_lungs_and_are_drawn_independently():
    none = draw()
    assert not none.lesions.any()
    pixels = {name: draw(name).pixels != none.pixels for name in FINDINGS}
    both = draw("effusion", "nodule")
    alone = draw("nodule")
    for name, changed in pixels.items():
        assert (draw(name).lesions > 0).any() and changed[none.structures >= 2].any()
    untouched = ~pixels["effusion"]
    np.testing.assert_array_equal(both.pixels[untouched], alone.pixels[untouched])
    np.testing.assert_array_equal(both.structures, none.structures)


def test_effusion_lies_at_the_lung_base():
    for seed in range(5):
        phantom = draw("effusion", seed=seed)
        lungs = np.argwhere(phantom.structures >= 2)[:, 0]
        assert np.argwhere(phantom.lesions)[:, 0].mean() > lungs.mean()


def test_correlation_option_links_effusion_and_consolidation():
    shares = {}
    for correlation in (0.0, 0.9):
        options = PhantomFindingsOptions(correlation=correlation, prevalence=0.3)
        present = [draw_labels(number, options)[0] for number in range(2000)]
        table = findings.to_targets(present, FINDINGS)
        np.testing.assert_allclose(table.mean(0), 0.3, atol=0.04)
        shares[correlation] = table[table[:, 0] == 1][:, 1].mean()  # of effusion where there is consolidation
        assert abs(np.corrcoef(table.T)[0, 2:]).max() < 0.07
    assert shares[0.0] == pytest.approx(0.3, abs=0.05)
    assert shares[0.9] > 0.7


def test_uncertain_and_missing_options_set_the_rates_of_labels():
    options = PhantomFindingsOptions(uncertain=0.2, missing=0.1)
    pairs = [draw_labels(number, options) for number in range(1000)]
    present, labels = (findings.to_targets(rows, FINDINGS) for rows in zip(*pairs, strict=True))
    assert (labels == -1).mean() == pytest.approx(0.2, abs=0.03)
    assert np.isnan(labels).mean() == pytest.approx(0.1, abs=0.03)
    known = findings.is_known(labels)
    np.testing.assert_array_equal(labels[known], present[known])


def test_splits_stratify_findings_and_keep_patients_together():
    rng = np.random.default_rng(0)
    rates = {"common": 0.4, "rare": 0.05, "other": 0.2}
    records = [
        Record(f"{i}", source="a" if i % 3 else "b", patient_id=f"{i // 2}", findings={"none": 0.0} | dict(drawn))
        for i in range(1200)
        for drawn in [[(name, float(rng.random() < rate)) for name, rate in rates.items()]]
    ]
    plan = assign_splits(records, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=1)
    assert [len(plan[split]) for split in ("train", "val", "test")] == pytest.approx([840, 120, 240], abs=4)
    patients = [{record.patient_id for record in part} for part in plan.values()]
    assert sum(map(len, patients)) == 600 == len(set.union(*patients))
    for name in rates:
        having = {record.patient_id for record in records if record.findings[name]}
        counts = [len(having & of_split) for of_split in patients]
        np.testing.assert_allclose(counts, len(having) * np.array([0.7, 0.1, 0.2]), atol=2.5)
    again = assign_splits(records[::-1], {"train": 0.7, "val": 0.1, "test": 0.2}, seed=1)
    assert {name: {r.id for r in part} for name, part in again.items()} == {
        name: {r.id for r in part} for name, part in plan.items()
    }


def test_fixed_splits_are_not_stratified(monkeypatch):
    monkeypatch.setattr(stratify, "_groups", None)
    records = [Record(f"{i}", split="test" if i % 2 else "train", findings={"a": 1.0}) for i in range(6)]
    plan = assign_splits(records, {"train": 0.5, "test": 0.5}, seed=0)
    assert {split: [record.id for record in part] for split, part in plan.items()} == {
        "train": ["0", "2", "4"],
        "test": ["1", "3", "5"],
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    out = tmp_path_factory.mktemp("data")
    flags = ["--count=40", "--size=64", "--uncertain=0.2", "--missing=0.2", "--seed=3", "--duplicates=off"]
    assert main(["phantom_findings", f"--out={out}", *flags]) == 0
    return out


def test_prepared_findings_equal_the_drawn_labels(prepared, capsys):
    config = default_config()
    config.task, config.data.dir, config.image.size = "classify", str(prepared), 32
    config.classifier.targets = "multi"
    frozen = freeze(config)
    stored = dataset.open_split(frozen, "train")
    batch = dataset.load_split(frozen, "train")
    expected = {}
    for number in range(40):
        labels = draw_labels(number, PhantomFindingsOptions(seed=3, uncertain=0.2, missing=0.2))[1]
        expected[f"{number:06d}.png"] = labels
    assert batch.findings == stored.findings == [expected[path] for path in batch.paths]
    assert batch.labels == [findings.format_label(expected[path]) for path in batch.paths]
    assert batch.select([2]).findings == batch.findings[2:3]
    targets = truth_table.index_targets(stored, FINDINGS)
    np.testing.assert_array_equal(targets, findings.to_targets(batch.findings, FINDINGS))
    assert class_names.resolve(frozen, prepared / "none").classifier.classes == FINDINGS
    report = json.loads(next(prepared.rglob("report.json")).read_text())
    counts = report["findings"]["train"]["effusion"]
    column = targets[:, FINDINGS.index("effusion")]
    assert counts == {
        "positive": (column == 1).sum(),
        "negative": (column == 0).sum(),
        "uncertain": (column == -1).sum(),
        "unknown": np.isnan(column).sum(),
    }


def test_label_map_merges_and_renames_findings(prepared):
    config = default_config()
    config.task, config.data.dir, config.image.size = "classify", str(prepared), 32
    config.classifier.targets = "multi"
    config.data.label_map = (("consolidation", "opacity"), ("infiltration", "opacity"))
    frozen = freeze(config)
    plain = tfds_store.load_columns(str(prepared), "train", "findings")["findings"]
    stored = dataset.open_split(frozen, "train")
    assert stored.findings == [findings.rename(row, config.data.label_map) for row in plain]
    assert stored[0]["findings"] == stored.findings[0]
    assert stored[0]["label"] == findings.format_label(stored.findings[0])
    assert class_names.resolve(frozen, prepared / "none").classifier.classes == ("effusion", "nodule", "opacity")


def test_label_map_merges_single_labels_and_maps_them_to_findings(tmp_path):
    flags = ["--count=4", "--size=64", "--split_ratios=1,0,0", "--duplicates=off"]
    assert main(["phantom", f"--out={tmp_path}", *flags]) == 0
    config = default_config()
    config.task, config.data.dir, config.image.size = "classify", str(tmp_path), 32
    config.data.label_map = (("covid19", "viral"),)
    four = class_names.resolve(freeze(config), tmp_path / "none").classifier.classes  # Oh et al., table I
    assert four == ("normal", "bacterial", "tuberculosis", "viral")
    stored = dataset.open_split(freeze(config), "train")
    assert np.bincount(truth_table.index_labels(stored, four)).tolist() == [4, 4, 4, 8]
    targets = truth_table.index_targets(stored, ("viral", "normal"))
    np.testing.assert_array_equal(targets.sum(0), [8, 4])
    config.data.label_map = (("covid19", "viral|bacterial"), ("normal", "no finding"))
    config.classifier.targets = "multi"
    assert class_names.resolve(freeze(config), tmp_path / "none").classifier.classes == four[1:]
    targets = truth_table.index_targets(dataset.open_split(freeze(config), "train"), four[1:])
    np.testing.assert_array_equal(targets.sum(0), [8, 4, 8])
    config.data.label_map = tuple((name, "no finding") for name in ("normal", *four[1:], "covid19"))
    with pytest.raises(DatasetError, match="no finding is positive in some"):
        class_names.resolve(freeze(config), tmp_path / "none")


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--prevalence=1", "a share between 0 and 1"),
        ("--correlation=2", "a number from -1 to 1"),
        ("--missing=0.7", "at most 1 together"),
    ],
)
def test_option_out_of_range_is_refused_by_name(flag, problem, tmp_path, capsys):
    assert main(["phantom_findings", f"--out={tmp_path}", "--uncertain=0.5", flag]) == 2
    error = capsys.readouterr().err
    assert flag.partition("=")[0] in error and problem in error


def test_card_counts_findings_and_not_their_combinations(prepared):
    assert main(["describe", str(prepared / "phantom_findings")]) == 0
    card = json.loads(next(prepared.rglob("card.json")).read_text())
    assert set(card["counts"]["label"]) <= {*FINDINGS, "no finding", "unlabeled"}
    counts = card["findings"]["train"]["nodule"]
    assert card["counts"]["label"]["nodule"]["train"] == counts["positive"]
    assert sum(counts.values()) == card["counts"]["source"]["phantom_findings"]["train"]
    cells = " | ".join(str(counts[value]) for value in ("positive", "negative", "uncertain", "unknown"))
    assert f"| nodule | train | {cells} |" in next(prepared.rglob("card.md")).read_text()
    assert card["baselines"] == []


@pytest.mark.parametrize("text", ["[1]", '{"a": 2}', '{"a": NaN}', '{"a": true}', '{"a": "1"}', "{", "[" * 100_000])
def test_damaged_findings_error_names_the_radiograph(text):
    record = {"path": b"x.png", "label": b"", "findings": text.encode()}
    with pytest.raises(DatasetError, match=r"x\.png: its findings are damaged"):
        tfds_store.read_labels(record)
