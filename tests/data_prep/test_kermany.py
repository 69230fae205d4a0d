"""Kermany and CoronaHack, which contains its images: labels and patients from file names."""

import csv
from collections import Counter

import pytest

from data_prep.kermany.file_names import read_name


@pytest.mark.parametrize(
    ("stem", "label", "patient"),
    [
        ("person419_bacteria_1844", "bacterial", "kermany-person419"),
        ("person8_virus_27", "viral", "kermany-person8"),
        ("IM-0343-0001", "normal", "kermany-IM-0343"),
        ("NORMAL2-IM-0343-0001", "normal", "kermany-IM-0343"),
        ("NORMAL2-IM-1152-0001-0002", "normal", "kermany-IM-1152"),
        ("BACTERIA-1083680-0001", "bacterial", "kermany-1083680"),
        ("nejmc2001573_f1a", "", ""),
        ("person_bacteria", "", ""),
    ],
)
def test_name_gives_finding_and_patient(stem, label, patient):
    assert read_name(stem) == (label, patient)


def test_kermany_labels_patients_and_skipped_files(survey):
    found = survey("kermany")
    assert Counter(found.attribute("label").values()) == {"normal": 4, "bacterial": 3, "viral": 2, "pneumonia": 1}
    patients = Counter(found.attribute("patient_id").values())
    assert patients["kermany-person1"] == 3  # two of train, one of test
    assert patients["kermany-IM-0115"] == 2
    assert len(patients - Counter([""])) == 6
    assert found.skipped == {"val/NORMAL/NORMAL2-IM-1427-0001.jpeg": "truncated or damaged JPEG file"}
    assert not any(row.split for row in found.records.values())


def test_coronahack_labels_and_upstream_labels(survey):
    found = survey("coronahack")
    assert Counter(found.attribute("label").values()) == {
        "normal": 2,
        "bacterial": 3,
        "viral": 2,
        "covid19": 1,
        "ards": 1,
    }
    assert found.examples["train/SARS-10.1148rg.242035193.jpeg"].upstream_label == "Pnemonia/Virus/SARS"
    assert found.examples["train/nejmc2001573_f1a.jpeg"].patient_id == ""
    assert found.examples["train/person1_bacteria_2.jpeg"].patient_id == "kermany-person1"
    assert found.skipped == {"train/gone.jpeg": "no such file", "test/IM-0003-0001.jpeg": "finding not stated"}


def test_labels_of_real_images_match_the_benchmark(survey, shared):
    table, folder = shared / "data" / "benchmark.csv", shared / "data" / "chest_xray"
    if not (table.is_file() and folder.is_dir()):
        pytest.skip("the shared data has no benchmark.csv or no chest_xray")
    found = survey("kermany", folder)
    assert Counter(found.attribute("label").values()) == {"normal": 150, "bacterial": 150, "viral": 150}
    with table.open(newline="") as file:
        benchmark_rows = {row["path"]: row for row in csv.DictReader(file) if row["dataset"] == "chest_xray"}
    assert len(benchmark_rows) == 450
    for name, example in found.examples.items():
        row = benchmark_rows[f"chest_xray/{name}"]
        assert (example.label, example.patient_id) == (row["label"], row["patient_id"])
