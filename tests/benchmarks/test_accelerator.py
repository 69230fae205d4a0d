"""The program that is to be run on a card: each of its parts runs, here at tiny sizes on the CPU."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from benchmarks.accelerator import cases, disk, inference, learned, machine, packed, parts, right, training
from benchmarks.accelerator.pack import read_pins
from benchmarks.accelerator.rows import HEAD, Report, Row
from benchmarks.accelerator.sizes import FULL, TINY
from benchmarks.runner import ROOT
from cxrjax.models import registry
from cxrjax.models.fc_densenet import FCDenseNet


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        small = partial(FCDenseNet, blocks=(1,), bottleneck=1, growth=4, stem=8)
        patch.setitem(registry.SEGMENTERS, "fc_densenet29", small)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `prepare` writes."""
    folder = tmp_path_factory.mktemp("parts")
    cases.write_radiographs(folder, packed.load_images(4, TINY), TINY)
    return folder


def test_rows_by_hand(tmp_path):
    report = Report(tmp_path, {"minutes": 9})
    report.add(Row("inference", "whole", 30.0, "radiographs/s", 20.0))
    report.add(Row("training", "memory", 500.0, "MB", 1000.0, higher_is_better=False))
    report.add(Row("disk", "all of it", "skipped: 3 s are left"))
    kept = json.loads((tmp_path / "accelerator.json").read_text())
    assert kept["minutes"] == 9
    assert [row["ratio"] for row in kept["rows"]] == [1.5, 2.0, None]
    assert report.table().splitlines()[2] == "| inference | whole | 30 | 20 | 1.50 | radiographs/s |  |"
    assert all(len(row.cells()) == len(HEAD) for row in report.rows)


def test_a_part_that_fails_says_so(monkeypatch, tmp_path):
    def fail(sizes, folder):
        yield Row("machine", "first", 1.0)
        raise ValueError("no card")

    monkeypatch.setattr(machine, "run", fail)
    rows = list(parts.run("machine", TINY, tmp_path, 9.0, tmp_path))
    assert [row.value for row in rows] == [1.0, "failed: ValueError: no card"]


def test_the_ceilings_are_kept_for_the_parts_after(tmp_path):
    rows = {row.what: row.value for row in machine.run(TINY, tmp_path)}
    kept = machine.read_ceilings(tmp_path)
    assert rows["product of 64 x 64, bfloat16"] == kept["operations"] / 1e12 > 0
    assert "jax" in rows["packages"]


def test_logits_are_compared_with_the_reference(tmp_path, monkeypatch):
    """Here both are the same program in float32: nothing differs; in bfloat16, little."""
    monkeypatch.setattr(cases, "CASES", {"classifier logits": cases.classifier_logits})
    monkeypatch.setattr(right, "repeat", lambda *_: iter(()))
    order = [("classifier logits", precision) for precision in ("float32", "bfloat16")]
    monkeypatch.setattr(right, "_order", lambda: order)
    sizes = replace(TINY, classifier="hieu2695_baseline", patch=128)
    cases.write_references(tmp_path, sizes)
    exact, rounded = right.run(sizes, tmp_path)
    assert exact.value == 0
    assert 0 < rounded.value < 0.05


@pytest.mark.slow
def test_the_other_cases_are_compared_with_the_reference(folder, monkeypatch):
    chosen = ["predictions", "segmenter step"]
    monkeypatch.setattr(cases, "CASES", {name: cases.CASES[name] for name in chosen})
    monkeypatch.setattr(right, "repeat", lambda *_: iter(()))
    monkeypatch.setattr(right, "_order", lambda: [(name, "float32") for name in chosen])
    cases.write_references(folder, TINY)
    rows = {row.what: row for row in right.run(TINY, folder)}
    assert rows["segmenter step, float32: optimizer"].value == 0
    assert rows["Dice of lungs with the CPU's, lowest"].value == 1


def test_a_missing_reference_is_told(tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / cases.FINISHED).touch()
    (row,) = right.compare("segmenter step", "float32", {}, tmp_path)
    assert row.value.startswith("no reference")


def test_labels_count_where_the_cpu_is_sure():
    reference = {"votes": np.array([[90, 10], [52, 48], [5, 95]]), "lungs": np.ones((3, 4, 4), bool)}
    found = {"votes": np.array([[80, 20], [48, 52], [60, 40]]), "lungs": np.ones((3, 4, 4), bool)}
    labels, moved, dice = right.compare_predictions(found, reference)
    assert labels.value == "1 of 2"
    assert moved.value == 55
    assert dice.value == 1


def test_relative_error_by_hand():
    assert cases.relative_error(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(0.1)
    assert not cases.relative_error(np.array([np.nan]), np.array([1.0])) < 1


def test_files_repeat_the_radiographs(tmp_path):
    assert disk.write_files(tmp_path, TINY) <= TINY.files
    files = sorted((tmp_path / "pictures").iterdir())
    assert len(files) == TINY.files
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_weights_that_come_back_are_those_that_went(tmp_path, monkeypatch):
    """In pieces of at most so many bytes, and rounded to half precision once."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    state = {f"layer{i}.weight": rng.normal(size=(64, 32)).astype(np.float32) for i in range(5)}
    monkeypatch.setattr(learned, "MAX_BYTES", 2 * state["layer0.weight"].size * 2)
    monkeypatch.setattr(learned.exchange, "export_weights", lambda workdir, target: save_file(state, target))
    list(learned._write_weights(tmp_path, tmp_path / "classifier"))
    pieces = sorted(tmp_path.glob("classifier_*.safetensors"))
    assert len(pieces) == 3
    learned.join(pieces, tmp_path / "joined")
    from safetensors.numpy import load_file

    joined = load_file(tmp_path / "joined")
    assert all((joined[name] == state[name].astype(np.float16)).all() for name in state)


def test_everything_that_is_packed_is_pinned():
    from benchmarks.accelerator.pack import COMMANDS, MISSING, SETUP

    pins = read_pins(ROOT / "constraints.txt")
    assert {name.lower().replace("_", "-") for name in MISSING} <= set(pins)
    assert all(len(SETUP + command) <= 2000 for command, _ in COMMANDS.values())


@pytest.mark.slow
def test_the_other_parts_run(folder, tmp_path, monkeypatch):
    # The process on the CPU knows nothing of the shallow segmenter.
    monkeypatch.setattr(learned, "_compare_with_cpu", lambda *_: iter(()))
    for name, run in (("inference", inference.run), ("disk", disk.run), ("right", right.run)):
        rows = list(run(TINY, folder))
        assert rows and not [row for row in rows if str(row.value).startswith("failed")], name
    assert training.time_steps(TINY, "segmenter", 2)["seconds"] > 0
    rows = list(learned.run(replace(TINY), folder, 20.0, tmp_path))
    assert not [row for row in rows if str(row.value).startswith("failed")]
    assert any(row.what.startswith("macro F1") for row in rows)
    assert FULL.changes.keys() == TINY.changes.keys()


@pytest.mark.slow
def test_the_program_runs_and_writes_its_table(tmp_path):
    command = [sys.executable, "-m", "benchmarks.accelerator", "--sizes=tiny", "--parts=machine,disk"]
    subprocess.run([*command, f"--out={tmp_path}", "--minutes=0.5"], cwd=ROOT, check=True)
    rows = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert {row["part"] for row in rows} == {"machine", "disk"}
    assert "skipped" in rows[-1]["value"]
    assert (tmp_path / "accelerator.md").read_text().startswith("| part | measured |")
