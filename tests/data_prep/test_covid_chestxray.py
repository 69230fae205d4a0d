"""The COVID-19 image data collection: listed and skipped records, masks, and committed splits."""

import csv
import json
from collections import Counter

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import splits
from data_prep.__main__ import main
from data_prep.collections.ieee8023_labels import map_label
from data_prep.collections.spreadsheet import read_csv
from data_prep.covid_chestxray.source import SOURCE
from data_prep.options import Options
from data_prep.reader import read_example
from data_prep.record import Record, RecordError, SkippedRecord
from tests.data_prep.fixtures.covid_chestxray import write
from tests.helpers.image_files import draw_lung_mask

NAME = "covid-chestxray-dataset"


@pytest.fixture
def entries(tmp_path):
    write(tmp_path)
    return list(SOURCE.records(tmp_path, Options()))


def test_only_frontal_radiographs_with_a_finding_are_listed(entries):
    assert [(row.id, row.reason) for row in entries if isinstance(row, SkippedRecord)] == [
        ("images/lateral.jpg", "lateral view"),
        ("images/slice.jpg", "CT, not a radiograph"),
        ("volumes/volume.nii.gz", "CT, not a radiograph"),  # rather than "no such file"
        ("images/unstated.jpg", "view not stated"),
        ("images/todo.jpg", "finding not stated"),
        ("images/gone.jpg", "no such file"),
        ("images/normal.jpg", "listed a second time in metadata.csv"),
    ]
    labels = Counter(row.label for row in entries if isinstance(row, Record))
    assert labels == {"covid19": 4, "viral": 1, "bacterial": 1, "fungal": 1, "normal": 1, "pneumonia": 1}


def test_record_has_the_metadata_of_its_row(entries):
    rows = {row.id: row for row in entries if isinstance(row, Record)}
    second = rows["images/second.png"]
    assert (second.patient_id, second.upstream_label, second.view) == ("ieee8023-2", "COVID-19, ARDS", "AP Supine")
    assert (second.sex, second.age, second.license) == ("M", 65, "CC BY-NC-SA")
    assert rows["images/first.jpg"].license == "not stated"
    assert len({row.patient_id for row in rows.values()}) == 7  # nine radiographs, three of them of patient 2


def test_manual_masks_are_preferred_to_predicted_ones(entries):
    rows = {row.id: row for row in entries if isinstance(row, Record)}
    assert rows["images/first.jpg"].masks["lungs"].parent.name == "lung_masks_v7"
    assert rows["images/second.png"].masks["lungs"].name == "second_mask.png"
    assert not rows["images/third.jpg"].masks
    example = read_example(rows["images/second.png"])
    assert example.mask_kind == "lungs"
    mask = cv2.imdecode(np.frombuffer(example.mask, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask, draw_lung_mask("left"))


def test_truncated_file_is_refused(entries):
    (row,) = [row for row in entries if row.id == "images/cut-off.png"]
    with pytest.raises(RecordError, match="truncated or damaged PNG"):
        read_example(row)


@pytest.mark.parametrize(
    ("finding", "label"),
    [
        ("COVID-19", "covid19"),
        ("Pneumonia/Viral/COVID-19", "covid19"),
        ("COVID-19, ARDS", "covid19"),
        ("Pneumonia/Viral/SARS", "viral"),
        ("Pneumonia/Viral/MERS-CoV", "viral"),
        ("Pneumonia/Viral/Herpes ", "viral"),
        ("Pneumonia/Viral/Influenza/H1N1", "viral"),
        ("Varicella", "viral"),
        ("Mycoplasma Bacterial Pneumonia", "bacterial"),
        ("E.Coli", "bacterial"),
        ("Pneumonia/Bacterial/Staphylococcus/MRSA", "bacterial"),
        ("Pneumocystis", "fungal"),
        ("Pneumonia/Fungal/Aspergillosis", "fungal"),
        ("Tuberculosis", "tuberculosis"),
        ("No Finding", "normal"),
        ("No finding", "normal"),
        ("Pneumonia", "pneumonia"),
        ("Pneumonia/Lipoid", "lipoid"),
        ("Pneumonia/Aspiration", "aspiration"),
        ("ARDS", "ards"),
        ("Unknown", ""),
        ("todo", ""),
        ("", ""),
    ],
)
def test_findings_of_old_and_new_versions(finding, label):
    assert map_label(finding) == label


@pytest.fixture
def metadata(shared):
    path = shared / "data" / NAME / "metadata.csv"
    if not path.is_file():
        pytest.skip(f"the shared data has no {NAME}")
    return read_csv(path, "patientid", "finding")


@pytest.fixture
def benchmark(shared):
    with (shared / "data" / "benchmark.csv").open(newline="") as file:
        return [fields for fields in csv.DictReader(file) if fields["dataset"] == NAME]


def test_all_available_real_files_are_prepared(shared, metadata, benchmark, tmp_path):
    assert main(["covid_chestxray", f"--raw_dir={shared / 'data' / NAME}", f"--out={tmp_path}"]) == 0
    folder = tmp_path / "covid_chestxray" / "2.0.0"
    report = json.loads((folder / "report.json").read_text())
    assert report["counts"] == {"train": {"covid19": 214}, "val": {"covid19": 36}, "test": {"covid19": 106}}
    reasons = Counter(entry["reason"] for entry in report["skipped"])
    # Counted by hand in metadata.csv: 84 CT; of the 674 radiographs 57 L and 39 of no view; 51 todo or Unknown.
    assert reasons == {
        "CT, not a radiograph": 84,
        "lateral view": 57,
        "view not stated": 39,
        "finding not stated": 51,
        "no such file": 171,
    }
    assert 356 + reasons.total() == len(metadata) == 758
    benchmark_rows = {fields["path"].split("/")[-1]: fields for fields in benchmark}
    for records in tfds.builder_from_directory(folder).as_data_source().values():
        for record in records:
            fields = benchmark_rows.pop(record["path"].decode().split("/")[-1])
            assert record["patient_id"].decode() == fields["patient_id"]
            assert record["view"].decode() == fields["view"]
            assert bool(record["mask"]) == bool(fields["mask"])
    assert not benchmark_rows


def test_committed_splits_match_the_benchmark(metadata, benchmark):
    committed = {patient: split for (_, patient), split in splits.read_table(SOURCE.splits_table()).items()}
    assert set(committed) == {SOURCE.patient_id(fields["patientid"]) for fields in metadata}
    known = {fields["patient_id"]: fields["split"] for fields in benchmark}
    assert known.items() <= committed.items()
    drawn = Counter(split for patient, split in committed.items() if patient not in known)
    assert (len(committed), len(known), drawn.total()) == (387, 259, 128)
    for split, share in zip(splits.SPLIT_NAMES, SOURCE.split_ratios, strict=True):
        assert drawn[split] / drawn.total() == pytest.approx(share, abs=0.05)
