"""A user's own folder: labels in the shared vocabulary, patients by a pattern, and skipped files."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cxrjax.io import prepared, radiograph
from data_prep.collections.labels import normalize_label
from data_prep.folder.source import FolderOptions
from data_prep.prepare import prepare
from data_prep.record import PreparationError
from data_prep.source import find_sources

ROOT = Path(__file__).resolve().parents[2]


def test_folder_records_have_labels_metadata_and_skip_reasons(survey):
    found = survey("folder")
    labels = {"covid19": 2, "normal": 2, "viral": 1, "tuberculosis": 2, "Cardiomegaly": 1}
    assert Counter(found.attribute("label").values()) == labels
    assert found.examples["NORMAL/2020/march/p03_a.png"].upstream_label == "NORMAL"
    assert found.examples["TB/p06_a.dcm"].age == 45
    assert set(found.attribute("source").values()) == {"upstream"}
    assert found.skipped == {
        "NORMAL/notes.txt": "not an image",
        "NORMAL/p07_a.png": "truncated or damaged PNG file",
        "TB/p06_side.dcm": "lateral view, by its ViewPosition",
        "TB/p06_slice.dcm": "CT, not a radiograph, by its Modality",
        "stray.png": "in no folder of a class",
    }


def test_first_group_of_the_pattern_is_the_patient(survey):
    patient_ids = survey("folder", patients="^(p[0-9]+)_").attribute("patient_id")
    assert patient_ids["COVID-19/p01_a.png"] == patient_ids["COVID-19/p01_b.jpg"] == "p01"
    assert patient_ids["Cardiomegaly/nameless.png"] == ""


@pytest.mark.parametrize("pattern", ["^p[0-9]+_", "(p"])
def test_invalid_pattern_is_named(survey, pattern):
    with pytest.raises(PreparationError, match="--patients="):
        survey("folder", patients=pattern)


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("COVID-19", "covid19"),
        ("Covid", "covid19"),
        ("Viral Pneumonia", "viral"),
        ("bacterial_pneumonia", "bacterial"),
        ("TB", "tuberculosis"),
        ("NORMAL", "normal"),
        ("PNEUMONIA", "PNEUMONIA"),
        ("Lung_Opacity", "Lung_Opacity"),
    ],
)
def test_labels_with_the_same_meaning_are_equal(word, label):
    assert normalize_label(word) == label


def test_real_tuberculosis(survey, shared):
    folder = shared / "data" / "tuberculosis"
    if not folder.is_dir():
        pytest.skip("the shared data has no tuberculosis")
    found = survey("folder", folder)
    assert Counter(found.attribute("label").values()) == {"tuberculosis": 150, "normal": 150}
    assert not found.skipped


def test_real_dicom_files(survey, shared, tmp_path):
    if not (shared / "data" / "dicom").is_dir():
        pytest.skip("the shared data has no dicom")
    shutil.copytree(shared / "data" / "dicom", tmp_path / "mine" / "Nodule")
    found = survey("folder", tmp_path / "mine")
    assert Counter(found.attribute("label").values()) == {"Nodule": 2}
    assert not found.skipped
    for name, example in found.examples.items():
        read, stored = radiograph.read(tmp_path / "mine" / name), prepared.decode(example.to_dict())
        np.testing.assert_array_equal(stored.pixels, read.pixels)
        assert (stored.format, stored.inverted) == (read.format, read.inverted)


def test_missing_raw_dir_is_named(tmp_path):
    with pytest.raises(PreparationError, match="absent: no such folder; --raw_dir names it"):
        prepare(find_sources()["folder"], FolderOptions(raw_dir=str(tmp_path / "absent"), out=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_list_with_closed_output_pipe_exits_without_error():
    command = f"{sys.executable} -m data_prep --list | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr) == (0, "")
