"""Preparation: data sets are complete or absent, equal to their source byte for byte, and need no TensorFlow."""

import errno
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from cxrjax.config import LABELS
from data_prep.__main__ import main, parse
from data_prep.example import encode_png
from data_prep.phantom.source import make_phantom
from data_prep.source import find_sources
from data_prep.table.source import TableOptions
from tests.helpers.image_files import save_image

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--count=3", "--split_ratios=0.34,0.33,0.33", "--size=64", "--seed=5"]


def phantom(folder: Path, *more: str) -> int:
    return main(["phantom", f"--out={folder}", *SMALL, *more])


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_stored_records_equal_the_phantoms(tmp_path, capsys):
    assert phantom(tmp_path) == 0
    assert "train 5 (" in capsys.readouterr().out
    builder = tfds.builder_from_directory(tmp_path / "phantom" / "2.0.0")
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 5,
        "val": 5,
        "test": 5,
    }
    for example, label in zip(builder.as_data_source("val"), LABELS, strict=True):
        number = int(example["id"].decode().removeprefix(f"{label}/"))
        drawn = make_phantom(label, number, seed=5, size=64)
        assert example["image"] == encode_png(drawn.pixels)
        decoded = cv2.imdecode(np.frombuffer(example["image"], np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(decoded, drawn.pixels)
        stored = {key: cv2.imdecode(np.frombuffer(example[key], np.uint8), 0) for key in ("mask", "lesions")}
        np.testing.assert_array_equal(stored["mask"], drawn.structures)
        np.testing.assert_array_equal(stored["lesions"], drawn.lesions)
        assert (example["label"], example["mask_kind"]) == (label.encode(), b"structures")
        assert (example["height"], example["width"], example["age"]) == (64, 64, np.float32(drawn.age))
        np.testing.assert_allclose(example["spacing"], drawn.spacing)


def test_neither_preparing_nor_reading_imports_tensorflow(tmp_path):
    code = """
import sys, tensorflow_datasets as tfds
from data_prep.__main__ import main
assert main(["phantom", "--out=" + sys.argv[1], "--count=1", "--split_ratios=1,0,0", "--size=64"]) == 0
records = tfds.builder_from_directory(sys.argv[1] + "/phantom/2.0.0").as_data_source("train")
assert [record["label"] for record in records][1] == b"bacterial"
assert "tensorflow" not in sys.modules
"""
    process = run_python(code, str(tmp_path))
    assert process.returncode == 0, process.stderr


def test_complete_data_set_is_not_prepared_again_unless_overwritten(tmp_path, capsys):
    assert phantom(tmp_path) == 0
    records = next((tmp_path / "phantom" / "2.0.0").glob("*train.array_record*"))
    before = records.stat().st_mtime_ns
    assert phantom(tmp_path) == 0
    assert "already complete" in capsys.readouterr().out
    assert records.stat().st_mtime_ns == before
    assert phantom(tmp_path, "--overwrite") == 0
    assert records.stat().st_mtime_ns != before


def test_data_set_with_other_settings_is_refused(tmp_path, capsys):
    assert phantom(tmp_path) == 0
    assert phantom(tmp_path, "--seed=6") == 2
    assert "other input or settings" in capsys.readouterr().err
    assert phantom(tmp_path, "--seed=6", "--name=another") == 0
    assert (tmp_path / "another" / "2.0.0" / "dataset_info.json").is_file()


def test_killed_preparation_is_repeated(tmp_path):
    code = """
import os, signal, sys
from data_prep.__main__ import main
from data_prep.phantom.source import PhantomSource
read, seen = PhantomSource.read, []
def dying(self, row, options):
    seen.append(row)
    if len(seen) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(self, row, options)
PhantomSource.read = dying
main(["phantom", "--out=" + sys.argv[1], *sys.argv[2:]])
"""
    process = run_python(code, str(tmp_path), *SMALL)
    assert process.returncode == -9
    assert not (tmp_path / "phantom" / "2.0.0").exists()
    assert list((tmp_path / "phantom").glob("incomplete.*"))
    assert phantom(tmp_path) == 0
    assert [entry.name for entry in (tmp_path / "phantom").iterdir()] == ["2.0.0"]
    assert len(tfds.builder_from_directory(tmp_path / "phantom" / "2.0.0").as_data_source("test")) == 5


def test_data_set_killed_while_being_replaced_is_prepared_again(tmp_path):
    """The file that marks a data set complete is removed first."""
    assert phantom(tmp_path) == 0
    folder = tmp_path / "phantom" / "2.0.0"
    (folder / "dataset_info.json").unlink()
    next(folder.glob("*val.array_record*")).unlink()
    assert phantom(tmp_path) == 0
    assert len(tfds.builder_from_directory(folder).as_data_source("val")) == 5


def test_list_names_every_folder_of_sources(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == list(find_sources())
    folders = {path.parent.name for path in (ROOT / "data_prep").glob("*/source.py")}
    assert set(find_sources()) == folders


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["phantom"], "--out=DIR"),
        (["phantom", "--out=x", "--count=0"], "--count=0"),
        (["phantom", "--out=x", "--split_ratios=0.5,0.5"], "three ratios"),
        (["phantom", "--out=x", "--size=20"], "--size=20"),
        (["phantom", "--out=x", "--name=../up"], "--name=../up"),
        (["phantom", "--sheet=missing/sheet.png"], "folder that exists"),
    ],
)
def test_invalid_options_give_one_sentence_and_status_2(arguments, sentence, capsys):
    assert main(arguments) == 2
    output = capsys.readouterr().err
    assert sentence in output
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["nowhere"], ["phantom", "--count=many"], ["table"], ["phantom", "--split_ratios=a,b,c"]]
)
def test_parser_errors_are_one_sentence_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as process:
        main(arguments)
    assert process.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("former", "sentence"),
    [
        ("--from=in", "--from is now --raw_dir"),
        ("--split=1,0,0", "--split is now --split_ratios"),
        ("--splits=mine.csv", "--splits is now --split_csv"),
        ("--where=label=normal", "--where is now --filter"),
    ],
)
def test_former_flag_is_refused_with_its_new_name(former, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["table", "--csv=table.csv", "--out=x", former])
    assert capsys.readouterr().err == f"data_prep: {sentence}\n"


def test_options_have_the_same_defaults_from_the_command_line_and_from_python():
    for name, source in find_sources().items():
        required = {"csv": "table.csv"} if name == "table" else {}
        request = parse([name, *(f"--{key}={value}" for key, value in required.items())], find_sources())
        assert request.options == source.options_type(**required)


def test_options_are_read_from_the_command_line():
    arguments = ["--csv=a.csv", "--filter=b=c", "--filter=d=e,f", "--split_ratios=1,0,0", "--folds=2", "--overwrite"]
    assert parse(["table", *arguments], find_sources()).options == TableOptions(
        csv="a.csv", filter=("b=c", "d=e,f"), split_ratios=(1, 0, 0), folds=2, overwrite=True
    )


def test_contact_sheet_has_a_row_per_class(tmp_path):
    assert main(["phantom", f"--sheet={tmp_path / 'sheet.png'}", "--size=64"]) == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (len(LABELS) * 320, 2 * 4 * 320, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_report_is_stored_with_the_data_set(tmp_path):
    assert phantom(tmp_path) == 0
    report = json.loads((tmp_path / "phantom" / "2.0.0" / "report.json").read_text())
    assert report["skipped"] == []
    assert report["counts"]["test"] == dict.fromkeys(sorted(LABELS), 1)
    assert report["settings"]["seed"] == 5


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert phantom(tmp_path) == 0
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("name", ["thesis.doc", "card/notes.txt", "images/a.png"])
def test_files_of_others_are_never_removed(tmp_path, capsys, name):
    other = tmp_path / "phantom" / "2.0.0" / name
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    assert phantom(tmp_path) == phantom(tmp_path, "--overwrite") == 2
    assert "which data_prep did not write" in capsys.readouterr().err
    assert other.read_text() == "mine"


@pytest.mark.parametrize("out", [".", "normal", "link"])
def test_output_inside_the_input_folder_is_refused(tmp_path, capsys, out):
    save_image(tmp_path / "in" / "normal" / "a.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    assert main(["folder", f"--raw_dir={tmp_path / 'in'}", f"--out={tmp_path / 'in' / out}"]) == 2
    assert "lies in the folder that is read" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_older_version_of_the_data_set_is_named(tmp_path, capsys):
    assert phantom(tmp_path) == 0
    shutil.copytree(tmp_path / "phantom" / "2.0.0", tmp_path / "phantom" / "1.0.0")
    assert phantom(tmp_path) == 0
    assert "1.0.0: an older form of this data set, which may hold whole files" in capsys.readouterr().out


def test_signal_stops_preparation_with_one_line_and_no_data_set(tmp_path):
    code = """
import os, runpy, signal, sys
from data_prep.phantom.source import PhantomSource
read = PhantomSource.read
def interrupted(self, row, options):
    if row.payload[1] == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return read(self, row, options)
PhantomSource.read = interrupted
sys.argv = ["data_prep", "phantom", *sys.argv[1:]]
runpy.run_module("data_prep", run_name="__main__")
"""
    process = run_python(code, f"--out={tmp_path}", *SMALL)
    assert process.returncode == 143
    output = [line for line in process.stderr.replace("\r", "\n").splitlines() if line and "radiograph/s" not in line]
    assert len(output) == 1 and "SIGTERM" in output[0]
    assert not list((tmp_path / "phantom").iterdir())


def test_output_without_write_permission_is_one_sentence(tmp_path, capsys, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out"))

    monkeypatch.setattr("data_prep.output_folder.check_output", refuse)
    assert main(["phantom", f"--out={tmp_path / 'out'}"]) == 2
    assert capsys.readouterr().err == f"data_prep phantom: {tmp_path / 'out'}: Permission denied\n"
