"""Read a prepared data set without TensorFlow."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from cxrjax.io import prepared
from cxrjax.io.prepared import COMPLETE_MARKER
from data_prep.record import PreparationError


def find_dataset(folder: str | Path) -> Path:
    """Return the folder OUT/NAME/VERSION of a prepared data set; for OUT/NAME its newest version.

    Raises:
        PreparationError: the folder holds no complete data set.
    """
    folder = Path(folder)
    if (folder / COMPLETE_MARKER).is_file():
        return folder
    versions = [path.parent for path in folder.glob(f"[0-9]*.[0-9]*.[0-9]*/{COMPLETE_MARKER}")]
    if not versions:
        raise PreparationError(f"{folder}: no prepared data set is here (OUT/NAME or OUT/NAME/VERSION is needed)")
    return max(versions, key=lambda version: tuple(map(int, version.name.split("."))))


def read_report(version: Path) -> dict[str, Any]:
    """Read `report.json` of a data set, see `prepare`.

    Raises:
        PreparationError: the file is missing or damaged.
    """
    with _preparation_errors():
        return prepared.read_report(version)


def open_builder(version: Path) -> tfds.core.DatasetBuilder:
    """Open a data set.

    Raises:
        PreparationError: it is damaged, or `data_prep` did not write it.
    """
    with _preparation_errors():
        return prepared.open_builder(version)


def open_splits(version: Path) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Open the records of every split, which are read by index; `decode_text` decodes their text.

    Raises:
        PreparationError: the data set is damaged, or `data_prep` did not write it.
    """
    builder = open_builder(version)
    with _preparation_errors():
        return {split: prepared.Records(builder, split) for split in builder.info.splits}


def read_records(version: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield every record with its split and its index in the split; text as str, images as bytes."""
    for split, records in open_splits(version).items():
        for index in range(len(records)):
            yield split, index, decode_text(records[index])


def decode_text(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its text as str; images stay bytes."""
    return {
        key: prepared.as_text(value) if isinstance(value, bytes) and key not in ("image", "mask", "lesions") else value
        for key, value in record.items()
    }


@contextlib.contextmanager
def _preparation_errors() -> Iterator[None]:
    try:
        yield
    except prepared.DatasetError as error:
        raise PreparationError(str(error)) from error
