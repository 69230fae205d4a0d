"""Prepared data sets on disk: TFDS data sets in array_record files, as `python -m data_prep` writes them.

`data_prep/example.py` defines the form of a record. `cxrjax.data.dataset` decodes the records.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from cxrjax.io import findings, prepared
from cxrjax.io.prepared import DatasetError
from cxrjax.io.prepared import as_text as _text

_SPLITS_CSV = "splits.csv"
_TEXT_FIELDS = ("path", "patient_id", "source", "label", "view", "sex", "mask_kind", "format", "color")


def find_dir(directory: str) -> str:
    """Return the folder of the one prepared data set in a directory, its newest version.

    Raises:
        DatasetError: the directory is "", or has no data set or several.
    """
    if not directory:
        raise DatasetError("config.data.dir is empty: name a prepared data set")
    # A preparation in progress writes to a folder called incomplete.*
    infos = [info for info in Path(directory).rglob("dataset_info.json") if "incomplete." not in str(info)]
    folders = prepared.keep_newest(sorted({str(info.parent) for info in infos}))
    if not folders:
        raise DatasetError(f"{directory}: there is no prepared data set here; `python -m data_prep --help` makes one")
    if len(folders) > 1:
        raise DatasetError(f"{directory}: there is more than one data set here: {', '.join(folders)}; name one")
    return folders[0]


def open_records(directory: str, split: str) -> list[Sequence[dict[str, Any]]]:
    """Open the records of a split, or of several joined by "+": one random-access sequence per split.

    Raises:
        DatasetError: there is no data set, or no such split, or it is empty.
    """
    builder = prepared.open_builder(find_dir(directory))
    available = _nonempty_splits(builder)
    for name in split.split("+"):
        if name not in available:
            raise DatasetError(f"{directory}: there is no split {name!r} (splits: {', '.join(available) or 'none'})")
    return [prepared.Records(builder, name) for name in split.split("+")]


def iter_records(directory: str, split: str) -> Iterator[dict[str, Any]]:
    """Yield the record of each radiograph of a split (see `data_prep/example.py`), without decoding its images."""
    for records in open_records(directory, split):
        for record in records:
            yield {key: _text(value) if key in _TEXT_FIELDS else value for key, value in record.items()}


def load_columns(directory: str, split: str, *fields: str, label_map: findings.LabelMap = ()) -> dict[str, list[Any]]:
    """Read fields of all records of a split: field -> values in the order of the records.

    Args:
        directory: the data set.
        split: the split, or several joined by "+".
        *fields: text fields, and "findings", which `read_labels` returns.
        label_map: labels and findings that are renamed or merged, see `read_labels`.

    Raises:
        DatasetError: there is no data set, or no such split, or it is empty.
    """
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    for record in iter_records(directory, split):
        label, known_findings = read_labels(record, label_map)
        current = record | {"label": label, "findings": known_findings}
        for field, values in columns.items():
            values.append(current[field])
    return columns


def read_labels(record: Mapping[str, Any], label_map: findings.LabelMap = ()) -> tuple[str, dict[str, float] | None]:
    """Return the label and the findings of a record.

    Args:
        record: the record, as it is stored.
        label_map: `data.label_map`: (name, new name) of labels or findings that are renamed or merged.

    Returns:
        The label, and the findings of `cxrjax.io.findings`; None of a data set with one label per radiograph.

    Raises:
        DatasetError: the findings are not stored as `data_prep` stores them.
    """
    label = _text(record["label"])
    if "findings" not in record:
        return dict(label_map).get(label, label), None
    try:
        known_findings = findings.decode(_text(record["findings"]))
    except (ValueError, RecursionError) as error:
        path = _text(record["path"])
        raise DatasetError(f"{path}: its findings are damaged ({error}); prepare the data set again") from error
    if not label_map:
        return label, known_findings
    known_findings = findings.rename(known_findings, label_map)
    return findings.format_label(known_findings), known_findings


def load_labels(directory: str, split: str, label_map: findings.LabelMap = ()) -> tuple[list[str], list[str]]:
    """Return the sources and the labels of the radiographs of a split, without decoding images; see `read_labels`."""
    columns = load_columns(directory, split, "source", "label", label_map=label_map)
    return columns["source"], columns["label"]


def list_splits(directory: str) -> list[str]:
    """Return the names of the non-empty splits of a prepared data set.

    Raises:
        DatasetError: there is no data set.
    """
    return _nonempty_splits(prepared.open_builder(find_dir(directory)))


def dataset_name(directory: str) -> str:
    """Return the name of a prepared data set."""
    return prepared.open_builder(find_dir(directory)).name


def read_identity(directory: str) -> dict[str, Any]:
    """Return what tells a prepared data set from others, wherever it lies, without reading its records.

    Returns:
        "name"; "version"; "splits": name of each non-empty split -> {"radiographs", "bytes"}; and "splits_csv": SHA-256
        of splits.csv, the list of all radiographs with their splits, "" where an earlier version wrote none.

    Raises:
        DatasetError: there is no data set.
    """
    builder = prepared.open_builder(find_dir(directory))
    splits = {
        name: {"radiographs": builder.info.splits[name].num_examples, "bytes": int(builder.info.splits[name].num_bytes)}
        for name in _nonempty_splits(builder)
    }
    table = Path(builder.data_path) / _SPLITS_CSV
    digest = hashlib.sha256(table.read_bytes()).hexdigest() if table.is_file() else ""
    return {"name": builder.name, "version": str(builder.version), "splits": splits, "splits_csv": digest}


def read_report(directory: str) -> dict[str, Any]:
    """Read the preparation report of a data set (`report.json`): counts, skipped files, near-duplicates.

    Returns:
        The report; {} if the data set has none.

    Raises:
        DatasetError: there is no data set, or the report is damaged.
    """
    folder = find_dir(directory)
    return prepared.read_report(folder) if Path(folder, prepared.REPORT).exists() else {}


def read_patients_known(directory: str) -> dict[str, dict[str, int]] | None:
    """Read from the preparation report how many radiographs have a known patient.

    Returns:
        Split -> {"radiographs", "patients" (with a patient id), "by_study" (radiographs that only a study keeps
        together), "without" (radiographs without patient or study)}; None if an older version prepared the data set.
    """
    return read_report(directory).get("patients_known") or None


def read_card(directory: str) -> dict[str, Any] | None:
    """Read the facts of the data card of a data set; None if `python -m data_prep describe` did not write one.

    Raises:
        DatasetError: there is no data set, or the card is damaged.
    """
    path = Path(find_dir(directory)) / "card" / "card.json"
    return prepared.read_json(path) if path.exists() else None


def _nonempty_splits(builder: tfds.core.DatasetBuilder) -> list[str]:
    splits = builder.info.splits
    return sorted(name for name in splits if splits[name].num_examples)
