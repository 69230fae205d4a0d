"""Folders that name classes and splits, and files that are masks."""

from collections import Counter

import pytest

from data_prep.__main__ import main
from data_prep.collections.labels import unify_spellings
from data_prep.record import PreparationError
from tests.helpers.image_files import save_image

CLASSES = ("NORMAL", "PNEUMONIA")


def fill(folder, *names):
    for name in names:
        save_image(folder / name)
    return folder


def count_labels_and_splits(found):
    """Count the radiographs by (label, split)."""
    return Counter((row.label, row.split) for row in found.records.values())


@pytest.mark.parametrize(
    "form", ["{split}/{label}/{n}.png", "chest_xray/{split}/{label}/{n}.png", "{label}/{split}/{n}.png"]
)
def test_folders_named_like_splits_are_splits(survey, tmp_path, form):
    splits = {"train": "train", "Validation_set": "val", "TEST": "test"}
    names = [form.format(split=split, label=label, n=f"{split}{label}") for split in splits for label in CLASSES]
    found = survey("folder", fill(tmp_path / "in", *names))
    assert count_labels_and_splits(found) == {
        (label, split): 1 for label in ("normal", "PNEUMONIA") for split in splits.values()
    }


def test_splits_of_folders_are_used(tmp_path, capsys):
    names = [
        f"{split}/{label}/{split}{k}.png" for split in ("train", "val", "test") for label in CLASSES for k in (0, 1)
    ]
    fill(tmp_path / "in", *names)
    assert main(["folder", f"--raw_dir={tmp_path / 'in'}", f"--out={tmp_path / 'out'}", "--duplicates=off"]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0].startswith("train 4 (PNEUMONIA 2, normal 2); val 4 (PNEUMONIA 2, normal 2); test 4")
    assert "the splits train, val, test are those of the folders of these names" in output[-1]
    assert output[1].startswith("warning: only 4 radiographs in the split val, too few to choose the best epoch")
    assert output[2] == (
        "warning: 12 of 12 radiographs have no known patient: nothing keeps the radiographs of a patient in one split; "
        "a table with the column patient_id does"
    )


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("Training Set", "dev", "hold-out"), ("train", "val", "test")),
        (("01_train", "02_valid", "images_test"), ("train", "val", "test")),
        (("stage_2_train_images", "stage_2_test_images"), ("train", "test")),
        (("Fold 1", "fold_02", "fold10"), ("fold1", "fold2", "fold10")),
    ],
)
def test_other_names_of_splits_are_recognized(survey, tmp_path, names, splits):
    found = survey("folder", fill(tmp_path / "in", *(f"{name}/{label}/a.png" for name in names for label in CLASSES)))
    assert count_labels_and_splits(found) == {
        (label, split): 1 for label in ("normal", "PNEUMONIA") for split in splits
    }


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["normal/a.png", "tb/b.png", "test/c.png"], "test is named like a split, but normal and tb are not"),
        (["train/a.png", "test/b.png"], "test and train are named like a split, but without one folder per class"),
        (["train/NORMAL/a.png", "test/b.png"], "test is named like a split, but without one folder"),
        (["images/a.png", "masks/a.png"], "images is not named like a class"),
        (["train/images/a.png", "train/masks/a.png", "test/images/b.png"], "without one folder per class"),
        (["images/a.png", "labels/a.png"], "images is not named like a class"),
        (["images/a.png", "normal/a.png"], "images is not named like a class"),
        (["train_TB/a.png", "test_TB/a.png", "train_HIV/a.png"], "are named like a split and a class in one"),
        (["trainNORMAL/a.png", "testNORMAL/a.png"], "are named like a split and a class in one"),
        (["d/images/train/images/TB/a.png", "d/images/test/images/TB/b.png"], "without one folder per class"),
        (["masks/a.png"], "no radiograph in a folder of a class"),
    ],
)
def test_folders_that_are_not_classes_are_refused(survey, tmp_path, names, sentence):
    with pytest.raises(PreparationError, match=sentence):
        survey("folder", fill(tmp_path / "in", *names))


def test_masks_are_skipped(survey, tmp_path):
    names = [f"{label}/{part}/1.png" for label in CLASSES for part in ("images", "masks", "Lung_Segmentation")]
    names += ["NORMAL/2.png", "NORMAL/2_mask.png", "NORMAL/2_seg.png", "NORMAL/skeleton_seg.png", "annotations/3.png"]
    found = survey("folder", fill(tmp_path / "in", *names))
    assert set(found.records) == {
        "NORMAL/images/1.png",
        "PNEUMONIA/images/1.png",
        "NORMAL/2.png",
        "NORMAL/skeleton_seg.png",
    }
    assert {name for name, reason in found.skipped.items() if "a mask" in reason} == set(names) - set(found.records)


def test_other_names_of_masks_are_recognized(survey, tmp_path):
    radiographs = ["TB/images/1.png", "N/1.png", "N/lungs.png", "lung/1.png"]
    masks = [
        "TB/labels/1.png",
        "TB/Lungs/1.png",
        "N/1_mask_left.png",
        "N/1_lungmask.png",
        "N/1mask.png",
        "N/1_label.png",
    ]
    masks += ["N/SegmentationClass/1.png", "N/lung_seg/1.png", "N/ROI/1.png", "N/overlays/1.png", "N/Masques/1.png"]
    found = survey("folder", fill(tmp_path / "in", *radiographs, *masks))
    assert (set(found.records), set(found.skipped)) == (set(radiographs), set(masks))


def test_linked_class_folder_is_read(survey, tmp_path):
    fill(tmp_path, "in/normal/a.png", "elsewhere/b.png")
    (tmp_path / "in" / "covid19").symlink_to(tmp_path / "elsewhere")
    assert survey("folder", tmp_path / "in").attribute("label") == {
        "covid19/b.png": "covid19",
        "normal/a.png": "normal",
    }


def test_name_that_is_not_utf8_is_stored_with_escapes(tmp_path):
    fill(tmp_path / "in", "normal/a.png", "tb/c.png")
    (tmp_path / "in/normal/a.png").rename(str(tmp_path / "in/normal") + "/R\udcf6ntgen.png")
    assert main(["folder", f"--raw_dir={tmp_path / 'in'}", f"--out={tmp_path / 'out'}", "--split_ratios=1,0,0"]) == 0
    assert r"normal/R\xf6ntgen.png,,train" in (tmp_path / "out/folder/2.0.0/splits.csv").read_text()


def test_spellings_of_a_label_are_merged():
    words = ["Normal", "NORMAL", "COVID-19", "covid19", "Lung_Opacity", "lung opacity", "lung opacity", "TB"]
    assert unify_spellings(words) == {
        "Normal": "normal", "NORMAL": "normal", "COVID-19": "covid19", "covid19": "covid19",
        "Lung_Opacity": "lung opacity", "lung opacity": "lung opacity", "TB": "tuberculosis",
    }  # fmt: skip


def test_different_labels_are_not_merged():
    words = ["COVID+", "COVID-", "grade 1", "grade 1+", "1-2", "12", "-1", "1", "肺炎", "正常"]
    assert len(set(unify_spellings(words).values())) == len(words)
