"""Written values are read back, an interrupted write leaves no trace, and scores come from the file alone."""

import csv
import math
import os

import numpy as np
import pytest

from cxrjax.io import predictions_csv
from cxrjax.metrics import classification

CLASSES = ["normal", "viral", "covid19"]
COLUMNS = predictions_csv.classification_columns(CLASSES)
AWKWARD = 'a, "b"\r\nç 肺 $x$ ; \'\ttab'


def row(path: str, **known) -> dict:
    blank = {column: math.nan for column in COLUMNS} | {column: "" for column in predictions_csv.TEXT_COLUMNS}
    return blank | {f"votes_{name}": 0 for name in CLASSES} | {"path": path, "status": "ok"} | known


def same(a: dict, b: dict) -> bool:
    pairs = [(a[column], b[column]) for column in COLUMNS]
    return a.keys() == b.keys() and all(type(x) is type(y) and (x == y or x != x and y != y) for x, y in pairs)


def test_round_trip_restores_every_value_and_type(tmp_path):
    file = tmp_path / "predictions.csv"
    rows = [
        row(
            AWKWARD,
            label="covid19",
            prediction="covid19",
            probability_covid19=0.1 + 0.2,
            votes_covid19=62,
            confidence=1e-300,
        ),
        row("caf\udce9.png", patient_id="007", source="nan", reason=" spaced ", lung_confidence=1.0),
        row("", status="unreadable", reason="the file is empty"),
    ]
    predictions_csv.write(file, rows, COLUMNS)
    read = predictions_csv.read(file)
    assert [list(r) for r in read] == [COLUMNS] * 3
    assert all(same(a, b) for a, b in zip(rows, read, strict=True))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|'/C calc'!A0", "'=cmd|'/C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),  # not confused with the cell of "=1"
        ("'quoted'", "'quoted'"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_formula_like_text_is_escaped_and_restored(tmp_path, text, cell):
    file = tmp_path / "predictions.csv"
    known = {"path": text, "label": text, "prediction": text, "source": text, "reason": text}
    predictions_csv.write(file, [row("x") | known | {"confidence": -0.5, "age": -1.0}], COLUMNS)
    (read,) = predictions_csv.read(file)
    assert {name: read[name] for name in known} == known
    assert (read["confidence"], read["age"]) == (-0.5, -1.0)
    with file.open(newline="", encoding="utf-8") as stream:
        _, cells = csv.reader(stream)
    written = dict(zip(COLUMNS, cells, strict=True))
    assert {written[name] for name in known} == {cell} and written["confidence"] == "-0.5"


def test_float32_reads_back_equal_and_short(tmp_path):
    file = tmp_path / "predictions.csv"
    values = np.random.default_rng(0).random(500, np.float32)
    predictions_csv.write(file, [{"path": "x", "status": "ok", "confidence": v} for v in values], COLUMNS)
    read = [r["confidence"] for r in predictions_csv.read(file)]
    np.testing.assert_array_equal(np.array(read, np.float32), values)
    assert max(len(str(v)) for v in read) <= 12


def test_missing_values_are_blank(tmp_path):
    file = tmp_path / "predictions.csv"
    predictions_csv.write(file, [{"path": "x.png", "status": predictions_csv.NO_LUNGS_FOUND}], COLUMNS)
    assert same(predictions_csv.read(file)[0], row("x.png", status="no lungs found"))
    assert file.read_text().splitlines()[1] == "x.png" + "," * 16 + "0,0,0,,,,,no lungs found,"


def test_byte_order_mark_is_not_part_of_the_header(tmp_path):
    file = tmp_path / "predictions.csv"
    predictions_csv.write(file, [row("x.png")], COLUMNS)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert predictions_csv.read(file)[0]["path"] == "x.png"


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "predictions.csv"
    predictions_csv.write(file, [row("old.png")], COLUMNS)
    before = file.read_bytes()

    def interrupted():
        yield from (row(f"{k}.png") for k in range(10_000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predictions_csv.write(file, interrupted(), COLUMNS)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["predictions.csv"]

    for bad, message in (
        ({"nonsense": 1}, "nonsense is not one of its columns"),
        ({"status": "fine"}, "status 'fine'"),
    ):
        with pytest.raises(ValueError, match=message):
            predictions_csv.write(file, [row("new.png") | bad], COLUMNS)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["predictions.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: there is no column path"),
        ("\x89PNG\r\n\x1a\n\x00\x00", "line 1: there is no column path"),
        ("path,reason\nx,y\n", "line 1: there is no column status"),
        ("path,status,path\nx,ok,x\n", "line 1: a column is there twice"),
        ("path,status,color\nx,ok,red\n", "line 1: the column 'color' is not known"),
        ("path,status,prediction,probability_viral,votes_viral\nx,ok,,,1\n", "line 1: there is no column label"),
        ("path,status\nx,ok\ny\n", "line 3: 1 cells under 2 columns"),
        (
            "path,status\nx,fine\n",
            "line 2: the status 'fine' is none of ok, no lungs found, unreadable, refused, failed",
        ),
        ("path,status,dice_heart\nx,ok,high\n", "line 2: dice_heart is 'high', which is not a number"),
        (
            "path,status,label,prediction,probability_viral,votes_viral\nx,ok,,,,1.5\n",
            "line 2: votes_viral is '1.5', which is not a whole number",
        ),
        ('path,status\n"x,ok\n', "line 2: unexpected end of data"),
    ],
)
def test_a_malformed_file_is_named_with_its_line_and_reason(tmp_path, text, message):
    file = tmp_path / "predictions.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as error:
        predictions_csv.read(file)
    assert str(error.value) == f"{file}: {message}"


def test_classification_scores_come_from_the_file_alone(tmp_path):
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(3), 60).astype(np.float32)
    labels = [CLASSES[k] for k in rng.integers(0, 3, 60)]
    findings = [CLASSES[k] for k in probabilities.argmax(1)]
    findings[7], probabilities[7] = "", np.nan
    rows = [
        {
            "path": f"{n}.png",
            "status": "ok" if findings[n] else "no lungs found",
            "label": labels[n],
            "prediction": findings[n],
        }
        | {f"probability_{name}": probabilities[n, k] for k, name in enumerate(CLASSES)}
        for n in range(60)
    ]
    predictions_csv.write(tmp_path / "p.csv", rows, COLUMNS)

    read = predictions_csv.read(tmp_path / "p.csv")
    classes = predictions_csv.class_names(read[0], "probability_")
    read_probabilities = predictions_csv.probabilities(read, classes)
    assert classes == CLASSES
    np.testing.assert_array_equal(read_probabilities.astype(np.float32), probabilities)
    scores = classification.classification_metrics(
        [r["label"] for r in read], [r["prediction"] for r in read], read_probabilities, classes
    )
    assert scores == classification.classification_metrics(labels, findings, probabilities, CLASSES)


def test_segmentation_scores_come_from_the_file_alone(tmp_path):
    rows = [
        {
            "path": "a.png",
            "status": "ok",
            "dice_lungs": 0.9,
            "jaccard_lungs": 0.81,
            "dice_heart": 0.7,
            "jaccard_heart": 0.5,
        },
        {"path": "b.png", "status": "unreadable", "reason": "cut short"},
    ]
    predictions_csv.write(tmp_path / "p.csv", rows, predictions_csv.segmentation_columns(["lungs", "heart"]))
    read = predictions_csv.read(tmp_path / "p.csv")
    assert predictions_csv.class_names(read[0], "dice_") == ["lungs", "heart"]
    scores = classification.segmentation_metrics(read)
    assert scores["structures"]["lungs"] == {"dice": 0.45, "jaccard": 0.405, "support": 2}
    assert scores["failed"] == 1
