"""The files that a prediction of a folder writes; the network is a stand-in."""

import csv
import errno
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pydicom
import pytest

import cxrjax as cx
from cxrjax import plotting
from cxrjax.cli import output_folder, predict_files
from cxrjax.data import preprocessing
from cxrjax.io import predictions_csv, radiograph
from cxrjax.runs import run_dir
from data_prep.phantom.draw import draw

PREDICTOR = Path(__file__).parents[1] / "helpers" / "predictor.py"


HELPER = SimpleNamespace(**runpy.run_path(str(PREDICTOR)))


class StandIn(HELPER.StandIn):
    """Returns empty lung masks, and raises KeyboardInterrupt after `until` images."""

    until = 99

    def __init__(self):
        self.left = self.until

    def predict(self, images, batch_size):
        for _ in images:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield SimpleNamespace(lung_mask=np.zeros((64, 64), bool), mean=0.5)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(cx, "load", lambda *_, **__: HELPER.stand_in_model(StandIn(), 64))
    monkeypatch.setattr(plotting, "encode_figure", lambda *_, **__: b"drawn")
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "in" / name), np.arange(6400, dtype=np.uint8).reshape(80, 80))
    return tmp_path / "in"


def test_reject_ood_without_a_detector_is_an_error(pictures, tmp_path):
    with pytest.raises(run_dir.RunError, match="run: has no OOD detector for --reject_ood; --mode=fit_ood fits one"):
        predict_files.predict(tmp_path / "run", pictures, tmp_path / "out", reject_ood=True)
    assert not (tmp_path / "out").exists()


def test_killed_prediction_leaves_a_partial_table_and_resumes(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_files, "CHUNK_SIZE", 1)
    monkeypatch.setattr(StandIn, "until", 1)
    with pytest.raises(KeyboardInterrupt):
        predict_files.predict(tmp_path / "run", pictures, tmp_path / "out")
    (part,) = (tmp_path / "out" / "predictions.partial").glob("*.csv")
    assert [row["path"] for row in predictions_csv.read(part)] == ["a.png"]
    assert not (tmp_path / "out" / "predictions.csv").exists()
    with pytest.raises(ValueError, match=r"predictions.partial: was started with calibrated=False, .* True"):
        predict_files.predict(tmp_path / "run", pictures, tmp_path / "out", calibrated=True)
    monkeypatch.setattr(StandIn, "until", 1)  # one radiograph is left
    predict_files.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert len(predictions_csv.read(tmp_path / "out" / "predictions.csv")) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.png.figure.png", "b.png.figure.png", "predictions.csv", "predictions_files.json",
    }  # fmt: skip


def test_figures_of_now_unreadable_radiographs_are_removed(pictures, tmp_path):
    predict_files.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert (tmp_path / "out" / "a.png.figure.png").exists()
    (pictures / "a.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    cv2.imwrite(str(pictures / "b.png"), np.repeat(np.array([128, 0], np.uint8), 40)[:, None].repeat(80, 1))
    rows = predict_files.predict(tmp_path / "run", pictures, tmp_path / "out").rows
    assert [row["status"] for row in rows] == ["unreadable", "refused"]
    assert not list((tmp_path / "out").glob("*.png"))


def test_if_inverted_refuses_inverts_or_ignores_inverted_gray_levels(pictures, tmp_path):
    pixels = draw("normal", np.random.default_rng(0)).pixels
    cv2.imwrite(str(pictures / "a.png"), pixels)
    cv2.imwrite(str(pictures / "b.png"), pixels.max() - pixels)

    def rows(if_inverted):
        return predict_files.predict(tmp_path / "run", pictures, tmp_path / "out", if_inverted=if_inverted).rows

    upright, refused = rows("refuse")
    assert (upright["status"], upright["reason"], refused["status"]) == ("ok", "", "refused")
    assert refused["reason"].startswith("the gray levels look inverted (lungs brighter than the rest): ")
    assert not (tmp_path / "out" / "b.png.figure.png").exists()
    upright, inverted = rows("invert")
    assert (upright["reason"], inverted["reason"]) == ("", "its gray levels looked inverted, and were inverted")
    assert inverted["lung_confidence"] == upright["lung_confidence"]  # the mean gray level
    assert [row["reason"] for row in rows("ignore")] == ["", ""]
    model = cx.load("run")
    assert np.array_equal(model.predict(pixels.max() - pixels, if_inverted="invert").image, model.predict(pixels).image)
    with pytest.raises(ValueError, match="if_inverted='undo' is not one of refuse, invert, ignore"):
        model.predict(pixels, if_inverted="undo")
    with pytest.raises(cx.ImageRefusedError, match="image 0: the gray levels look inverted"):
        model.predict(pixels.max() - pixels)


def test_view_and_modality_of_the_dicom_header_are_in_the_row(pictures, tmp_path):
    def write(name, **elements):
        pixels = np.arange(6400, dtype=np.uint16).reshape(80, 80) % 4096
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        dataset.Rows = dataset.Columns = 80
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset["PixelData"] = pydicom.DataElement("PixelData", "OW", pixels.tobytes())
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(pictures / name, enforce_file_format=True)

    write("c_pa.dcm", Modality="CR", ViewPosition="PA", PatientOrientation=["R", "F"])
    write("d_side.dcm", Modality="CR", ViewPosition="LL")
    write("e_slice.dcm", Modality="CT")
    rows = predict_files.predict(tmp_path / "run", pictures, tmp_path / "out").rows
    assert [(row["status"], row.get("view"), row["reason"]) for row in rows] == [
        ("ok", "", ""),
        ("ok", "", ""),
        ("ok", "PA", "turned or mirrored, since its PatientOrientation is R, F"),
        ("refused", "LL", "lateral view, by its ViewPosition"),
        ("refused", "", "CT, not a radiograph, by its Modality"),
    ]
    table = predictions_csv.read(tmp_path / "out" / "predictions.csv")
    assert [row["view"] for row in table] == ["", "", "PA", "LL", ""]
    assert not (tmp_path / "out" / "d_side.dcm.png").exists()


def start_process(source, output, process, processes, seconds):
    """Start a process that takes `seconds` for each radiograph."""
    options = [str(x) for x in (source.parent / "run", source, output, process, processes, seconds)]
    environment = os.environ | {"PYTHONPATH": str(PREDICTOR.parents[2])}
    return subprocess.Popen([sys.executable, str(PREDICTOR), *options], env=environment)


def test_killed_process_of_two_resumes_without_repeating_rows(pictures, tmp_path, monkeypatch):
    """SIGKILL after the first chunk, then both processes again: the table equals that of a single process."""
    rng = np.random.default_rng(0)
    for k in range(11):
        cv2.imwrite(str(pictures / f"{k}.png"), rng.integers(0, 20 * (k + 1), (40, 40)).astype(np.uint8))
    (pictures / "9.png").write_bytes(b"torn")
    out, whole = tmp_path / "out", tmp_path / "whole"
    killed = start_process(pictures, out, 0, 2, seconds=0.5)
    while killed.poll() is None and not list(out.glob("predictions.partial/*.csv")):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    (partial_table,) = out.glob("predictions.partial/*.csv")
    first = {row["path"] for row in predictions_csv.read(partial_table)}
    drawn = {path: (out / f"{path}.figure.png").stat().st_mtime_ns for path in first}
    both = [start_process(pictures, out, i, 2, seconds=0) for i in (0, 1)]
    assert [process.wait() for process in both] == [0, 0]
    monkeypatch.setattr(cx, "load", HELPER.load)
    predict_files.predict(tmp_path / "run", pictures, whole)
    assert (out / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    rows = [row["path"] for row in predictions_csv.read(out / "predictions.csv")]
    assert rows == sorted(path.name for path in pictures.iterdir()) and len(rows) == 13
    assert not (out / "predictions.partial").exists()
    assert drawn == {path: (out / f"{path}.figure.png").stat().st_mtime_ns for path in first}  # not predicted again


def predict_again(pictures, tmp_path, name="out"):
    return predict_files.predict(tmp_path / "run", pictures, tmp_path / name).rows


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "output",
    ["in", "in/out", "in/../in/out", "link", "link/out", "in/.out", ".", "in/linked/out", "in/empty", "bare/out"],
)
def test_output_that_overlaps_the_input_is_refused(pictures, tmp_path, monkeypatch, output):
    monkeypatch.setattr(cx, "load", None)  # the networks are not loaded
    (tmp_path / "link").symlink_to(pictures)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(pictures / "a.png", tmp_path / "elsewhere" / "c.png")
    (pictures / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "bare").mkdir()
    (pictures / "empty").symlink_to(tmp_path / "bare")
    before = contents(tmp_path)
    for source in (pictures, tmp_path / "link"):
        with pytest.raises(
            ValueError, match=r"(is the folder of the input|lies in the input), .*name another --output"
        ):
            predict_files.predict(tmp_path / "run", source, tmp_path / output)
    assert contents(tmp_path) == before


def test_output_must_be_below_the_folder_of_a_single_input_file(pictures, tmp_path):
    for output in (pictures, tmp_path, pictures / "a.png"):
        with pytest.raises(ValueError, match=r"name another"):
            predict_files.predict(tmp_path / "run", pictures / "a.png", output)
    predict_files.predict(tmp_path / "run", pictures / "a.png", pictures / "out")
    assert (pictures / "out" / "a.png.figure.png").read_bytes() == b"drawn"


def test_files_of_an_earlier_prediction_are_skipped_as_input(pictures, tmp_path):
    plotting.encode_figure = lambda *_, **__: cv2.imencode(".png", np.eye(64, dtype=np.uint8))[
        1
    ].tobytes()  # restored by the fixture
    predict_again(pictures, tmp_path)
    shutil.copytree(tmp_path / "out", pictures / "earlier")
    cv2.imwrite(str(pictures / "earlier" / "b.png.figure.png"), np.eye(80, dtype=np.uint8))  # changed: the user's
    rows, skipped_files = predict_files.predict(tmp_path / "run", pictures, tmp_path / "again")
    assert [row["path"] for row in rows] == ["a.png", "b.png", "earlier/b.png.figure.png"]
    reasons = {each.path.name: each.reason for each in skipped_files}
    assert reasons["a.png.figure.png"] == "a file of an earlier prediction"
    with pytest.raises(radiograph.ImageReadError, match="only files of predictions"):
        predict_files.predict(tmp_path / "run", tmp_path / "out", tmp_path / "third")


def test_process_without_input_files_leaves_no_partial_folder(pictures, tmp_path):
    for process in range(3):
        predict_files.predict(tmp_path / "run", pictures, tmp_path / "out", process_id=process, num_processes=3)
    assert (tmp_path / "out" / "predictions.csv").exists()
    assert not (tmp_path / "out" / "predictions.partial").exists()


def test_output_that_links_to_itself_is_refused(pictures, tmp_path):
    (tmp_path / "out").symlink_to("out")
    with pytest.raises(ValueError, match="out: is not a folder"):
        predict_again(pictures, tmp_path)


def test_figures_do_not_overwrite_user_files_in_the_output(pictures, tmp_path):
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (pictures / "sub").mkdir()
    shutil.copy(pictures / "a.png", pictures / "sub")
    (pictures / "b.png").write_bytes(b"torn")
    (out / "a.png.figure.png").write_bytes(b"mine")
    (out / "b.png.figure.png").write_bytes(b"mine too")
    (out / "sub" / "a.png.figure.png").symlink_to(out / "a.png.figure.png")
    mine = contents(out)
    for _ in range(2):
        rows = predict_again(pictures, tmp_path)
        assert [row.get("figure") for row in rows] == [
            "a.png.figure-2.png", None, "sub/a.png.figure-2.png",
        ]  # fmt: skip
        assert mine.items() <= contents(out).items()
        assert (out / "sub" / "a.png.figure.png").is_symlink()
    assert [row["figure"] for row in predictions_csv.read(out / "predictions.csv")] == [
        "a.png.figure-2.png", "", "sub/a.png.figure-2.png",
    ]  # fmt: skip


def test_figures_are_not_written_through_links_in_the_output(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("s", "t"):
        (pictures / name).mkdir()
        shutil.copy(pictures / "a.png", pictures / name)
    (out / "s").symlink_to(pictures / "s")
    (out / "t").write_bytes(b"mine")
    before = contents(pictures)
    names = [row["figure"] for row in predict_again(pictures, tmp_path)]
    assert contents(pictures) == before and (out / "t").read_bytes() == b"mine"
    assert len(set(names)) == 4 and all((out / name).read_bytes() == b"drawn" for name in names)


@pytest.mark.parametrize(
    "name", ["predictions.csv", "skipped_files.csv", "predictions_files.json", "predictions.partial"]
)
def test_user_file_with_the_name_of_a_table_is_refused_before_prediction(pictures, tmp_path, monkeypatch, name):
    monkeypatch.setattr(cx, "load", None)
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"mine")
    with pytest.raises(ValueError, match=rf"{name}: .*name another folder"):
        predict_again(pictures, tmp_path)
    assert contents(out) == {name: b"mine"}


def test_user_folder_named_predictions_partial_is_refused_and_unchanged(pictures, tmp_path, monkeypatch):
    partial = tmp_path / "out" / "predictions.partial"
    partial.mkdir(parents=True)
    (partial / "a.csv").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"predictions.partial: is not the folder of an unfinished prediction"):
        predict_again(pictures, tmp_path)
    assert contents(tmp_path / "out") == {"predictions.partial/a.csv": b"mine"}
    (partial / "a.csv").rename(tmp_path / "a.csv")

    def draw(*_, **__):  # a file of the user's, while the prediction is under way
        (partial / "note.txt").write_bytes(b"mine")
        return b"drawn"

    monkeypatch.setattr(plotting, "encode_figure", draw)
    predict_again(pictures, tmp_path)
    assert contents(partial) == {"note.txt": b"mine"}
    assert len(predictions_csv.read(tmp_path / "out" / "predictions.csv")) == 2


def test_table_changed_by_the_user_is_not_replaced(pictures, tmp_path):
    predict_again(pictures, tmp_path)
    predict_again(pictures, tmp_path)  # its own table is replaced
    table = tmp_path / "out" / "predictions.csv"
    table.write_bytes(table.read_bytes() + b"\n")
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match=r"predictions.csv: was not written by a prediction, or was changed since"):
        predict_again(pictures, tmp_path)
    assert contents(tmp_path / "out") == before


def test_unfinished_prediction_of_an_older_version_is_refused(pictures, tmp_path):
    partial = tmp_path / "out" / "predictions.partial"
    partial.mkdir(parents=True)
    (partial / "request.json").write_text(json.dumps({"run": "r", "input": "i"}))
    with pytest.raises(ValueError, match=r"was started by another version of cxrjax; remove the folder"):
        predict_again(pictures, tmp_path)


def test_unusual_file_names_have_unique_rows_and_figures(pictures, tmp_path):
    """Names that are not UTF-8, of maximum length, of sibling folders, and of the prediction's own files."""
    data = (pictures / "a.png").read_bytes()
    long = ["x" * 251 + ".png", "x" * 250 + "y.png", "肺" * 83 + ".png"]
    raw = [b"R\xf6ntgen.png", b"\xff.png", *map(os.fsencode, long), b"line\nbreak.png", b"\x1b[31m.png", b"A.png"]
    raw += [b"scan.png", b"scan.png.png", b"predictions.csv/x.png", b"predictions.partial/x.png", b"a.dcm/x.png"]
    raw += [b"c.png.figure.png/x.png", b"c.png", b"=1+1.png"]
    for name in raw:
        path = os.path.join(os.fsencode(pictures), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    out = tmp_path / "out"
    rows = predict_again(pictures, tmp_path)
    expected = {*raw, b"a.png", b"b.png"}
    assert {os.fsencode(row["path"]) for row in rows} == expected and len(rows) == len(expected)
    assert all(row["status"] == "ok" and (out / row["figure"]).read_bytes() == b"drawn" for row in rows)
    assert len({row["figure"].casefold() for row in rows}) == len(rows)
    assert [row["figure"] for row in rows if row["path"] == "scan.png"] == ["scan.png.figure.png"]
    read = predictions_csv.read(out / "predictions.csv")
    assert [(row["path"], row["figure"]) for row in read] == [(row["path"], row["figure"]) for row in rows]
    before = contents(out)
    predict_again(pictures, tmp_path)
    assert contents(out) == before


@pytest.mark.parametrize("error", [MemoryError(), TypeError("'DOE^JOHN'"), RecursionError(), cv2.error("DOE^JOHN")])
@pytest.mark.parametrize("stage", ["read", "standardize", "draw"])
def test_error_in_one_file_does_not_stop_the_others(pictures, tmp_path, monkeypatch, stage, error):
    module, name = {
        "read": (radiograph, "read"),
        "standardize": (preprocessing, "standardize"),
        "draw": (plotting, "encode_figure"),
    }[stage]
    original = getattr(module, name)

    def fail_once(*arguments, **settings):
        odd = (
            settings["title_lines"][1].removeprefix("file ")
            if stage == "draw"
            else getattr(arguments[0], "path", arguments[0])
        )
        if Path(odd).name == "a.png":
            raise error
        return original(*arguments, **settings)

    monkeypatch.setattr(module, name, fail_once)
    odd, good = predict_again(pictures, tmp_path)
    assert good["status"] == "ok" and (tmp_path / "out" / good["figure"]).exists()
    assert odd["status"] == ("failed" if stage == "draw" else "unreadable")
    assert odd["reason"].endswith(
        "it needs more memory than there is"
        if isinstance(error, MemoryError)
        else f"an unexpected error ({type(error).__name__})"
    )
    assert ("lung_confidence" in odd) == (stage == "draw")  # the prediction stays in the row
    assert [row["status"] for row in predictions_csv.read(tmp_path / "out" / "predictions.csv")] == [
        odd["status"],
        "ok",
    ]


def test_prediction_stopped_by_a_full_disk_resumes(pictures, tmp_path, monkeypatch):
    def fill(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    with monkeypatch.context() as full:
        full.setattr(output_folder.Ledger, "place", fill)
        with pytest.raises(OSError, match="No space left"):
            predict_again(pictures, tmp_path)
    assert [row["status"] for row in predict_again(pictures, tmp_path)] == ["ok", "ok"]


def test_file_removed_or_changed_after_listing_has_a_row(pictures, tmp_path, monkeypatch):
    shutil.copy(pictures / "a.png", pictures / "c.png")

    def load(*_, **__):
        (pictures / "a.png").unlink()
        (pictures / "b.png").unlink()
        os.mkfifo(pictures / "b.png")  # to open it would wait for ever
        return HELPER.stand_in_model(StandIn(), 64)

    monkeypatch.setattr(cx, "load", load)
    rows = predict_again(pictures, tmp_path)
    assert [row["status"] for row in rows] == ["unreadable", "unreadable", "ok"]
    assert [row.get("reason") for row in rows[:2]] == ["no such file or folder", "a named pipe, not a file"]


def test_skipped_files_are_written_to_skipped_files_csv(pictures, tmp_path):
    (pictures / "=notes.txt").write_text("x")
    (pictures / "c.gif").write_text("x")
    result = predict_files.predict(tmp_path / "run", pictures, tmp_path / "out")
    assert [each.path.name for each in result.skipped_files] == ["=notes.txt", "c.gif"]
    with (tmp_path / "out" / "skipped_files.csv").open(newline="") as file:
        header, notes, gif = csv.reader(file)
    assert header == ["path", "reason"] and notes == ["'=notes.txt", "not an image"]
    assert gif[0] == "c.gif" and gif[1].startswith("GIF, which is not supported")
    (pictures / "=notes.txt").unlink()
    (pictures / "c.gif").unlink()
    predict_again(pictures, tmp_path)
    assert not (tmp_path / "out" / "skipped_files.csv").exists()


def test_unwritable_output_is_refused(pictures, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for output in ("file", "file/below"):
        with pytest.raises(ValueError, match=r"file: is not a folder, so nothing can be written to"):
            predict_again(pictures, tmp_path, output)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match=r"may not be written to; name another folder"):
        predict_again(pictures, tmp_path)


def test_rows_of_an_interrupted_chunk_are_saved(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(StandIn, "until", 1)
    with pytest.raises(KeyboardInterrupt):
        predict_again(pictures, tmp_path)
    (part,) = (tmp_path / "out" / "predictions.partial").glob("*.csv")
    assert [row["path"] for row in predictions_csv.read(part)] == ["a.png"]
