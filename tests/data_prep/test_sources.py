"""Properties of every source: it builds from its test files, and none of its patients is in two splits."""

import csv
import json
import multiprocessing
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import beam_writer, splits
from data_prep.__main__ import main
from data_prep.shards import write_shard
from data_prep.source import find_sources
from tests.helpers import upstream_files

SOURCES = {name: source for name, source in find_sources().items() if name in upstream_files.NAMES}
DRAWN = ("phantom", "phantom_findings")
WITHOUT_UPSTREAM = {*DRAWN, "table"}


def test_every_source_with_an_upstream_has_test_files():
    assert set(find_sources()) - set(upstream_files.NAMES) == WITHOUT_UPSTREAM


def prepare(name: str, upstream: Path, out: Path, *more: str) -> Path:
    """Prepare a source from its test files; return the folder of the data set."""
    options = [f"--raw_dir={upstream}", f"--out={out}", "--split_ratios=0.5,0.2,0.3", f"--salt={upstream}.key"]
    assert main([name, *options, *more]) == 0
    version = "3.0.0" if SOURCES[name].has_findings(SOURCES[name].options_type()) else "2.0.0"
    return out / name / version


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return a function that writes the test files of a source and prepares them once: (test files, data set)."""

    @cache
    def build(name: str) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp(name)
        upstream_files.write(name, folder / "upstream")
        return folder / "upstream", prepare(name, folder / "upstream", folder)

    return build


@pytest.fixture(scope="module")
def worker():
    """Return a process that has imported nothing, as a worker of Beam."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", SOURCES)
def test_source_builds_from_its_test_files(name, built):
    _, folder = built(name)
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


@pytest.mark.parametrize("name", [*SOURCES, *DRAWN])
def test_source_is_written_by_other_processes_as_by_one(name, built, worker, tmp_path, monkeypatch):
    """Beam is left out here, which takes seconds to start: its workers get the same shards and the same function."""

    def write_shards(shards, read, options):
        assert options.workers == 2
        return [worker.submit(write_shard, shard, read).result() for shard in shards]

    monkeypatch.setattr(beam_writer, "write_shards", write_shards)
    if name in DRAWN:
        arguments = [name, "--count=12", "--size=128", "--duplicates=off"]
        assert main([*arguments, f"--out={tmp_path}/alone"]) == main([*arguments, f"--out={tmp_path}", "--workers=2"])
        (together,) = tmp_path.glob(f"{name}/*.0.0")
        alone = tmp_path / "alone" / name / together.name
    else:
        upstream, alone = built(name)
        together = prepare(name, upstream, tmp_path, "--workers=2")
    for file in ("report.json", "splits.csv", "dataset_info.json"):
        assert (together / file).read_bytes() == (alone / file).read_bytes()
    for split in tfds.builder_from_directory(alone).info.splits:
        records = [list(tfds.builder_from_directory(it).as_data_source(split)) for it in (together, alone)]
        np.testing.assert_equal(*records)


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
        benchmark_rows = list(csv.DictReader(file))
    committed = {name: source.splits_table() for name, source in SOURCES.items() if source.splits_table()}
    datasets = {"covid_chestxray": "covid-chestxray-dataset", "openist": "openist", "kermany": "chest_xray"}
    assert set(committed) == {*datasets, "coronahack"}
    assert committed["coronahack"] == committed["kermany"]
    for name, dataset in datasets.items():
        known = {row["patient_id"]: row["split"] for row in benchmark_rows if row["dataset"] == dataset}
        table = {patient: split for (_, patient), split in splits.read_table(committed[name]).items()}
        assert known and known.items() <= table.items()
