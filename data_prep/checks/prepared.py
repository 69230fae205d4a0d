"""A prepared data set, read back without TensorFlow."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_prep.builder import REPORT, WHOLE
from data_prep.row import CannotPrepare


def locate(folder: str | Path) -> Path:
    """The folder OUT/NAME/VERSION of a prepared data set; of OUT/NAME its newest version.

    Raises:
        CannotPrepare: no data set that is complete is there.
    """
    folder = Path(folder)
    if (folder / WHOLE).is_file():
        return folder
    versions = [path.parent for path in folder.glob(f"[0-9]*.[0-9]*.[0-9]*/{WHOLE}")]
    if not versions:
        raise CannotPrepare(f"{folder}: no prepared data set is here (OUT/NAME or OUT/NAME/VERSION is needed)")
    return max(versions, key=lambda version: tuple(map(int, version.name.split("."))))


def read_report(version: Path) -> dict[str, Any]:
    """What was prepared and what was left out, see `prepare`."""
    return json.loads((version / REPORT).read_text(encoding="utf-8"))


def open_splits(version: Path) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The records of every split, to be read by number; see `text` for their words."""
    sources = tfds.builder_from_directory(version).as_data_source()
    return {str(split): records for split, records in sources.items()}


def read_records(version: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Every record with its split and its number there; text as str, files as bytes."""
    for split, records in open_splits(version).items():
        for number in range(len(records)):
            yield split, number, decode_text(records[number])


def decode_text(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its words as str; files stay bytes."""
    return {
        key: value.decode() if isinstance(value, bytes) and key not in ("image", "mask", "lesions") else value
        for key, value in record.items()
    }
