"""Figure 1 and Actualmed: images of the rows of `metadata.csv`, and their findings."""

import json
import re
from collections import Counter

import pytest

from data_prep.__main__ import main
from data_prep.actualmed.source import SOURCE as ACTUALMED
from data_prep.collections.spreadsheet import read_csv
from data_prep.figure1.source import SOURCE as FIGURE1
from data_prep.options import Options
from data_prep.record import Record, SkippedRecord
from tests.data_prep.fixtures.actualmed import write as write_actualmed
from tests.data_prep.fixtures.figure1 import write as write_figure1

FOLDER = "Figure1-COVID-chestxray-dataset"


def test_figure1_image_is_found_by_the_patient_of_its_row(tmp_path):
    write_figure1(tmp_path)
    rows = list(FIGURE1.records(tmp_path, Options()))
    assert [row for row in rows if isinstance(row, SkippedRecord)] == [
        SkippedRecord("images/COVID-00002.jpg", "no such file")
    ]
    assert [(row.id, row.label, row.patient_id) for row in rows if isinstance(row, Record)] == [
        ("images/COVID-00001.jpg", "covid19", "figure1-COVID-00001"),
        ("images/COVID-00003a.jpg", "", "figure1-COVID-00003"),
        ("images/COVID-00003b.png", "", "figure1-COVID-00003"),
        ("images/COVID-00004.png", "normal", "figure1-COVID-00004"),
        ("images/COVID-00005.jpg", "pneumonia", "figure1-COVID-00005"),
    ]
    assert (rows[0].sex, rows[0].age, rows[0].view) == ("M", 33, "AP erect")


def test_labels_of_choice_are_stored_and_the_others_counted(tmp_path, capsys):
    write_figure1(tmp_path / "raw")
    arguments = ["figure1", f"--raw_dir={tmp_path / 'raw'}", f"--out={tmp_path}", "--duplicates=off"]
    assert main([*arguments, "--labels=covid19, normal", "--split_ratios=1,0,0"]) == 0
    printed = capsys.readouterr().out
    assert "train 2 (covid19 1, normal 1)" in printed
    assert "left out by --labels: pneumonia 1, unlabeled 2" in printed
    assert main([*arguments, "--labels=viral", "--name=other"]) == 2
    message = capsys.readouterr().err
    assert "no radiograph has one of these labels; there are covid19 1, normal 1, pneumonia 1, unlabeled 2" in message


def test_actualmed_labels_inconclusive_separately(tmp_path):
    write_actualmed(tmp_path)
    rows = list(ACTUALMED.records(tmp_path, Options()))
    assert [row for row in rows if isinstance(row, SkippedRecord)] == [
        SkippedRecord("images/DX.gone.png", "no such file")
    ]
    assert [(row.id, row.label, row.upstream_label, row.patient_id) for row in rows if isinstance(row, Record)] == [
        ("images/CR.1.20200313.png", "inconclusive", "Inconclusive", "actualmed-ANON196"),
        ("images/CR.1.20200318.png", "covid19", "COVID-19", "actualmed-ANON196"),
        ("images/CR.2.png", "normal", "No finding", "actualmed-ANON56"),
        ("images/DX.3.png", "covid19", "COVID-19", "actualmed-ANON91"),
    ]


@pytest.fixture
def real(shared):
    folder = shared / "data" / FOLDER
    if not folder.is_dir():
        pytest.skip(f"the shared data has no {FOLDER}")
    return folder


def test_all_real_images_of_figure1_are_read(real, tmp_path):
    assert main(["figure1", f"--raw_dir={real}", f"--out={tmp_path}"]) == 0
    report = json.loads((tmp_path / "figure1" / "2.0.0" / "report.json").read_text())
    counts = sum((Counter(labels) for labels in report["counts"].values()), Counter())
    # Counted by hand in metadata.csv.
    assert counts == {"covid19": 35, "normal": 3, "pneumonia": 2, "": 15}
    assert (counts.total(), report["skipped"]) == (55, [])


def test_files_to_download_match_the_metadata(real):
    files = {file.path: file for file in FIGURE1.files}
    pictures = {fields["patientid"] for fields in read_csv(real / "metadata.csv")}
    assert {path.split("/")[-1].split(".")[0] for path in files} == pictures | {"metadata"}
    assert len(files) == 56
    for file in files.values():
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert re.search(f"/{FOLDER}/[0-9a-f]{{40}}/{file.path}$", file.url)
