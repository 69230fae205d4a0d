"""Patients of DICOM files: their radiographs stay together, and only the user can identify them."""

import csv
import json
import os
import stat
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from cxrjax.data import tfds_store
from cxrjax.io.dicom_elements import is_dicom, read_header, read_text
from data_prep.__main__ import main
from data_prep.collections.patients import identify, is_pseudonym, read_secret, warn_of_one_patient
from data_prep.reader import read_example
from data_prep.record import PreparationError, Record, RecordError
from tests.helpers.image_files import draw_image, save_dicom, save_image

TAGS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")


@pytest.fixture(autouse=True)
def configuration(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "cxrjax" / "patients.key"


def write(folder: Path, **patients: dict[str, str]) -> list[Record]:
    """Write a file with tags for each name."""
    rows = []
    for name, tags in patients.items():
        save_dicom(folder / f"{name}.dcm", draw_image(name), **tags)
        rows.append(Record(id=name, file=folder / f"{name}.dcm"))
    return rows


def read_splits(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def name(rows: list[Record], secret: str = "") -> dict[str, str]:
    return {row.id: row.patient_id for row in identify(rows, secret)}


def test_no_patient_is_in_two_splits(tmp_path, capsys):
    for k in range(30):
        label = "covid19" if k % 2 else "normal"
        tags = {"PatientID": f"P{k // 3}", "StudyInstanceUID": f"1.2.{k}", "PatientName": "DOE^JANE"}
        save_dicom(tmp_path / "in" / label / f"1.2.840.{k}", draw_image(str(k)), **tags)
    assert main(["folder", f"--raw_dir={tmp_path / 'in'}", f"--out={tmp_path / 'out'}", "--duplicates=off"]) == 0
    folder = tmp_path / "out" / "folder" / "2.0.0"
    splits, rows = defaultdict(set), list(read_splits(folder / "splits.csv"))
    for row in rows:
        splits[int(row["id"].rpartition(".")[2]) // 3].add((row["split"], row["patient_id"]))
    assert len(rows) == 30 and len(splits) == 10
    assert all(len(there) == 1 for there in splits.values())
    assert len({row["patient_id"] for row in rows}) == 10
    known = json.loads((folder / "report.json").read_text())["patients_known"]
    assert sum(split["patients"] for split in known.values()) == 10
    assert all(split["without"] == split["by_study"] == 0 for split in known.values())
    assert tfds_store.read_patients_known(str(folder)) == known
    assert "no known patient" not in capsys.readouterr().out


def test_pseudonym_depends_on_identifier_issuer_and_secret(tmp_path):
    rows = write(
        tmp_path,
        a={"PatientID": "17"},
        again={"PatientID": "17^ ", "StudyInstanceUID": "1.2.3"},
        here={"PatientID": "18", "IssuerOfPatientID": "HERE"},
        elsewhere={"PatientID": "18", "IssuerOfPatientID": "OTHER"},
        zeros={"PatientID": "0017"},
    )
    ours = name(rows)
    assert ours["a"] == ours["again"]
    assert len(set(ours.values())) == 4
    assert all(is_pseudonym(pseudonym) for pseudonym in ours.values())
    assert name(rows) == ours  # the secret is kept
    (tmp_path / "other").write_bytes(b"another secret, long enough")
    theirs = name(rows, str(tmp_path / "other"))
    assert theirs["a"] == theirs["again"] and not set(ours.values()) & set(theirs.values())


def test_secret_is_created_once_and_private(tmp_path, configuration):
    assert name([Record(id="a", file=tmp_path / "none.dcm")]) == {"a": ""}
    assert not configuration.exists()  # nothing needed it
    secret = read_secret("")
    assert len(secret) == 32 and configuration.read_bytes() == secret == read_secret("")
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    assert stat.S_IMODE(configuration.parent.stat().st_mode) == 0o700
    assert os.listdir(configuration.parent) == ["patients.key"]
    (tmp_path / "short").write_bytes(b"1234")
    with pytest.raises(PreparationError, match="can be guessed"):
        read_secret(str(tmp_path / "short"))
    with pytest.raises(PreparationError, match="--salt=FILE"):
        read_secret(str(tmp_path))


def test_secret_is_not_written_to_the_data_set(tmp_path, configuration):
    for label in ("normal", "tb"):
        save_dicom(tmp_path / "in" / label / "a.dcm", draw_image(label), PatientID=label)
    assert main(["folder", f"--raw_dir={tmp_path / 'in'}", f"--out={tmp_path / 'out'}", "--split_ratios=1,0,0"]) == 0
    secret = configuration.read_bytes()
    written = b"".join(file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert secret not in written and secret.hex().encode() not in written


@pytest.mark.parametrize(
    "placeholder", ["", "0", "000", "UNKNOWN", "Anonymous", "XXXX", "n/a", "-", "ANONYMOUS^PATIENT", "no_id"]
)
def test_placeholder_identifier_is_replaced_by_the_study(tmp_path, placeholder):
    rows = write(
        tmp_path,
        a={"PatientID": placeholder, "StudyInstanceUID": "1.2.3"},
        same={"PatientID": placeholder, "StudyInstanceUID": "1.2.3"},
        other={"PatientID": placeholder, "StudyInstanceUID": "1.2.4"},
        none={"PatientID": placeholder},
    )
    named = name(rows)
    assert named["a"] == named["same"] != named["other"]
    assert is_pseudonym(named["a"], "study-") and not is_pseudonym(named["a"], "dicom-")
    assert named["none"] == ""


def test_one_identifier_for_all_gives_a_warning(tmp_path, capsys):
    for k in range(4):
        tags = {"PatientID": "XYZ17", "StudyInstanceUID": f"1.2.{k}"}
        save_dicom(tmp_path / "in" / ("normal" if k % 2 else "tb") / f"{k}.dcm", draw_image(str(k)), **tags)
    assert main(["folder", f"--raw_dir={tmp_path / 'in'}", f"--out={tmp_path / 'out'}"]) == 0
    assert "warning: 4 of 4 radiographs have one PatientID" in capsys.readouterr().out
    one = Record(id="a", patient_id="p1")
    assert warn_of_one_patient([one, Record(id="b", patient_id="p2")]) == ""
    assert warn_of_one_patient([one]) == ""
    assert "10 of 19 radiographs have one patient (p1)" in warn_of_one_patient(
        [one] * 10 + [Record(id=str(k), patient_id=str(k)) for k in range(9)]
    )


def test_patient_of_the_record_takes_precedence(tmp_path):
    named = name([Record(id="a", file=write(tmp_path, a={"PatientID": "17"})[0].file, patient_id="p1")])
    assert named == {"a": "p1"}


def test_identifier_without_issuer_matches_any_issuer(tmp_path):
    named = name(write(tmp_path, a={"PatientID": "17"}, b={"PatientID": "17", "IssuerOfPatientID": "HERE"}))
    assert named["a"] == named["b"] and is_pseudonym(named["a"], "dicom-")


def test_patient_of_one_file_applies_to_its_study_and_identifier(tmp_path):
    rows = write(
        tmp_path,
        a={"PatientID": "17", "StudyInstanceUID": "1.2.3"},
        unnamed={"StudyInstanceUID": "1.2.3"},
        other={"OtherPatientIDs": ["17", "X4"]},
        b={"PatientID": "18", "StudyInstanceUID": "1.2.4"},
        also={"PatientID": "18"},
        third={"StudyInstanceUID": "1.2.4"},
        c={"PatientID": "19"},
    )
    rows = [replace(row, patient_id="p1") if row.id == "b" else row for row in rows]
    named = name([*rows, Record(id="picture", file=tmp_path / "none.png", patient_id="19")])
    assert named["a"] == named["unnamed"] == named["other"] and is_pseudonym(named["a"], "dicom-")
    assert named["b"] == named["also"] == named["third"] == "p1"
    assert named["c"] == named["picture"] == "19"


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
def test_identifier_does_not_depend_on_its_encoding(tmp_path, charset):
    rows = write(tmp_path, a={"SpecificCharacterSet": charset, "PatientID": "Müller-1"})
    rows += write(tmp_path, b={"SpecificCharacterSet": "ISO_IR 192", "PatientID": "Mu\u0308ller-1"})
    named = name(rows)
    assert named["a"] == named["b"] and is_pseudonym(named["a"], "dicom-")


def test_splits_do_not_depend_on_the_secret(tmp_path):
    for k in range(20):
        save_dicom(
            tmp_path / "in" / ("normal" if k % 2 else "tb") / f"{k}.dcm", draw_image(str(k)), PatientID=f"P{k // 2}"
        )
    tables = []
    for secret in ("first secret, long enough", "another secret, long enough"):
        (tmp_path / "secret").write_text(secret)
        out = tmp_path / secret[:5]
        arguments = [
            f"--raw_dir={tmp_path / 'in'}",
            f"--out={out}",
            f"--salt={tmp_path / 'secret'}",
            "--duplicates=off",
        ]
        assert main(["folder", *arguments]) == 0
        tables.append(list(read_splits(out / "folder/2.0.0/splits.csv")))
    first, second = ({row["id"]: row["split"] for row in table} for table in tables)
    assert first == second
    assert not {row["patient_id"] for row in tables[0]} & {row["patient_id"] for row in tables[1]}


@pytest.mark.parametrize("form", ["explicit", "implicit", "deflated", "bare"])
def test_header_is_read_in_all_encodings(tmp_path, form):
    path = tmp_path / "a.dcm"
    save_dicom(path, draw_image("a"), PatientID="17", IssuerOfPatientID="US", StudyInstanceUID="1.2.3")
    dataset = pydicom.dcmread(path)
    syntax = {"implicit": ImplicitVRLittleEndian, "deflated": DeflatedExplicitVRLittleEndian}.get(form)
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path, implicit_vr=form == "implicit", little_endian=True)
    elif form == "bare":
        file = path.read_bytes()
        path.write_bytes(file[file.index(b"\x08\x00\x16\x00") :])
    header = read_header(path, TAGS)
    assert [read_text(header, tag) for tag in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")] == [
        "17",
        "US",
        "1.2.3",
    ]


def test_file_larger_than_memory_is_refused_by_its_size(tmp_path):
    path = tmp_path / "endless.dcm"
    save_dicom(path, draw_image("a"), PatientID="17")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x10\x00\x20\x00")])  # then zeros, which are elements without a value
    os.truncate(path, 1 << 40)
    assert read_text(read_header(path, TAGS), "PatientID") == ""
    with pytest.raises(RecordError, match=r"^too large: 1099511627776 bytes"):
        read_example(Record("endless.dcm", path))


def test_other_files_have_no_patient(tmp_path):
    save_image(tmp_path / "a.png")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM\x02\x00")
    assert not is_dicom(tmp_path / "a.png") and not is_dicom(tmp_path / "empty") and not is_dicom(tmp_path / "none")
    assert name([Record(id=file.name, file=file) for file in sorted(tmp_path.glob("*.*"))]) == {
        "a.png": "",
        "cut.dcm": "",
    }


def test_table_of_dicom_files_has_their_patients(tmp_path):
    write(tmp_path, a={"PatientID": "17"}, b={"PatientID": "17"}, c={"PatientID": "18"})
    (tmp_path / "table.csv").write_text("path,label,patient_id\na.dcm,x,\nb.dcm,y,\nc.dcm,y,p3\n")
    assert main(["table", f"--csv={tmp_path / 'table.csv'}", f"--out={tmp_path / 'out'}", "--duplicates=off"]) == 0
    rows = {row["id"]: row for row in read_splits(tmp_path / "out/table/2.0.0/splits.csv")}
    assert rows["a.dcm"]["patient_id"] == rows["b.dcm"]["patient_id"] and is_pseudonym(rows["a.dcm"]["patient_id"])
    assert rows["a.dcm"]["split"] == rows["b.dcm"]["split"] and rows["c.dcm"]["patient_id"] == "p3"
    assert np.all([row["split"] for row in rows.values()])
