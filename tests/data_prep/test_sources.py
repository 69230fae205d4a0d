"""Properties of every source: it builds from its test files, and none of its patients is in two splits."""

import csv
import json
from collections import defaultdict

import pytest
import tensorflow_datasets as tfds

from data_prep import splits
from data_prep.__main__ import main
from data_prep.source import find_sources
from tests.helpers import upstream_files

SOURCES = {name: source for name, source in find_sources().items() if name in upstream_files.NAMES}
WITHOUT_UPSTREAM = {"phantom", "phantom_findings", "table"}


def test_every_source_with_an_upstream_has_test_files():
    assert set(find_sources()) - set(upstream_files.NAMES) == WITHOUT_UPSTREAM


@pytest.mark.parametrize("name", SOURCES)
def test_source_builds_from_its_test_files(name, tmp_path):
    upstream_files.write(name, tmp_path / "upstream")
    assert main([name, f"--raw_dir={tmp_path / 'upstream'}", f"--out={tmp_path}", "--split_ratios=0.5,0.2,0.3"]) == 0
    version = "3.0.0" if SOURCES[name].has_findings(SOURCES[name].options_type()) else "2.0.0"
    folder = tmp_path / name / version
    builder = tfds.builder_from_directory(folder)
    report = json.loads((folder / "report.json").read_text())
    splits_of, ids = defaultdict(set), []
    for split in builder.info.splits:
        records = builder.as_data_source(split)
        assert len(records) == sum(report["counts"][split].values())
        for record in records:
            ids.append(record["id"])
            assert record["image"] and record["height"] > 0 and record["width"] > 0
            assert record["source"] and record["license"]
            assert (record["mask"] == b"") == (record["mask_kind"] == b"")
            if record["patient_id"]:
                splits_of[record["patient_id"]].add(split)
    assert len(ids) == len(set(ids)) > 0
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert all(entry["name"] and entry["reason"] for entry in report["skipped"])


@pytest.mark.parametrize("name", SOURCES)
def test_source_reports_missing_files(name, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main([name, f"--raw_dir={tmp_path / 'empty'}", f"--out={tmp_path}"]) == 2
    output = capsys.readouterr().err
    assert str(tmp_path / "empty") in output and output.count("\n") == 1


@pytest.mark.parametrize("name", SOURCES)
def test_source_describes_itself(name):
    source = SOURCES[name]
    for text in (source.description, source.homepage, source.license, source.size, source.coverage):
        assert text and "\n" not in text
    assert source.citation.startswith("@") or not source.citation


def test_committed_splits_match_the_benchmark(shared):
    """No training radiograph is in the benchmark's test split."""
    with (shared / "data" / "benchmark.csv").open(newline="") as file:
        told = list(csv.DictReader(file))
    committed = {name: source.splits_table() for name, source in SOURCES.items() if source.splits_table()}
    datasets = {"covid_chestxray": "covid-chestxray-dataset", "openist": "openist", "kermany": "chest_xray"}
    assert set(committed) == {*datasets, "coronahack"}
    assert committed["coronahack"] == committed["kermany"]
    for name, dataset in datasets.items():
        known = {row["patient_id"]: row["split"] for row in told if row["dataset"] == dataset}
        table = {patient: split for (_, patient), split in splits.read_table(committed[name]).items()}
        assert known and known.items() <= table.items()
