"""A prepared data set, read back without TensorFlow."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from cxrjax.io import prepared
from cxrjax.io.prepared import COMPLETE_MARKER
from data_prep.record import PreparationError


def find_dataset(folder: str | Path) -> Path:
    """The folder OUT/NAME/VERSION of a prepared data set; of OUT/NAME its newest version.

    Raises:
        PreparationError: no data set that is complete is there.
    """
    folder = Path(folder)
    if (folder / COMPLETE_MARKER).is_file():
        return folder
    versions = [path.parent for path in folder.glob(f"[0-9]*.[0-9]*.[0-9]*/{COMPLETE_MARKER}")]
    if not versions:
        raise PreparationError(f"{folder}: no prepared data set is here (OUT/NAME or OUT/NAME/VERSION is needed)")
    return max(versions, key=lambda version: tuple(map(int, version.name.split("."))))


def read_report(version: Path) -> dict[str, Any]:
    """What was prepared and what was left out, see `prepare`.

    Raises:
        PreparationError: it is missing or damaged.
    """
    with _in_words():
        return prepared.read_report(version)


def open_builder(version: Path) -> tfds.core.DatasetBuilder:
    """Opens a data set.

    Raises:
        PreparationError: it is damaged, or `data_prep` did not write it.
    """
    with _in_words():
        return prepared.open_builder(version)


def open_splits(version: Path) -> dict[str, Sequence[Mapping[str, Any]]]:
    """The records of every split, to be read by number; see `decode_text` for their words.

    Raises:
        PreparationError: the data set is damaged, or `data_prep` did not write it.
    """
    builder = open_builder(version)
    with _in_words():
        return {split: prepared.Records(builder, split) for split in builder.info.splits}


def read_records(version: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Every record with its split and its number there; text as str, files as bytes."""
    for split, records in open_splits(version).items():
        for number in range(len(records)):
            yield split, number, decode_text(records[number])


def decode_text(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its words as str; files stay bytes."""
    return {
        key: prepared.as_text(value) if isinstance(value, bytes) and key not in ("image", "mask", "lesions") else value
        for key, value in record.items()
    }


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except prepared.DatasetError as error:
        raise PreparationError(str(error)) from error
