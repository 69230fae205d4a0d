"""The data card: counts, warnings of confounding, and the contact sheet."""

import csv
import itertools
import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep.__main__ import main
from data_prep.checks.confounding import labels_of_one_source, predict_label, uncertainty_coefficient
from data_prep.dataset_card import contact_sheet
from tests.helpers.image_files import draw_image, draw_lung_mask, save_image

COLUMNS = ["path", "label", "dataset", "split", "patient_id", "view", "sex", "age", "mask", "license"]
# path, label, source, split, patient, view, sex, age, mask, license; pictures are 64 x 56, those of "b" 40 x 80; the
# copy is one of 1.png, and the last is not there
ROWS = [
    ("1.png", "viral", "a", "train", "p1", "PA", "F", "17.5", "m.png", "CC0-1.0"),
    ("2.png", "viral", "a", "train", "p1", "PA", "F", "18", "", "CC0-1.0"),
    ("3.png", "normal", "a", "train", "", "AP", "M", "80", "", "CC|BY"),
    ("4.png", "normal", "b", "train", "p2", "PA", "M", "", "", "CC|BY"),
    ("5.png", "normal", "b", "train", "p3", "PA", "", "59", "", "CC|BY"),
    ("6.png", "viral", "a", "test", "p4", "PA", "", "60", "", "CC|BY"),
    ("7.png", "nodule", "b", "test", "p5", "", "", "101", "", "CC|BY"),
    ("8.png", "normal", "b", "test", "p6", "PA", "", "39", "", "CC|BY"),
    ("9.png", "", "b", "test", "p6", "PA", "", "40", "", "CC|BY"),
    ("copy.jpg", "viral", "a", "test", "p7", "PA", "F", "17.5", "", ""),
    ("gone.png", "viral", "a", "train", "p9", "PA", "F", "17.5", "", "CC0-1.0"),
]


@pytest.fixture(scope="module")
def version(tmp_path_factory) -> Path:
    """Prepare and describe the data set of the rows, and return its folder."""
    folder = tmp_path_factory.mktemp("card")
    for path, _, source, *_ in ROWS[:-1]:
        save_image(
            folder / path, draw_image(path.replace("copy.jpg", "1.png"), (40, 80) if source == "b" else (64, 56))
        )
    save_image(folder / "m.png", draw_lung_mask("left") + draw_lung_mask("right"))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *ROWS])
    assert main(["table", f"--csv={folder / 'table.csv'}", f"--out={folder}", "--name=small"]) == 0
    assert main(["describe", str(folder / "small")]) == 0
    return folder / "small" / "2.0.0"


@pytest.fixture(scope="module")
def card(version: Path) -> dict:
    return json.loads((version / "card" / "card.json").read_text())


def test_counts_match_the_table(card):
    assert (card["name"], card["version"], card["radiographs"], card["splits"]) == (
        "small",
        "2.0.0",
        10,
        ["train", "test"],
    )
    counts = card["counts"]
    assert counts["label"] == {
        "normal": {"train": 3, "test": 1},
        "viral": {"train": 2, "test": 2},
        "nodule": {"test": 1},
        "unlabeled": {"test": 1},
    }
    assert counts["source"] == {"a": {"train": 3, "test": 2}, "b": {"train": 2, "test": 3}}
    assert counts["sex"] == {"not known": {"train": 1, "test": 4}, "F": {"train": 2, "test": 1}, "M": {"train": 2}}
    assert {band: sum(row.values()) for band, row in counts["age"].items()} == {
        "under 18": 2,  # 17.5 and its copy
        "18 to 39": 2,
        "40 to 59": 2,
        "60 to 79": 1,
        "80 and over": 2,
        "not known": 1,
    }
    assert counts["view"]["AP"] == {"train": 1}
    assert counts["mask"] == {"none": {"train": 4, "test": 5}, "lungs": {"train": 1}}
    assert counts["license"]["not known"] == {"test": 1}
    assert card["patients"] == {
        "train": {"patients": 3, "radiographs without": 1},
        "test": {"patients": 4, "radiographs without": 0},
    }
    assert card["label_and_source"]["normal"] == {"a": 1, "b": 3}
    assert card["resolution"]["b"]["width"] == dict.fromkeys(("smallest", "25%", "median", "75%", "largest"), 80)
    assert card["resolution"]["all"]["height"] == {"smallest": 40, "25%": 40, "median": 52, "75%": 64, "largest": 64}


def test_warnings_of_confounding_and_duplicates(card):
    """Train predicts viral for a, else normal. The test split has viral a twice, nodule b and normal b: 3 of 4."""
    source, view, _ = card["baselines"]
    assert (source["attribute"], source["values"], source["accuracy"], source["without"]) == ("source", 2, 0.75, 0.25)
    assert view["accuracy"] == 0.25  # PA: normal and viral are equally frequent, the first in the alphabet; "": normal
    first, *rest = card["warnings"]
    assert (
        first.startswith("The label is confounded with the source")
        and "75% of the radiographs" in first
        and "25%" in first
    )
    assert not any("with the view" in sentence for sentence in rest)
    assert any("viral (a)" in sentence and "nodule (b)" in sentence and "normal" not in sentence for sentence in rest)
    assert rest[-1] == "A pair of near-duplicates has different splits: test images were seen in training."


def test_card_is_not_written_through_a_link(version, tmp_path, capsys):
    copy, mine = tmp_path / "1/2.0.0", tmp_path / "mine"
    shutil.copytree(version, copy)
    mine.mkdir()
    (mine / "a.png").write_bytes(b"mine")
    shutil.rmtree(copy / "card")
    (copy / "card").symlink_to(mine)
    assert main(["describe", str(copy)]) == 2
    assert "card: is a link" in capsys.readouterr().err
    (copy / "card").unlink()
    (copy / "card").mkdir()
    for name in (".sheet.png.part", "card.md"):
        (copy / "card" / name).symlink_to(mine / "a.png")
    assert main(["describe", str(copy)]) == 0
    assert [(file.name, file.read_bytes()) for file in mine.iterdir()] == [("a.png", b"mine")]


def test_markdown_of_the_card(version):
    text = (version / "card" / "card.md").read_text()
    assert "| normal | 3 | 1 | 4 |" in text
    assert "| all | 5 | 5 | 10 |" in text
    assert "| CC\\|BY | 3 | 4 | 7 |" in text
    assert "| 1.png | copy.jpg | viral | viral | train | test |" in text
    assert "| no such file or folder | 1 | gone.png |" in text
    assert "no map: all radiographs." in text
    assert "**Warning.** The patients of 1 of 10 radiographs are not known" in text
    assert text.index("**Warning.** The label is confounded with the source") < text.index("## Labels")
    assert "](sheet.png)" in text
    lines = [line.replace("\\|", "") for line in text.splitlines()]
    for above, line in itertools.pairwise(lines):
        if above.startswith("|") and line.startswith("|"):  # one table: as many cells in every row
            assert line.count("|") == above.count("|")


def test_card_is_reproducible(version, capsys):
    before = {path.name: path.read_bytes() for path in (version / "card").iterdir()}
    assert sorted(before) == ["card.json", "card.md", "sheet.png"]
    assert main(["describe", str(version)]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0] == f"described 10 radiographs: {version / 'card' / 'card.md'}"
    assert output[1].startswith("warning: The label is confounded with the source")
    assert {path.name: path.read_bytes() for path in (version / "card").iterdir()} == before
    assert len(tfds.builder_from_directory(version).as_data_source("train")) == 5


def test_sheet_has_one_row_per_label_of_a_source(version):
    """The rows, a line of text and images each: normal a, normal b, viral a, nodule b, unlabeled b."""
    sheet = cv2.imread(str(version / "card" / "sheet.png"))
    side = contact_sheet.SIDE + contact_sheet.GAP
    assert sheet.shape == (
        5 * (contact_sheet.CAPTION_HEIGHT + side) + contact_sheet.CAPTION_HEIGHT,
        contact_sheet.COLUMNS * side,
        3,
    )
    original = draw_image("3.png", (64, 56)).astype(float)
    top = contact_sheet.CAPTION_HEIGHT
    picture = sheet[top + 2 : top + side - 2, : contact_sheet.SIDE + 4]
    width = round(56 * contact_sheet.SIDE / 64)
    left = (side - width) // 2
    shown = cv2.resize(picture[:, left : left + width, 0], (56, 64), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shown.ravel(), original.ravel())[0, 1] > 0.99


def test_masks_are_outlined_at_their_positions(tmp_path):
    pixels = np.full((64, 64), 100, np.uint8)
    pixels[0] = 0
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 8:24], mask[16:48, 40:56] = 3, 2
    record = {"image": cv2.imencode(".png", pixels)[1].tobytes(), "path": "x.png", "mask_kind": "structures"}
    record["mask"] = cv2.imencode(".png", mask)[1].tobytes()
    sheet = contact_sheet.draw_contact_sheet([("one", [record])])
    first = sheet[contact_sheet.CAPTION_HEIGHT + 2 :][: contact_sheet.SIDE, 2 : 2 + contact_sheet.SIDE].astype(int)
    colored = np.ptp(first, axis=2) > 50
    rows, columns = np.nonzero(colored)
    scale = contact_sheet.SIDE / 64
    np.testing.assert_allclose(
        [rows.min(), rows.max(), columns.min(), columns.max()], np.multiply([16, 48, 8, 56], scale), atol=2
    )
    red = colored & (first[..., 1] > first[..., 0])  # the patient's right lung is green
    assert np.nonzero(red)[1].max() < contact_sheet.SIDE / 2


def facts(rows: list[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"split": split, "source": source, "label": label} for split, source, label in rows]


def test_uncertainty_coefficient_by_hand():
    assert uncertainty_coefficient({("a", "x"): 2, ("b", "y"): 5}) == 1
    assert uncertainty_coefficient({("a", "x"): 2, ("a", "y"): 4, ("b", "x"): 1, ("b", "y"): 2}) == pytest.approx(0)
    assert uncertainty_coefficient({("a", "x"): 2, ("b", "x"): 5}) == 0
    # x 3 of 8, y 5 of 8; within a x is 3 of 4, within b none: H(label) = 0.9544, H(label | source) = 0.8113 / 2
    uncertain = -(3 / 8 * math.log2(3 / 8) + 5 / 8 * math.log2(5 / 8))
    left = -(3 / 4 * math.log2(3 / 4) + 1 / 4 * math.log2(1 / 4)) / 2
    found = uncertainty_coefficient({("a", "x"): 3, ("a", "y"): 1, ("b", "y"): 4})
    assert found == pytest.approx(1 - left / uncertain) == pytest.approx(0.5750, abs=1e-4)


def test_labels_are_predicted_for_other_splits_than_learned_from():
    train = [("train", "a", "x")] * 3 + [("train", "a", "y")] + [("train", "b", "y")] * 3
    test = [("test", "a", "x"), ("val", "a", "y"), ("test", "b", "y"), ("test", "new", "y"), ("test", "b", "")]
    found = predict_label(facts(train + test), "source")
    # y is most frequent (4 of 7), which the new source gets: a -> x right once of two, b -> y right, new -> y right
    assert (found.accuracy, found.without, found.values) == (3 / 4, 3 / 4, 3)
    assert not found.is_confounded


def test_without_train_each_split_is_predicted_from_the_others():
    folds = [("fold0", "a", "x"), ("fold0", "b", "y"), ("fold1", "a", "x"), ("fold1", "b", "y"), ("fold1", "c", "z")]
    found = predict_label(facts(folds), "source")
    # fold0 by fold1: both right; without, x: one of two. fold1 by fold0: c is unseen and gets x; without, x: one of 3
    assert (found.accuracy, found.without) == (4 / 5, 2 / 5)
    assert found.is_confounded
    assert predict_label(facts(folds[:2]), "source") is None


def test_labels_of_one_source():
    rows = facts([("train", "a", "x"), ("test", "b", "x"), ("test", "b", "y"), ("test", "b", "")])
    assert labels_of_one_source(rows) == {"y": "b"}
    assert labels_of_one_source(rows[1:]) == {}


def test_phantoms_give_no_warning(tmp_path):
    """Phantoms have no confounders, and chance in a test split of ten gives no warning."""
    assert main(["phantom", f"--out={tmp_path}", "--count=4", "--size=64", "--split_ratios=0.5,0,0.5"]) == 0
    assert main(["describe", str(tmp_path / "phantom")]) == 0
    card = json.loads((tmp_path / "phantom" / "2.0.0" / "card" / "card.json").read_text())
    source = card["baselines"][0]
    assert (source["accuracy"], source["without"], source["uncertainty"]) == (0.2, 0.2, 0)
    assert card["warnings"] == []
    assert card["counts"]["lesions"] == {"map given": {"train": 10, "test": 10}}


@pytest.mark.parametrize("where", ["", "nowhere"])
def test_folder_without_a_data_set_gives_one_sentence_and_status_2(tmp_path, capsys, where):
    assert main(["describe", str(tmp_path / where)]) == 2
    output = capsys.readouterr().err
    assert (
        output.startswith(f"data_prep describe: {tmp_path / where}: no prepared data set") and output.count("\n") == 1
    )


def test_benchmark_confounds_label_and_source(benchmark):
    """Expected from the counts in its README: viral from chest_xray, covid19, nodule, otherwise normal: 420 of 646."""
    assert main(["describe", str(benchmark)]) == 0
    card = json.loads((benchmark / "2.0.0" / "card" / "card.json").read_text())
    source = card["baselines"][0]
    right = (15 + 42) + (36 + 106) + 76 + (15 + 45) + (25 + 60)
    assert source["accuracy"] == pytest.approx(right / 646)
    assert source["without"] == pytest.approx((30 + 90 + 25 + 60 + 46) / 646)
    assert card["labels_of_one_source"] == {
        "bacterial": "chest_xray",
        "covid19": "covid-chestxray-dataset",
        "nodule": "jsrt",
        "tuberculosis": "tuberculosis",
        "viral": "chest_xray",
    }
    assert "Not searched." in (benchmark / "2.0.0" / "card" / "card.md").read_text()
