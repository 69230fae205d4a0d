"""A CSV of radiographs: its content is stored byte for byte, and errors name the file and the line."""

import csv
import json
import os
import unicodedata
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from cxrjax.io import prepared
from data_prep.__main__ import main
from data_prep.reader import read_label_map
from data_prep.record import RecordError
from tests.helpers.image_files import save_dicom

COLUMNS = ["dataset", "path", "label", "patient_id", "split", "mask", "view", "sex", "age"]


def write_image(path: Path, shape: tuple[int, int] = (48, 40), seed: int = 0) -> None:
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def write_table(folder: Path, rows: list[dict[str, str]], columns: list[str] = COLUMNS) -> Path:
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "table.csv"


def prepare(table: Path, *more: str) -> int:
    return main(["table", f"--csv={table}", f"--out={table.parent / 'out'}", *more])


def records(table: Path, split: str) -> list[dict]:
    return list(tfds.builder_from_directory(table.parent / "out" / "table" / "2.0.0").as_data_source(split))


def row(path: str, split: str = "train", **more: str) -> dict[str, str]:
    return {"path": path, "label": "viral", "patient_id": path, "split": split, "dataset": "ours"} | more


def test_record_has_the_data_of_its_row_and_file(tmp_path):
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.jpg", seed=1)
    mask = np.zeros((48, 40), np.uint8)
    mask[10:20, 5:15], mask[10:20, 25:35] = 2, 3
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    known = row("a.png", mask="m.png", view="PA", sex="F", age="61")
    table = write_table(tmp_path, [known, row("b.jpg", "test", label="nodule")])
    assert prepare(table) == 0
    (first,), (second,) = records(table, "train"), records(table, "test")
    for record, name in ((first, "a.png"), (second, "b.jpg")):
        stored, file = prepared.decode(record), cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored.pixels, file)
    assert (first["format"], second["format"], first["bits"], first["color"]) == (b"png", b"jpeg", 8, b"1")
    assert (first["path"], first["patient_id"], first["source"]) == (b"a.png", b"a.png", b"ours")
    assert (first["height"], first["width"], first["view"], first["sex"], first["age"]) == (48, 40, b"PA", b"F", 61)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(first["mask"], np.uint8), 0), mask)
    assert (first["mask_kind"], second["mask_kind"], second["mask"]) == (b"structures", b"", b"")
    assert (second["label"], second["sex"], second["lesions"]) == (b"nodule", b"", b"")
    assert np.isnan(second["age"]) and np.isnan(second["spacing"]).all()


def test_bad_rows_are_reported_and_the_others_prepared(tmp_path, capsys):
    write_image(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no image")
    write_image(tmp_path / "wide.png", (48, 90))
    rows = [
        row("good.png"),
        row("gone.png"),
        row("text.png"),
        row("wide.png", mask="good.png"),
    ]
    table = write_table(tmp_path, rows)
    assert prepare(table) == 0
    captured = capsys.readouterr()
    assert "3 skipped" in captured.out
    report = json.loads((tmp_path / "out" / "table" / "2.0.0" / "report.json").read_text())
    reasons = {entry["name"]: entry["reason"] for entry in report["skipped"]}
    assert list(reasons) == ["gone.png", "text.png", "wide.png"]
    assert "no such file" in reasons["gone.png"]
    assert "40 x 48 pixels, the image 90 x 48" in reasons["wide.png"]
    assert all(f"warning: skipped {name}" in captured.err for name in reasons)
    assert report["counts"] == {"train": {"viral": 1}}


def test_split_without_a_readable_radiograph_is_refused(tmp_path, capsys):
    write_image(tmp_path / "good.png")
    table = write_table(tmp_path, [row("good.png"), row("gone.png", "val")])
    assert prepare(table) == 2
    assert "split val: of 1 radiograph none can be read (gone.png" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.json"))


def test_patient_in_two_splits_is_refused_by_name(tmp_path, capsys):
    table = write_table(tmp_path, [row("a.png", patient_id="p7"), row("b.png", "test", patient_id="p7")])
    assert prepare(table) == 2
    assert "patient p7 is in two splits, train and test" in capsys.readouterr().err


def test_filter_keeps_rows_that_match_all_conditions(tmp_path):
    for name in "abc":
        write_image(tmp_path / f"{name}.png", seed=ord(name))
    rows = [row("a.png", label="viral"), row("b.png", label="normal"), row("c.png", label="normal", dataset="theirs")]
    table = write_table(tmp_path, rows)
    assert prepare(table, "--filter=label=normal,bacterial", "--filter=dataset=ours") == 0
    assert [record["path"] for record in records(table, "train")] == [b"b.png"]


def test_table_without_splits_is_split_by_the_ratios(tmp_path):
    write_image(tmp_path / "a.png")
    table = write_table(tmp_path, [{"path": "a.png", "label": ""}], ["path", "label"])
    assert prepare(table, "--split_ratios=0,0,1") == 0
    assert [record["label"] for record in records(table, "test")] == [b""]


@pytest.mark.parametrize(
    ("content", "more", "sentence"),
    [
        ("label\nviral\n", [], "no column path"),
        ("path\na.png\n", [], "no column label"),
        ("path,label\n", [], "no row is left"),
        ("path,label\na.png,viral\n", ["--filter=label=none"], "no row is left by --filter"),
        ("path,label\na.png,viral\n", ["--filter=site=x"], "no column site"),
        ("path,label\na.png,viral\n", ["--filter=label"], "COLUMN=VALUE"),
        ("path,label\na.png,x\na.png,y\n", [], "a.png is there twice"),
        ("path,label,split\na.png,x,all\n", [], "a.png has no usable split ('all')"),
    ],
)
def test_invalid_table_gives_one_sentence_and_status_2(tmp_path, capsys, content, more, sentence):
    table = tmp_path / "table.csv"
    table.write_text(content)
    assert prepare(table, *more) == 2
    output = capsys.readouterr().err
    assert sentence in output
    assert output.count("\n") == 1


def test_missing_table_is_named(tmp_path, capsys):
    assert prepare(tmp_path / "nowhere.csv") == 2
    assert "nowhere.csv: no such file" in capsys.readouterr().err


def save(path: Path, mask: list[list[int]]) -> Path:
    cv2.imwrite(str(path), np.array(mask, np.uint8))
    return path


def test_mask_kind_is_inferred_from_values(tmp_path):
    structures = save(tmp_path / "s.png", [[0, 1], [2, 3]])
    lungs = save(tmp_path / "l.png", [[0, 255], [20, 200]])  # 20: what JPEG leaves beside an edge
    united = save(tmp_path / "u.png", [[0, 1], [1, 2]])
    assert read_label_map(structures, "", (2, 2))[1] == "structures"
    mask, kind = read_label_map(lungs, "", (2, 2))
    assert (mask.tolist(), kind) == ([[0, 1], [0, 1]], "lungs")
    mask, kind = read_label_map(united, "lungs", (2, 2))  # of the kind "lungs", left and right lung are one
    assert (mask.tolist(), kind) == ([[0, 1], [1, 1]], "lungs")
    with pytest.raises(RecordError, match=r"l\.png holds the value 255"):
        read_label_map(lungs, "structures", (2, 2))


def test_smaller_mask_is_resized_without_new_values(tmp_path):
    mask, _ = read_label_map(save(tmp_path / "s.png", [[0, 1], [2, 3]]), "", (4, 4))
    assert mask.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_benchmark_counts_match_its_readme(benchmark):
    splits = tfds.builder_from_directory(benchmark / "2.0.0").as_data_source()
    labels, masks = Counter(), Counter()
    for split, examples in splits.items():
        for example in examples:
            source, label = example["source"].decode(), example["label"].decode()
            labels[source if source in ("jsrt", "openist") else label, str(split)] += 1
            masks[source, example["mask_kind"].decode()] += 1
    names = ("normal", "bacterial", "viral", "tuberculosis", "covid19", "openist")
    counts = [(180, 30, 90), (90, 15, 45), (93, 15, 42), (90, 15, 45), (214, 36, 106), (190, 25, 60)]
    expected = {
        (name, split): count
        for name, row in zip(names, counts, strict=True)
        for split, count in zip(("train", "val", "test"), row, strict=True)
    }
    assert labels == expected | {("jsrt", "train"): 124, ("jsrt", "test"): 122}
    assert masks["jsrt", "structures"] == 246
    assert masks["openist", "lungs"] == 275
    assert masks["covid-chestxray-dataset", "lungs"] + masks["covid-chestxray-dataset", ""] == 356


def fill(folder: Path, count: int = 6) -> list[str]:
    names = [f"images/{number}.png" for number in range(count)]
    (folder / "images").mkdir()
    for number, name in enumerate(names):
        write_image(folder / name, seed=number)
    return names


def prepare_text(folder: Path, text: str, *more: str) -> int:
    (folder / "table.csv").write_text(text, encoding="utf-8")
    return prepare(folder / "table.csv", "--duplicates=off", "--split_ratios=1,0,0", *more)


def test_labels_are_mapped_to_the_shared_vocabulary(tmp_path, capsys):
    words = ["Normal", "NORMAL", "COVID-19", "Covid", "covid19", "TB"]
    rows = "".join(f"{name},{word}\n" for name, word in zip(fill(tmp_path), words, strict=True))
    assert prepare_text(tmp_path, f"path,label\n{rows}") == 0
    stored = [
        (one["label"].decode(), one["upstream_label"].decode()) for one in records(tmp_path / "table.csv", "train")
    ]
    labels = ["normal", "normal", "covid19", "covid19", "covid19", "tuberculosis"]
    assert stored == list(zip(labels, words, strict=True))
    assert "'COVID-19', 'Covid', 'covid19' as covid19; 'NORMAL', 'Normal' as normal" in capsys.readouterr().out


def test_rows_without_a_label_are_skipped_if_others_have_one(tmp_path, capsys):
    cells = ["", "nan", "None", "-1", "viral", "null"]
    rows = "".join(f"{name},{cell}\n" for name, cell in zip(fill(tmp_path), cells, strict=True))
    assert prepare_text(tmp_path, f"path,label\n{rows}") == 0
    assert [one["label"] for one in records(tmp_path / "table.csv", "train")] == [b"viral"]
    output = capsys.readouterr()
    assert "5 skipped" in output.out and "skipped images/1.png: line 3: no label (nan)" in output.err


def test_rows_without_a_label_are_allowed_in_a_table_with_masks(tmp_path, capsys):
    first, second, *_ = fill(tmp_path)
    text = f"path,label,mask\n{first},,{second}\n{second},viral,\nimages/2.png,,\n"
    assert prepare_text(tmp_path, text) == 0
    assert [one["label"] for one in records(tmp_path / "table.csv", "train")] == [b"", b"viral", b""]
    assert "warning: 2 radiographs have no label" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        " Path ; Label ; Source ;site;\nimages/0.png;viral;ours;x;\n;;;;\n\n;;\n",
        "path\tlabel\tdataset\tsite\nimages/0.png\tviral\tours\tx\n\n",
        "sep=;\npath;LABEL;dataset;site\nimages\\0.png;viral;ours;x\n",
        '\ufeffpath,label,source,site\r\n"images\\0.png",viral,ours,x\r\n,,,\r\n',
        "path,label,dataset,site\nimages/0.png,viral,ours,x\nimages/0.png , viral,ours,x\n",
        "\n,,,,\n,path,label,dataset,site\n0,images/0.png,viral,ours,x\n1,./images/0.png,viral,ours,x\n",
        'Image Path, Class, Source, site\n"images/0.png", "viral", "ours", "x"\n',
        "filename|Finding Labels|source|site\nimages/../images/0.png|viral|ours|x\n",
    ],
)
def test_delimiters_header_case_and_blank_lines_of_tables(tmp_path, capsys, text):
    fill(tmp_path)
    assert prepare_text(tmp_path, text) == 0
    (one,) = records(tmp_path / "table.csv", "train")
    assert (os.path.normpath(one["path"]), one["label"], one["source"]) == (b"images/0.png", b"viral", b"ours")
    assert one["patient_id"] == one["sex"] == one["mask"] == b""
    assert "columns of table.csv that are not used: site" in capsys.readouterr().out


def test_last_line_names_every_unused_column_also_beside_a_used_source(tmp_path, capsys):
    names = fill(tmp_path)
    rows = "".join(f"{name},viral,ours,theirs,x\n" for name in names)
    assert prepare_text(tmp_path, f"path,label,dataset,source,scanner\n{rows}") == 0
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line == "warning: columns of table.csv that are not used: source, scanner"


def test_table_in_utf16_is_read(tmp_path):
    fill(tmp_path)
    (tmp_path / "table.csv").write_text("path\tlabel\nimages/0.png\tÉpanchement\n", encoding="utf-16")
    assert prepare(tmp_path / "table.csv", "--duplicates=off", "--split_ratios=1,0,0") == 0
    assert [one["label"].decode() for one in records(tmp_path / "table.csv", "train")] == ["Épanchement"]


def test_labels_with_numbers_or_accents_have_one_spelling(tmp_path):
    words = ["1", "1.0", "0.0", "\u00e9p", "e\u0301p", "\u00c9P"]
    rows = "".join(f"{name},{word}\n" for name, word in zip(fill(tmp_path), words, strict=True))
    assert prepare_text(tmp_path, f"path,label\n{rows}") == 0
    labels = [one["label"].decode() for one in records(tmp_path / "table.csv", "train")]
    assert labels == ["1", "1", "0", "\u00e9p", "\u00e9p", "\u00e9p"]


def test_placeholders_of_patients_and_spellings_of_splits(tmp_path):
    cells = ["unknown,TRAINING", "Unknown,Train set", "n/a,Valid", "12.0,dev", "12,validation", "13,Hold-out"]
    rows = "".join(f"{name},x,{cell}\n" for name, cell in zip(fill(tmp_path), cells, strict=True))
    assert prepare_text(tmp_path, f"path,label,subject_id,split\n{rows}") == 0
    known = {
        split: [one["patient_id"].decode() for one in records(tmp_path / "table.csv", split)]
        for split in ("train", "val", "test")
    }
    assert known == {"train": ["", ""], "val": ["", "12", "12"], "test": ["13"]}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_file_is_found_with_accents_in_both_forms(tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    write_image(tmp_path / unicodedata.normalize(other, "r\u00f6ntgen.png"))
    name = unicodedata.normalize(form, "r\u00f6ntgen.png")
    assert prepare_text(tmp_path, f"path,label,mask\n{name},x,{name}\n") == 0
    (one,) = records(tmp_path / "table.csv", "train")
    assert one["path"].decode() == name and one["mask"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\nimages/0.png,A|B\n", "line 2 has the label 'A|B'; one label per radiograph is supported"),
        ("path,label\nimages/0.png,A;B\n", "one label per radiograph"),
        ("path,label\nimages/0.png,A|B|C\n", "line 2 has the label 'A|B|C'"),
        ('path,label\nimages/0.png,A\nimages/1.png,"A, B"\n', "line 3 has the label 'A, B'"),
        ("path,label\nimages/0.png,A\nimages/1.png,B\nimages/2.png,A+B\n", "line 4 has the label 'A+B'"),
        ("path,label\nimages/0.png,\"['A']\"\n", "one label per radiograph"),
        ("path,label\na.png,v\nx/../a.png,w\n", "x/../a.png is there twice, in lines 2 and 3, with another label"),
        ("Path,No Finding,Edema\nimages/0.png,1,\n", "no column label (its columns: Path, No Finding, Edema)"),
        ("path,label,x\na.png,v,1\na.png,v,2\n", "lines 2 and 3, with other values of x; keep one row per radiograph"),
        ("path,label,Path\na.png,v,b.png\n", "two columns path"),
        ("path,label\na\0b.png,v\n", "its line 2 holds a NUL character"),
        (f"path,label\na.png,{'v' * 200_000}\n", "field larger than field limit"),
        ("path,label,split,patient_id\na.png,v,train,12\nb.png,v,test,12.0\n", "patient 12 is in two splits"),
    ],
)
def test_unsupported_content_is_one_sentence(tmp_path, capsys, text, sentence):
    assert prepare_text(tmp_path, text) == 2
    output = capsys.readouterr().err
    assert sentence in output and output.count("\n") == 1


def test_row_with_more_cells_than_the_header_is_skipped(tmp_path, capsys):
    fill(tmp_path)
    assert prepare_text(tmp_path, "path,label\nimages/0.png,Pneumonia, viral\nimages/1.png,viral\n") == 0
    assert [one["path"] for one in records(tmp_path / "table.csv", "train")] == [b"images/1.png"]
    assert "images/0.png: line 2: more cells than the header has columns" in capsys.readouterr().err


def test_warnings_about_splits_and_labels(tmp_path, capsys):
    names = fill(tmp_path)
    rows = "".join(f"{name},{'rare' if k == 5 else 'viral'},p{k}\n" for k, name in enumerate(names))
    (tmp_path / "table.csv").write_text(f"path,label,patient_id\n{rows}")
    assert prepare(tmp_path / "table.csv", "--split_ratios=0.98,0.01,0.01", "--duplicates=off") == 0
    output = capsys.readouterr().out
    for sentence in (
        "no radiograph is in the split val, which training needs to select its weights",
        "labels of a single radiograph, which cannot be in both training and test data: rare",
        "there are only 6 patients",
    ):
        assert f"warning: {sentence}" in output
    assert prepare(tmp_path / "table.csv", "--split_ratios=0.98,0.01,0.01", "--duplicates=off") == 0
    assert capsys.readouterr().out == f"already complete, nothing done: {output}"


def test_devices_pipes_and_folders_are_skipped_unopened(tmp_path, capsys):
    fill(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    rows = "images/0.png,x\npipe.png,x\n/dev/zero,x\nimages,x\nhttps://example.org/a.png,x\n"
    assert prepare_text(tmp_path, f"path,label,mask\n{rows}images/1.png,x,pipe.png\n") == 0
    assert [one["path"] for one in records(tmp_path / "table.csv", "train")] == [b"images/0.png"]
    output = capsys.readouterr().err
    assert output.count("is no file, but a device, pipe or socket") == 3 and "images: is a directory" in output


def test_dicom_metadata_is_read_and_other_views_are_skipped(tmp_path):
    save_dicom(tmp_path / "frontal.dcm", PatientSex="F", PatientAge="061Y", ViewPosition="PA")
    save_dicom(tmp_path / "side.dcm", SeriesDescription="Thorax seitlich")
    save_dicom(tmp_path / "slice.dcm", Modality="CT")
    table = write_table(tmp_path, [row(f"{name}.dcm") for name in ("frontal", "side", "slice")])
    assert prepare(table) == 0
    (record,) = records(table, "train")
    assert (record["path"], record["sex"], record["age"]) == (b"frontal.dcm", b"F", 61)
    report = json.loads((tmp_path / "out" / "table" / "2.0.0" / "report.json").read_text())
    reasons = {one["name"]: one["reason"] for one in report["skipped"]}
    assert reasons.keys() == {"side.dcm", "slice.dcm"} and reasons["slice.dcm"].startswith("CT, not a radiograph")
    assert reasons["side.dcm"].startswith("lateral view")


def findings_of(table: Path) -> dict[str, dict[str, float]]:
    folder = table.parent / "out" / "table" / "3.0.0"
    stored = prepared.Records(prepared.open_builder(folder), "train")
    return {record["path"].decode(): json.loads(record["findings"]) for record in stored}


def test_finding_columns_are_read_as_present_absent_or_uncertain(tmp_path):
    columns = ["path", "split", "Pleural Effusion", "Edema", "Mass", "notes"]
    cells = {"a": ("1.0", "", "0"), "b": ("-1", "0.0", "0,33"), "c": ("", "nan", ""), "d": ("0", "1", "1")}
    for name in cells:
        write_image(tmp_path / f"{name}.png", seed=ord(name))
    rows = [dict(zip(columns, (f"{name}.png", "train", *values), strict=False)) for name, values in cells.items()]
    table = write_table(tmp_path, rows, columns)
    assert prepare(table, "--findings=Pleural Effusion,Edema,Mass") == 0
    assert findings_of(table) == {
        "a.png": {"Pleural Effusion": 1, "Mass": 0},
        "b.png": {"Pleural Effusion": -1, "Edema": 0, "Mass": 0.33},
        "d.png": {"Pleural Effusion": 0, "Edema": 1, "Mass": 1},
    }
    report = json.loads((tmp_path / "out" / "table" / "3.0.0" / "report.json").read_text())
    assert [entry["reason"] for entry in report["skipped"]] == ["line 4: nothing is known of any finding"]
    assert report["findings"]["train"]["Edema"] == {"positive": 1, "negative": 1, "uncertain": 0, "unknown": 1}
    assert "columns of table.csv that are not used: notes" in report["remarks"]


def test_label_with_several_findings_makes_the_others_negative(tmp_path):
    labels = {"a": "Mass|Edema", "b": "No Finding", "c": "Edema", "d": ""}
    for name in labels:
        write_image(tmp_path / f"{name}.png", seed=ord(name))
    table = write_table(tmp_path, [row(f"{name}.png", label=label) for name, label in labels.items()])
    assert prepare(table, "--findings=label") == 0
    assert findings_of(table) == {
        "a.png": {"Edema": 1, "Mass": 1},
        "b.png": {"Edema": 0, "Mass": 0},
        "c.png": {"Edema": 1, "Mass": 0},
    }


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--findings=Mass,Gout", "no column Gout, which --findings names"),
        ("--findings=sex", "line 2 has 'F' in the column sex"),
    ],
)
def test_invalid_finding_columns_are_named(tmp_path, capsys, flag, problem):
    table = write_table(tmp_path, [row("a.png", sex="F", Mass="1")], [*COLUMNS, "Mass"])
    assert prepare(table, flag) == 2
    assert problem in capsys.readouterr().err
