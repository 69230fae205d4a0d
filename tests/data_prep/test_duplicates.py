"""Near-duplicates: altered copies of real radiographs are found, other pairs are not, and one of each set is kept."""

import csv
import io
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from cxrjax.io.radiograph import Radiograph
from data_prep.__main__ import main
from data_prep.checks import duplicates, fingerprint
from data_prep.checks.duplicates import Pair
from data_prep.checks.fingerprint import Fingerprint
from data_prep.record import PreparationError, Record
from tests.helpers.image_files import draw_image, save_image

COLLECTIONS = ("covid-chestxray-dataset", "chest_xray", "tuberculosis", "jsrt", "openist")


def brighten(pixels: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(np.rint(pixels * factor), 0, 255).astype(np.uint8)


def scale(pixels: np.ndarray, factor: float) -> np.ndarray:
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def crop(pixels: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    height, width = pixels.shape
    rows = slice(round(top * height), height - round(bottom * height))
    return pixels[rows, round(left * width) : width - round(right * width)]


ALTERED = {  # file name -> change of the pixels; a .jpg is also encoded again
    "encoded.jpg": lambda pixels: pixels,
    "half.png": lambda pixels: scale(pixels, 0.5),
    "larger.png": lambda pixels: scale(pixels, 1.4),
    "brighter.png": lambda pixels: brighten(pixels, 1.05),
    "darker.png": lambda pixels: brighten(pixels, 0.95),
    "cropped_all_round.png": lambda pixels: crop(pixels, 0.03, 0.03, 0.03, 0.03),
    "cropped_at_a_corner.png": lambda pixels: crop(pixels, 0.03, 0, 0.03, 0),
    "cropped_below.png": lambda pixels: crop(pixels, 0, 0.03, 0, 0),
    "all_of_it.jpg": lambda pixels: brighten(scale(crop(pixels, 0.03, 0.03, 0.03, 0.03), 0.6), 1.05),
}


def read_benchmark(shared: Path) -> list[dict[str, str]]:
    table = shared / "data" / "benchmark.csv"
    if not table.is_file():
        pytest.skip("the shared data has no benchmark.csv")
    return list(csv.DictReader(io.StringIO(table.read_text())))


def test_exactly_the_altered_copies_of_real_radiographs_are_found(shared, tmp_path):
    table = read_benchmark(shared)
    originals, copies, planted = [], [], set()
    for collection in COLLECTIONS:
        paths = [fields["path"] for fields in table if fields["dataset"] == collection]
        for path in paths[:: len(paths) // 8][:8]:
            originals.append(Record(path, file=shared / "data" / path))
            pixels = cv2.imread(str(originals[-1].file), cv2.IMREAD_GRAYSCALE)
            for name, alter in ALTERED.items():
                copy = Record(f"{path}/{name}", file=tmp_path / f"{len(copies)}{Path(name).suffix}")
                quality = [cv2.IMWRITE_JPEG_QUALITY, 60] if name.endswith("jpg") else []
                assert cv2.imwrite(str(copy.file), alter(pixels), quality)
                copies.append(copy)
                planted.add((path, copy.id))
    found = duplicates.find_duplicates({"train": originals, "test": copies})
    assert len(originals) == 40
    assert {(pair.first, pair.second) for pair in found if pair.first_split == "train"} == planted
    assert all(pair.second.startswith(pair.first.rpartition("/")[0]) for pair in found if pair.first_split == "test")
    assert {pair.difference for pair in found if pair.first_split == "train"} == {"split"}


@pytest.mark.slow
def test_benchmark_has_three_visible_pairs_and_no_false_alarm(shared):
    plan: dict[str, list[Record]] = {}
    for fields in read_benchmark(shared):
        file = shared / "data" / fields["path"]
        row = Record(file.name, file=file, label=fields["label"], patient_id=fields["patient_id"])
        plan.setdefault(fields["split"], []).append(row)
    found = {frozenset((pair.first, pair.second)): pair.difference for pair in duplicates.find_duplicates(plan)}
    assert found == {
        frozenset(("101-210-500-500-100.jpg", "201-210-500-500-100.jpg")): "",
        frozenset(("2-chest-filmc.jpg", "7-fatal-covid19.jpg")): "",
        frozenset(("Tuberculosis-468.png", "Tuberculosis-470.png")): "split",
    }


def test_similarity_does_not_depend_on_depth_and_inversion():
    pixels = draw_image("one", (90, 70))
    plain = fingerprint.compute(Radiograph(pixels, "", "png"))
    deep = fingerprint.compute(Radiograph(65535 - 257 * pixels.astype(np.uint16), "", "dicom", inverted=True))
    np.testing.assert_array_equal(plain.hashes, deep.hashes)
    np.testing.assert_allclose(plain.thumbnail, deep.thumbnail.astype(int), atol=1)
    assert fingerprint.similarity(plain.thumbnail, deep.thumbnail) > 0.99
    assert fingerprint.similarity(plain.thumbnail, plain.thumbnail[:, ::-1]) < 0.5


def test_near_hashes_are_found_across_chunks_and_windows():
    """A distance of 64 of 256 bits is near and 65 is not, between full images and between a window and a full image."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (600, 6, 256), np.uint8)

    def copy(source: int, target: int, window: int, flipped: int) -> None:
        bits[target, 0] = bits[source, window]
        bits[target, 0, :flipped] ^= 1

    copy(0, 1, 0, 64)
    copy(2, 3, 0, 65)
    copy(4, 599, 5, 64)
    copy(598, 5, 3, 0)
    thumbnail = np.zeros((64, 64), np.uint8)
    prints = [Fingerprint(np.packbits(one, axis=1).view(np.uint64), thumbnail) for one in bits]
    assert sorted(itertools.chain(*fingerprint.find_near(prints))) == [(0, 1), (4, 599), (5, 598)]


def test_pair_lists_differences_and_ignores_one_patient(tmp_path):
    save_image(tmp_path / "a.png", draw_image("a"))
    (tmp_path / "bad.png").write_bytes(b"no picture")

    def row(name: str, label: str, patient: str) -> Record:
        return Record(name, file=tmp_path / "a.png", label=label, patient_id=patient)

    unreadable, drawn = Record("unreadable", file=tmp_path / "bad.png"), Record("drawn")
    plan = {
        "train": [row("1", "viral", "p"), unreadable, row("2", "viral", "p"), row("3", "normal", "p"), drawn],
        "test": [row("4", "viral", "q"), row("5", "", "")],
    }
    pairs = duplicates.find_duplicates(plan)
    found = {pair.first + pair.second: (pair.difference, pair.similarity) for pair in pairs}
    assert found == {
        "13": ("label", 1.0),
        "23": ("label", 1.0),
        "14": ("split", 1.0),
        "15": ("split", 1.0),
        "24": ("split", 1.0),
        "25": ("split", 1.0),
        "34": ("label and split", 1.0),
        "35": ("split", 1.0),
        "45": ("", 1.0),
    }
    assert duplicates.warn_of_pairs_across_splits(pairs).startswith(
        "6 pairs of near-duplicates are in different splits"
    )
    assert duplicates.find_duplicates({"train": [drawn]}) == []
    assert duplicates.warn_of_pairs_across_splits([]) == ""


def link(*names: str) -> list[Pair]:
    """Return the pairs of each name with the next."""
    return [Pair(one, other, "", "", "", "", "", 1.0) for one, other in itertools.pairwise(names)]


def test_one_of_each_duplicate_set_remains_unless_labels_disagree():
    labels = {"a": "viral", "b": "viral", "c": "", "d": "normal", "e": "viral", "f": "", "g": "viral", "h": "viral"}
    rows = {name: Record(name, label=label) for name, label in labels.items()}
    plan = {"train": [rows[name] for name in "abcd"], "test": [rows[name] for name in "efgh"], "val": []}
    pairs = [*link("g", "a", "b"), *link("d", "c", "e"), *link("f", "h")]  # a-b-g, c-d-e, f-h
    kept, dropped = duplicates.drop_duplicates(plan, pairs)
    assert {split: [row.id for row in rows] for split, rows in kept.items()} == {"train": ["a"], "test": ["h"]}
    assert {skip.id: skip.reason.removeprefix("near-duplicate of ") for skip in dropped} == {
        "b": "a, which is kept",
        "c": "d, whose label is normal",
        "d": "e, whose label is viral",
        "e": "d, whose label is normal",
        "f": "h, which is kept",
        "g": "a, which is kept",
    }
    with pytest.raises(PreparationError, match="nothing is left"):
        duplicates.drop_duplicates({"train": [rows["d"], rows["e"]]}, link("d", "e"))


def prepare(folder: Path, name: str, lines: list[str], *more: str) -> Path:
    table = folder / f"{name}.csv"
    table.write_text("\n".join(["path,label,split", *lines]))
    assert main(["table", f"--csv={table}", f"--out={folder}", f"--name={name}", *more]) == 0
    return folder / name


def test_duplicates_are_dropped_from_a_data_set_and_reported(tmp_path):
    for name in ("a", "b", "c"):
        save_image(tmp_path / f"{name}.png", draw_image(name))
    save_image(tmp_path / "copy.jpg", draw_image("a"))
    lines = ["a.png,viral,train", "b.png,normal,train", "copy.jpg,viral,test", "c.png,normal,test"]
    folder = prepare(tmp_path, "clean", lines, "--duplicates=drop") / "2.0.0"
    splits = tfds.builder_from_directory(folder).as_data_source()
    assert {str(split): [one["id"] for one in records] for split, records in splits.items()} == {
        "train": [b"a.png", b"b.png"],
        "test": [b"c.png"],
    }
    report = json.loads((folder / "report.json").read_text())
    assert [(entry["name"], entry["reason"]) for entry in report["skipped"]] == [
        ("copy.jpg", "near-duplicate of a.png, which is kept")
    ]
    (pair,) = report["duplicates"]
    assert (pair["first"], pair["second"], pair["difference"]) == ("a.png", "copy.jpg", "split")


def test_duplicates_across_data_sets_are_listed(tmp_path, capsys):
    for name in ("a", "b", "c"):
        save_image(tmp_path / f"{name}.png", draw_image(name))
    save_image(tmp_path / "copy.jpg", draw_image("a"))
    ours = prepare(tmp_path, "ours", ["a.png,viral,train", "b.png,normal,train"])
    theirs = prepare(tmp_path, "theirs", ["c.png,viral,test", "copy.jpg,normal,test"]) / "2.0.0"
    capsys.readouterr()
    assert main(["duplicates", str(ours), str(theirs)]) == 0
    (found,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (found["first"], found["second"]) == (f"{ours}:a.png", f"{theirs}:copy.jpg")
    assert (found["difference"], found["first_label"], found["second_split"]) == ("label and split", "viral", "test")
    assert float(found["similarity"]) > 0.9
    assert main(["duplicates", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"data_prep duplicates: {tmp_path}: no prepared data set is here (OUT/NAME or OUT/NAME/VERSION is needed)\n"
    )
