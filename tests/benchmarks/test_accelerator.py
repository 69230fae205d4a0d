"""The accelerator benchmark: each of its parts runs at tiny sizes on the CPU."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from benchmarks.accelerator import (
    cases,
    compiled,
    contestant,
    correctness,
    disk,
    full_training,
    inference,
    machine,
    pack,
    packed,
    parts,
    profile,
)
from benchmarks.accelerator.pack import read_pins
from benchmarks.accelerator.rows import HEADER, Report, Row
from benchmarks.accelerator.sizes import FULL, TINY
from benchmarks.accelerator.turns import Contestant
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
    """The folder that `prepare` writes."""
    folder = tmp_path_factory.mktemp("parts")
    cases.write_radiographs(folder, packed.load_images(4, TINY), TINY)
    return folder


def test_report_table_and_ratios_by_hand(tmp_path):
    report = Report(tmp_path, {"minutes": 9})
    report.add(Row("inference", "whole", 30.0, "radiographs/s", 20.0))
    report.add(Row("training", "memory", 500.0, "MB", 1000.0, higher_is_better=False))
    report.add(Row("disk", "all of it", "skipped: 3 s are left"))
    saved = json.loads((tmp_path / "accelerator.json").read_text())
    assert saved["minutes"] == 9
    assert [row["ratio"] for row in saved["rows"]] == [1.5, 2.0, None]
    assert report.table().splitlines()[2] == "| inference | whole | 30 | 20 | 1.50 | radiographs/s |  |"
    assert all(len(row.cells()) == len(HEADER) for row in report.rows)


def test_failed_part_is_reported_in_its_row(monkeypatch, tmp_path):
    def fail(sizes, folder):
        yield Row("machine", "first", 1.0)
        raise ValueError("no card")

    monkeypatch.setattr(machine, "run", fail)
    rows = list(parts.run("machine", TINY, tmp_path, 9.0, tmp_path))
    assert [row.value for row in rows] == [1.0, "failed: ValueError: no card"]


def test_measured_ceilings_are_saved_for_later_parts(tmp_path):
    rows = {row.what: row.value for row in machine.run(TINY, tmp_path)}
    saved = machine.read_ceilings(tmp_path)
    assert rows["product of 64 x 64, bfloat16"] == saved["operations"] / 1e12 > 0
    assert "jax" in rows["packages"]


def test_logits_are_compared_with_the_reference(tmp_path, monkeypatch):
    """Both are the same program here, so that float32 has no error and bfloat16 a small one."""
    monkeypatch.setattr(cases, "CASES", {"classifier logits": cases.classifier_logits})
    monkeypatch.setattr(correctness, "repeat", lambda *_: iter(()))
    order = [("classifier logits", precision) for precision in ("float32", "bfloat16")]
    monkeypatch.setattr(correctness, "_order", lambda: order)
    sizes = replace(TINY, classifier="hieu2695_baseline", patch=128)
    cases.write_references(tmp_path, sizes)
    exact, rounded = correctness.run(sizes, tmp_path)
    assert exact.value == 0
    assert 0 < rounded.value < 0.05


@pytest.mark.slow
def test_predictions_and_segmenter_step_are_compared_with_the_reference(folder, monkeypatch):
    chosen = ["predictions", "segmenter step"]
    monkeypatch.setattr(cases, "CASES", {name: cases.CASES[name] for name in chosen})
    monkeypatch.setattr(correctness, "repeat", lambda *_: iter(()))
    monkeypatch.setattr(correctness, "_order", lambda: [(name, "float32") for name in chosen])
    cases.write_references(folder, TINY)
    rows = {row.what: row for row in correctness.run(TINY, folder)}
    assert rows["segmenter step, float32: optimizer"].value == 0
    assert rows["lowest Dice of lungs with the CPU's"].value == 1


def test_missing_reference_is_reported_in_its_row(tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / cases.FINISHED).touch()
    (row,) = correctness.compare("segmenter step", "float32", {}, tmp_path)
    assert row.value.startswith("no reference")


def test_label_agreement_counts_only_confident_cpu_predictions():
    reference = {"votes": np.array([[90, 10], [52, 48], [5, 95]]), "lungs": np.ones((3, 4, 4), bool)}
    found = {"votes": np.array([[80, 20], [48, 52], [60, 40]]), "lungs": np.ones((3, 4, 4), bool)}
    labels, moved, dice = correctness.compare_predictions(found, reference)
    assert labels.value == "1 of 2"
    assert moved.value == 55
    assert dice.value == 1


def test_relative_error_by_hand():
    assert cases.relative_error(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(0.1)
    assert not cases.relative_error(np.array([np.nan]), np.array([1.0])) < 1


def test_write_files_repeats_radiographs_up_to_the_file_count(tmp_path):
    assert disk.write_files(tmp_path, TINY) <= TINY.files
    files = sorted((tmp_path / "pictures").iterdir())
    assert len(files) == TINY.files
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_split_weights_join_to_the_original_in_half_precision(tmp_path, monkeypatch):
    """Each piece has at most `MAX_BYTES` bytes."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    state = {f"layer{i}.weight": rng.normal(size=(64, 32)).astype(np.float32) for i in range(5)}
    monkeypatch.setattr(full_training, "MAX_BYTES", 2 * state["layer0.weight"].size * 2)
    monkeypatch.setattr(full_training.exchange, "export_weights", lambda workdir, target: save_file(state, target))
    full_training._write_weights(tmp_path, tmp_path / "classifier")
    pieces = sorted(tmp_path.glob("classifier_*.safetensors"))
    assert len(pieces) == 3
    from safetensors.numpy import load_file

    joined = load_file(full_training.join(tmp_path, "classifier", tmp_path))
    assert all((joined[name] == state[name].astype(np.float16)).all() for name in state)


def test_packed_packages_are_pinned_and_commands_are_short():
    from benchmarks.accelerator.pack import COMMANDS, MISSING, SETUP

    pins = read_pins(ROOT / "constraints.txt")
    assert {name.lower().replace("_", "-") for name in MISSING} <= set(pins)
    assert all(len(SETUP + command) <= 2000 for command, _ in COMMANDS.values())


def test_contestants_compile_at_once_and_measure_in_turn(tmp_path):
    """Each writes the time at which it is ready, starts and ends; neither starts before its turn."""
    program = (
        "import json, time\n"
        "from benchmarks.accelerator import turns\n"
        "seconds = turns.wait_for_turn()\n"
        "start = time.monotonic()\n"
        "time.sleep(0.1)\n"
        "print(json.dumps({'start': start, 'end': time.monotonic(), 'seconds': seconds}), flush=True)\n"
    )
    processes = [Contestant([sys.executable, "-c", program], os.environ, ROOT) for _ in range(2)]
    assert all(process.wait_until_ready(30) for process in processes)
    first, second = (process.measure(30) for process in processes)
    assert first["seconds"] == 30
    assert first["end"] <= second["start"]


def test_contestant_that_fails_tells_why():
    process = Contestant([sys.executable, "-c", "raise ValueError('no card')"], os.environ, ROOT)
    assert not process.wait_until_ready(30)
    assert process.describe_failure().endswith("ValueError: no card")


def test_contestant_that_does_not_answer_is_stopped():
    program = "from benchmarks.accelerator import turns; turns.wait_for_turn(); import time; time.sleep(60)"
    process = Contestant([sys.executable, "-c", program], os.environ, ROOT)
    assert process.wait_until_ready(30)
    assert process.measure(0.1) is None
    assert process.describe_failure() == "it did not compile or measure in time"


def test_kernels_of_a_compiled_program_are_counted_outside_and_in_loops():
    text = """HloModule jit_f

%fused_maximum (p: f32[2]) -> f32[2] {
  ROOT %maximum.1 = f32[2]{0} maximum(%p, %p)
}

%body.1 (state: (f32[2])) -> (f32[2]) {
  %x = f32[2]{0} get-tuple-element(%state), index=0
  %fusion.1 = f32[2]{0} fusion(%x), kind=kLoop, calls=%fused_maximum
  ROOT %tuple = (f32[2]{0}) tuple(%fusion.1)
}

ENTRY %main (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  %fusion.2 = f32[2]{0} fusion(%p), kind=kLoop, calls=%fused_maximum
  %conv = (f32[2]{0}, u8[0]{0}) custom-call(%fusion.2), custom_call_target="__cudnn$convForward"
  %while = (f32[2]{0}) while(%fusion.2), body=%body.1
  ROOT %copy = f32[2]{0} copy(%p)
}
"""
    counts = compiled.count_kernels(text)
    assert counts == {"ENTRY": {"fusion": 1, "custom-call": 1, "copy": 1}, "%body.1": {"fusion": 1}}


def test_thinned_table_has_all_but_some_training_radiographs(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "MAX_TRAINING", 1)
    lines = ["a,1.png,normal,train", "a,2.png,normal,train", "a,3.png,viral,train", "a,4.png,normal,test"]
    (tmp_path / "table.csv").write_text("\n".join(["dataset,path,label,split", *lines]) + "\n")
    pack.thin(tmp_path / "table.csv", tmp_path / "thinned.csv")
    rows = (tmp_path / "thinned.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == [str(tmp_path / f"{n}.png") for n in (1, 3, 4)]


def test_effect_of_rounding_weights_by_hand():
    weights = {"kernel": np.array([1.0, 1 + 2**-10], np.float32)}
    assert cases.round_weights(weights, "bfloat16")["kernel"].tolist() == [1.0, 1.0]
    rounded = cases.round_weights(weights, "float32")["kernel"] / weights["kernel"]
    assert np.abs(rounded - 1).max() <= np.finfo(np.float32).eps
    assert cases.round_weights(weights, "") is weights


@pytest.mark.slow
def test_remaining_parts_run_without_failed_rows(folder, tmp_path):
    (folder / "reference").mkdir(exist_ok=True)
    (folder / "reference" / cases.FINISHED).touch()  # the CPU has no references for it
    for name, run in (("inference", inference.run), ("correctness", correctness.run)):
        rows = list(run(TINY, folder))
        assert rows and not [row for row in rows if str(row.value).startswith("failed")], name
    for name, prepare in (("disk", disk.prepare), ("profile", profile.prepare)):
        rows = list(prepare(TINY, folder, tmp_path)(60.0))
        assert rows and not [row for row in rows if str(row.value).startswith("failed")], name
    (measurement,) = contestant.prepare_training(TINY, folder, tmp_path, "segmenter", "2")(60.0)
    assert measurement["seconds"] > 0
    for task in full_training.TASKS:
        (measurement,) = full_training.prepare(TINY, folder, tmp_path, task)(1.0)
        assert measurement["steps"] > 1
    rows = list(full_training.score(tmp_path, TINY, tmp_path))
    assert [row.what for row in rows] == ["Dice of the lungs, val", "macro F1, val", "accuracy, val"]
    assert FULL.changes.keys() == TINY.changes.keys()


@pytest.mark.slow
def test_benchmark_program_writes_json_and_markdown(tmp_path):
    command = [sys.executable, "-m", "benchmarks.accelerator", "--sizes=tiny", "--parts=machine,disk"]
    subprocess.run([*command, f"--out={tmp_path}", "--minutes=0.5"], cwd=ROOT, check=True)
    rows = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert {row["part"] for row in rows} == {"machine", "disk"}
    assert "skipped" in rows[-1]["value"]
    assert (tmp_path / "accelerator.md").read_text().startswith("| part | measurement |")
