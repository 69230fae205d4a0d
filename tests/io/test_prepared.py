"""Only data sets as `data_prep` writes them are opened; an untrusted one runs no code and is refused."""

import json
import os
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from cxrjax.data import dataset, tfds_store, truth_table
from cxrjax.io import prepared
from data_prep import builder, shards
from data_prep.__main__ import main
from data_prep.example import Example, features

ATTACK = "import pathlib\npathlib.Path({mark!r}).write_text('run')\n"


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    assert main(["phantom", "--count=2", "--size=64", f"--out={out}", "--split_ratios=1,0,0", "--duplicates=off"]) == 0
    return out / "phantom" / "2.0.0"


@pytest.fixture
def folder(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "phantom" / "2.0.0"))


def change(path: Path, edit) -> None:
    known = json.loads(path.read_text())
    edit(known)
    path.write_text(json.dumps(known))


def test_prepared_data_set_is_opened(original):
    opened = prepared.open_builder(original)
    assert (opened.name, str(opened.version)) == ("phantom", "2.0.0")
    assert len(opened.as_data_source("train")) == 10
    assert set(opened.info.features) == set(features())


def test_data_set_with_former_field_names_is_read(tmp_path, monkeypatch):
    def former_features(_):
        return tfds.features.FeaturesDict(
            {"licence" if name == "license" else name: feature for name, feature in features().items()}
        )

    def to_former_dict(self):
        values = asdict(self) | {"spacing": np.asarray(self.spacing, np.float32)}
        return values | {"licence": values.pop("license")}

    with monkeypatch.context() as former:
        former.setattr(builder, "features", former_features)
        former.setattr(shards, "features", former_features)
        former.setattr(Example, "to_dict", to_former_dict)
        assert main(["phantom", "--count=2", "--size=64", f"--out={tmp_path}", "--split_ratios=1,0,0"]) == 0
    folder = tmp_path / "phantom" / "2.0.0"
    assert "licence" in json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
    assert {record["license"] for record in prepared.Records(prepared.open_builder(folder), "train")} == {b"CC0-1.0"}
    names = ("one", "other", "one_label", "other_label", "one_split", "other_split", "difference")
    change(folder / "report.json", lambda known: known["duplicates"].append({n: n for n in names} | {"likeness": 0.9}))
    assert main(["describe", str(folder)]) == 0
    assert "CC0-1.0" in (text := (folder / "card" / "card.md").read_text())
    assert "| one | other | one_label | other_label | one_split | other_split | 0.9 |" in text.replace("\\", "")


def test_module_named_in_features_json_is_not_imported(folder, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    (tmp_path / "payload.py").write_text(ATTACK.format(mark=str(mark)))
    monkeypatch.syspath_prepend(tmp_path)
    change(folder / "features.json", lambda known: known.update(pythonClassName="payload.Payload"))
    with pytest.raises(prepared.DatasetError, match="not a data set that data_prep wrote"):
        prepared.open_builder(folder)
    with pytest.raises(dataset.DatasetError):
        tfds_store.list_splits(str(folder.parent))
    assert main(["describe", str(folder)]) == main(["duplicates", str(folder)]) == 2
    assert not mark.exists() and "payload" not in sys.modules
    with pytest.raises(Exception):  # noqa: B017 (TFDS itself would have imported it)
        tfds.builder_from_directory(folder)
    assert mark.exists()


def name_class(known: dict) -> None:
    known["featuresDict"]["features"]["label"]["pythonClassName"] = "os.path.Text"


def make_legacy(known: dict) -> None:
    known.clear()
    known.update(type="os.path.Text", content={})


def nest(known: dict) -> None:
    known["featuresDict"]["features"]["label"] |= {"sequence": {"feature": {"pythonClassName": "payload.Payload"}}}


def read_elsewhere(known: dict) -> None:
    known["splits"][0]["filepathTemplate"] = "/etc/{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


def name_split(known: dict) -> None:
    known["splits"][0]["name"] = "../../train"


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("features.json", name_class),
        ("features.json", make_legacy),
        ("features.json", nest),
        ("features.json", lambda known: known["featuresDict"]["features"].pop("label")),
        ("features.json", lambda known: known["featuresDict"]["features"]["label"].update(text=[1])),
        ("dataset_info.json", read_elsewhere),
        ("dataset_info.json", name_split),
        ("dataset_info.json", lambda known: known.update(name="../../up")),
        ("dataset_info.json", lambda known: known.update(fileFormat="tfrecord")),
        ("dataset_info.json", lambda known: known.update(moduleName="payload")),
        ("dataset_info.json", lambda known: known.update(features={"pythonClassName": "payload.Payload"})),
        ("dataset_info.json", lambda known: known.update(alternativeFileFormats=["tfrecord"])),
        ("dataset_info.json", lambda known: known["splits"][0].update(shardLengths="9")),
        ("dataset_info.json", lambda known: known["splits"].append("train")),
        ("dataset_info.json", lambda known: known["splits"][0].update(shardLengths=["9" * 30])),
        ("dataset_info.json", lambda known: known["splits"][0].update(name="all")),
        ("dataset_info.json", lambda known: known["splits"][0].update(numBytes="x")),
        ("dataset_info.json", lambda known: known.update(version="2.0.\u0660")),
        ("dataset_info.json", lambda known: known.update(description={})),
    ],
)
def test_tampered_metadata_is_refused_by_file_name(folder, file, edit):
    change(folder / file, edit)
    with pytest.raises(prepared.DatasetError, match=f"{file}: not a data set that data_prep wrote"):
        prepared.open_builder(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0", '{"version": 1}', "[" * 100_000, "\udcff"])
@pytest.mark.parametrize("file", ["features.json", "dataset_info.json", "report.json"])
def test_damaged_files_are_named(folder, file, content, capsys):
    (folder / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert main(["describe", str(folder)]) == 2
    message = capsys.readouterr().err
    assert file in message and message.count("\n") <= 2 and "Traceback" not in message
    if file == "report.json":
        with pytest.raises(dataset.DatasetError, match=file):
            tfds_store.read_report(str(folder))


@pytest.mark.parametrize(
    "edit",
    [
        {"counts": {"train": {"normal": "9"}}},
        {"skipped": [{"name": "a", "reason": [1]}]},
        {"duplicates": [dict.fromkeys(("first", "second", "first_label", "second_label"), 1)]},
        {"remarks": [1]},
        {"patients_known": {"train": "x"}},
    ],
)
def test_malformed_report_is_named(folder, edit):
    change(folder / "report.json", lambda known: known.update(edit))
    with pytest.raises(prepared.DatasetError, match=r"report\.json: damaged"):
        prepared.read_report(folder)


@pytest.mark.parametrize("name", ["dataset_info.json", "report.json", "*train*.array_record*"])
def test_a_pipe_in_place_of_a_file_is_refused(folder, name):
    (path,) = folder.glob(name)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(prepared.DatasetError, match=re.escape(f"{path}: not a file")):
        prepared.read_report(folder) if name == "report.json" else prepared.open_builder(folder)


def test_newer_data_set_version_is_refused(folder):
    change(folder / "dataset_info.json", lambda known: known.update(version="4.0.0"))
    with pytest.raises(prepared.DatasetError, match=r"has version 4\.0\.0, and this cxrjax reads 1, 2, 3"):
        prepared.open_builder(folder)


def test_a_data_set_of_version_1_is_opened(folder):
    added = ("format", "bits", "color", "inverted")
    change(folder / "dataset_info.json", lambda known: known.update(version="1.0.0"))
    change(folder / "features.json", lambda known: [known["featuresDict"]["features"].pop(name) for name in added])
    builder = prepared.open_builder(folder)
    record = builder.as_data_source("train")[0]
    assert set(added).isdisjoint(record)
    assert prepared.decode(record).format == "png"
    assert dataset.load(
        str(folder), "train", size=32, gamma=1.0, equalize=True, borders="uniform", num_threads=1
    ).images.shape == (10, 32, 32)


def test_the_newest_version_of_a_data_set_is_read(folder):
    shutil.copytree(folder, folder.with_name("1.0.0"))
    assert tfds_store.dataset_name(str(folder.parent)) == "phantom"
    shutil.copytree(folder, folder.parent.with_name("other") / "2.0.0")
    with pytest.raises(dataset.DatasetError, match="more than one data set"):
        tfds_store.dataset_name(str(folder.parent.parent))


def test_unknown_label_error_has_the_flag_to_add(folder):
    stored = dataset.RadiographDataset(
        str(folder), "train", size=32, gamma=1.0, equalize=True, borders="uniform", num_threads=1
    )
    wanted = "('normal','bacterial','covid19','tuberculosis','viral')"
    with pytest.raises(dataset.DatasetError) as error:
        truth_table.index_labels(stored, ("normal", "nodule"))
    assert "add --config.classifier.classes= for the labels of the training split, or" in str(error.value)
    assert f'--config.classifier.classes="{wanted}"' in str(error.value)


def test_a_damaged_shard_is_named(folder):
    shard = next(folder.glob("*train.array_record*"))
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(dataset.DatasetError, match="split train is damaged"):
        dataset.load(str(folder), "train", size=32, gamma=1.0, equalize=True, borders="uniform", num_threads=1)
