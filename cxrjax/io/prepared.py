"""Prepared data sets on disk: opened only where `data_prep` wrote them, and their radiographs decoded.

TFDS imports whatever module the `features.json` of a data set names, and takes the pattern of its files from
`dataset_info.json`. Both files are therefore compared with the forms that `data_prep` writes before TFDS sees them, so
that a data set from a stranger runs no code.
"""

import dataclasses
import json
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from cxrjax.io import decoding
from cxrjax.io.types import Radiograph
from cxrjax.runtime import former_names
from cxrjax.runtime.errors import CxrjaxError

COMPLETE_MARKER = "dataset_info.json"  # written last by TFDS
FEATURES = "features.json"
REPORT = "report.json"
_LARGEST = 1 << 20  # bytes of either file; those of data_prep have some thousand
_PACKAGE = "tensorflow_datasets.core.features."
_TEXT = f"{_PACKAGE}text_feature.Text"
_SCALAR = f"{_PACKAGE}scalar.Scalar"
_TENSOR = f"{_PACKAGE}tensor_feature.Tensor"
_FILE_PATTERN = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_INFO_KEYS = frozenset(
    ("citation", "description", "disableShuffling", "fileFormat", "moduleName", "name", "splits", "version")
)
_SPLIT_KEYS = frozenset(("filepathTemplate", "name", "numBytes", "shardLengths"))
_SKIPPED = frozenset(("name", "reason"))
_PAIR = frozenset(("first", "second", "first_label", "second_label", "first_split", "second_split", "difference"))

_Feature = tuple[str, str, tuple[str, ...]]  # class, dtype, shape
_TEXT_KEYS = ("id", "label", "license", "mask_kind", "path", "patient_id", "sex", "source", "upstream_label", "view")
_FIRST: dict[str, _Feature] = {
    **{key: (_TEXT, "", ()) for key in _TEXT_KEYS},
    **{key: (_TENSOR, "string", ()) for key in ("image", "lesions", "mask")},
    **{key: (_SCALAR, "int32", ()) for key in ("height", "width")},
    "age": (_SCALAR, "float32", ()),
    "spacing": (_TENSOR, "float32", ("2",)),
}
_SECOND: dict[str, _Feature] = _FIRST | {
    "format": (_TEXT, "", ()),
    "color": (_TEXT, "", ()),
    "bits": (_SCALAR, "int32", ()),
    "inverted": (_SCALAR, "bool", ()),
}
_THIRD: dict[str, _Feature] = _SECOND | {"findings": (_TEXT, "", ())}  # of `cxrjax.io.findings`
FORMS: dict[str, dict[str, _Feature]] = {"1": _FIRST, "2": _SECOND, "3": _THIRD}  # by the first number of the version


class DatasetError(CxrjaxError):
    """A data set or a split that is not there, or not fit for the task; the message says which and why."""


class Records(Sequence[dict[str, Any]]):
    """The stored examples of a split, by number; a damaged file is `DatasetError`, which names the split."""

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str):
        """Open a split.

        Args:
            builder: of `open_builder`.
            split: one that holds something.

        Raises:
            DatasetError: its files are damaged, or not there.
        """
        self._name = f"{builder.data_path}: split {split}"
        try:
            self._source: Any = builder.as_data_source(split)  # pyright: ignore[reportCallIssue] (a decorated method)
        except Exception as error:
            raise self._explain(error) from error

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, number: int) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride] (no slices)
        if not 0 <= number < len(self):
            raise IndexError(f"{self._name} has no record {number} of {len(self)}")
        try:
            record: dict[str, Any] = self._source[number]
        except Exception as error:  # readers of damaged records raise whatever they like
            raise self._explain(error) from error
        return {former_names.RECORD_FIELDS.get(field, field): value for field, value in record.items()}

    def _explain(self, error: Exception) -> DatasetError:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(";")[0]
        return DatasetError(f"{self._name} is damaged ({reason}); prepare the data set again")


def open_builder(folder: str | Path) -> tfds.core.DatasetBuilder:
    """Open a prepared data set that `data_prep` wrote.

    Args:
        folder: the one that holds `dataset_info.json`.

    Raises:
        DatasetError: a file is missing or damaged, or says what `data_prep` never writes.
    """
    folder = Path(folder)
    info = _check_info(folder / COMPLETE_MARKER)
    _check_features(folder / FEATURES, FORMS[info["version"].partition(".")[0]])
    if strange := [path for path in folder.glob("*.array_record*") if not path.is_file()]:
        raise DatasetError(f"{strange[0]}: not a file, but a folder, device or pipe; the data set is not opened")
    try:
        builder = tfds.builder_from_directory(folder)
        builder.info.splits  # noqa: B018 -- read now, so that what is damaged is found here
    except Exception as error:  # TFDS and protobuf raise whatever they like
        raise _refuse(folder / COMPLETE_MARKER, "TFDS cannot read it") from error
    return builder


def keep_newest(folders: list[str]) -> list[str]:
    """Return the newest of the folders alone where all are versions of one data set, else all of them."""
    names = [Path(folder).name for folder in folders]
    are_versions = all(re.fullmatch(r"\d+\.\d+\.\d+", name) for name in names)
    if not are_versions or len({Path(folder).parent for folder in folders}) != 1:
        return folders
    return [max(folders, key=lambda folder: tuple(map(int, Path(folder).name.split("."))))]


def read_json(path: Path) -> Any:
    """Read a JSON file of a data set, under the keys of today.

    Raises:
        DatasetError: it is not there, too large, or damaged.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DatasetError(f"{path}: not a file, but a folder, device, pipe or socket; the data set is not opened")
        if status.st_size > _LARGEST and path.name in (COMPLETE_MARKER, FEATURES):
            raise DatasetError(f"{path}: larger than any that data_prep writes; the data set is not opened")
        return former_names.upgrade(json.loads(path.read_bytes()), path.name)
    except OSError as error:
        raise DatasetError(f"{path}: {(error.strerror or str(error)).lower()}; prepare the data set again") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: damaged, not JSON; prepare the data set again") from error


def read_report(folder: str | Path) -> dict[str, Any]:
    """Read what was prepared and what was left out, `report.json` of a data set.

    Raises:
        DatasetError: it is not there, or damaged.
    """
    path = Path(folder, REPORT)
    report = read_json(path)
    if not _is_report(report):
        raise DatasetError(f"{path}: damaged, it lacks what data_prep writes; prepare the data set again")
    return report


def decode(stored: Mapping[str, Any], read: Callable[[bytes, str], Radiograph] = decoding.decode) -> Radiograph:
    """Decode the radiograph of a stored example.

    Args:
        stored: see `data_prep/example.py`. Version 1 of the data sets held files; from version 2 on they hold pixels,
            and what the file said of them beside.
        read: decodes a file by its content and name: in this process, or by `radiograph.decode` in one that may die.

    Raises:
        ImageReadError: it does not decode.
    """
    radiograph = read(stored["image"], as_text(stored["path"]))
    if "format" not in stored:
        return radiograph
    return dataclasses.replace(radiograph, format=as_text(stored["format"]), inverted=bool(stored["inverted"]))


def as_text(value: bytes | str) -> str:
    """Return a stored text as str."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _is_report(report: Any) -> bool:
    forms = {"settings": dict, "counts": dict, "skipped": list, "duplicates": list}
    if not isinstance(report, dict) or any(not isinstance(report.get(key), form) for key, form in forms.items()):
        return False
    return (
        "duplicates" in report["settings"]
        and all(map(_is_counts, report["counts"].values()))
        and all(_has_texts(record, _SKIPPED) for record in report["skipped"])
        and all(
            _has_texts(pair, _PAIR) and isinstance(pair.get("similarity"), float | int) for pair in report["duplicates"]
        )
        and isinstance(report.get("remarks", []), list)
        and all(isinstance(remark, str) for remark in report.get("remarks", []))
        and isinstance(report.get("patients_known", {}), dict)
        and all(map(_is_counts, report.get("patients_known", {}).values()))
    )


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(count, int) for count in value.values())


def _has_texts(value: Any, keys: frozenset[str]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in keys)


def _check_info(path: Path) -> dict[str, Any]:
    info = read_json(path)
    if not isinstance(info, dict):
        raise _refuse(path, "it is no object")
    if strange := sorted(info.keys() - _INFO_KEYS):
        raise _refuse(path, f"it has {strange[0]!r}")
    if info.get("moduleName") != "data_prep.builder" or info.get("fileFormat") != "array_record":
        raise _refuse(path, "it names another module or file format")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(info.get("name"))):
        raise _refuse(path, "its name is none that data_prep gives")
    version = info.get("version")
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}", version):
        raise _refuse(path, "it has no version")
    if version.partition(".")[0] not in FORMS:
        raise DatasetError(
            f"{path}: the data set has version {version}, and this cxrjax reads {', '.join(FORMS)}; prepare it "
            "again, or install the cxrjax that wrote it"
        )
    splits = info.get("splits", [])
    if not isinstance(splits, list) or not all(map(_is_split, splits)):
        raise _refuse(path, "its splits are not stored as data_prep stores them")
    return info


def _is_split(split: Any) -> bool:
    return (
        isinstance(split, dict)
        and split.keys() <= _SPLIT_KEYS
        and split.get("filepathTemplate") == _FILE_PATTERN
        and re.fullmatch(r"[A-Za-z]\w*", str(split.get("name"))) is not None
        and split["name"] != "all"  # which TFDS takes for all of them
        and isinstance(split.get("shardLengths", []), list)
        and all(re.fullmatch("[0-9]{1,9}", str(length)) for length in split.get("shardLengths", []))
    )


def _check_features(path: Path, form: Mapping[str, _Feature]) -> None:
    content = read_json(path)
    try:
        features = content["featuresDict"]["features"]
        is_ours = content.keys() == {"featuresDict", "pythonClassName"}
        is_ours &= content["pythonClassName"] == _PACKAGE + "features_dict.FeaturesDict"
        is_ours &= content["featuresDict"].keys() == {"features"}
        is_ours &= {name: _describe(feature) for name, feature in features.items()} == form
    except (AttributeError, KeyError, TypeError, ValueError):
        is_ours = False
    if not is_ours:
        raise _refuse(path, "its features are not those of a radiograph")


def _describe(feature: Mapping[str, Any]) -> _Feature:
    """Return class, dtype and shape of a feature.

    Raises:
        ValueError: it has other keys.
    """
    name = feature["pythonClassName"]
    if name == _TEXT and feature.keys() == {"pythonClassName", "text"} and not feature["text"]:
        return name, "", ()
    tensor = feature["tensor"]
    if feature.keys() != {"pythonClassName", "tensor"} or not tensor.keys() <= {"dtype", "encoding", "shape"}:
        raise ValueError("a feature of another form")
    if tensor.get("encoding", "none") != "none" or not tensor["shape"].keys() <= {"dimensions"}:
        raise ValueError("a tensor of another form")
    return name, tensor["dtype"], tuple(tensor["shape"].get("dimensions", ()))


def _refuse(path: Path, reason: str) -> DatasetError:
    return DatasetError(f"{path}: not a data set that data_prep wrote ({reason}); it is not opened")
