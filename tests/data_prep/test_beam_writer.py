"""Preparation with Apache Beam: an equal data set, and errors of one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep.__main__ import main
from tests.helpers.image_files import save_dicom

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Write the table of 200 DICOM files: every 40th is missing, and every 40th plus one is truncated."""
    folder = tmp_path_factory.mktemp("dicoms")
    lines = ["path,label,patient_id,dataset"]
    for number in range(200):
        file = folder / f"{number:03d}.dcm"
        if number % 40:
            save_dicom(file, ViewPosition="PA")
        if number % 40 == 1:
            file.write_bytes(file.read_bytes()[:1500])
        lines.append(f"{file.name},{('normal', 'viral')[number % 2]},p{number // 2},ours")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def run(table: Path, out: Path, *more: str) -> subprocess.CompletedProcess:
    """Run in another process, so that Beam's warnings do not fail the tests."""
    command = [sys.executable, "-m", "data_prep", "table", f"--csv={table}", f"--out={out}", "--duplicates=off", *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_two_beam_workers_write_the_same_data_set_as_one_process(table, tmp_path, capsys):
    assert main(["table", f"--csv={table}", f"--out={tmp_path / 'alone'}", "--duplicates=off"]) == 0
    process = run(table, tmp_path / "beam", "--workers=2")
    assert process.returncode == 0, process.stderr
    alone, beam = (tmp_path / out / "table" / "2.0.0" for out in ("alone", "beam"))
    assert sorted(path.name for path in beam.iterdir()) == sorted(path.name for path in alone.iterdir())
    for name in ("report.json", "splits.csv", "dataset_info.json"):
        assert (beam / name).read_bytes() == (alone / name).read_bytes()
    for split in ("train", "val", "test"):  # record by record: a record's fields are stored in any order
        np.testing.assert_equal(*(list(tfds.builder_from_directory(it).as_data_source(split)) for it in (beam, alone)))
    report = json.loads((beam / "report.json").read_text())
    assert sum(sum(labels.values()) for labels in report["counts"].values()) == 190
    assert len(report["skipped"]) == 10 and len({entry["reason"] for entry in report["skipped"]}) == 2
    assert process.stderr.splitlines() == [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]


@pytest.mark.parametrize("option", ["runner=Nowhere", "direct_num_workers=two"])
def test_option_that_beam_rejects_is_named(table, tmp_path, option):
    process = run(table, tmp_path, f"--beam_pipeline_options={option}")
    assert process.returncode == 2
    assert f"--beam_pipeline_options={option}: " in process.stderr and process.stderr.count("\n") == 1
    assert not list((tmp_path / "table").iterdir())


@pytest.mark.parametrize("argument", ["--workers=2", "--beam_pipeline_options=runner=FlinkRunner"])
def test_missing_beam_says_what_to_install(table, tmp_path, argument, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert main(["table", f"--csv={table}", f"--out={tmp_path}", "--duplicates=off", argument]) == 2
    output = capsys.readouterr().err
    assert "pip install 'cxrjax[beam]'" in output and output.count("\n") == 1


def test_zero_workers_are_refused(table, tmp_path, capsys):
    assert main(["table", f"--csv={table}", f"--out={tmp_path}", "--duplicates=off", "--workers=0"]) == 2
    assert "--workers=0" in capsys.readouterr().err
