"""Shards: the pieces of a data set, each written on its own, one radiograph in memory at a time.

TFDS's own writers hold a whole split, or a whole shard, in memory, and from 1 GB on a split want TensorFlow.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from array_record.python.array_record_module import ArrayRecordWriter

from data_prep.example import Example, features
from data_prep.record import PreparationError, Record, RecordError

MAX_RECORDS, MAX_BYTES = (
    1000,
    64 << 20,
)  # at most, so that the shards of a large data set keep several workers evenly busy


class Shard(NamedTuple):
    """Radiographs that are stored together."""

    split: str
    rows: list[Record]
    path: str  # of the array_record file to be


class ShardResult(NamedTuple):
    """What became of a shard."""

    size: int  # bytes of its records
    counts: dict[str, int]  # label -> radiographs
    skipped: list[dict[str, str]]  # as in the report


def chunk(rows: Sequence[Record]) -> Iterator[list[Record]]:
    """Cuts a split into shards: the same ones whoever writes them."""
    shard, size = [], 0
    for row in rows:
        more = row.file.stat().st_size if row.file and row.file.is_file() else 0
        if len(shard) == MAX_RECORDS or (shard and size + more > MAX_BYTES):
            yield shard
            shard, size = [], 0
        shard.append(row)
        size += more
    yield shard


def write_shard(
    shard: Shard, read: Callable[[Record], Example], tick: Callable[[], object] = lambda: None
) -> ShardResult:
    """Reads the radiographs of a shard and writes those that are sound.

    Args:
        shard: what to write, and where.
        read: a row to an example; `RecordError` where it cannot be had.
        tick: called after each radiograph.

    Raises:
        PreparationError: the disk is full, or the file cannot be written.
    """
    size, counts, skipped, form = 0, Counter(), [], features()
    writer = ArrayRecordWriter(shard.path, "group_size:1")  # each record can be read alone, as TFDS writes it
    for row in shard.rows:
        try:
            example = read(row)
        except RecordError as error:
            skipped.append({"name": row.id, "split": shard.split, "reason": str(error)})
        else:
            record = form.serialize_example(example.record())
            with _in_words(shard.path):
                writer.write(record)
            size += len(record)
            counts[example.label] += 1
        tick()
    with _in_words(shard.path):
        writer.close()
    return ShardResult(size, dict(counts), skipped)


@contextlib.contextmanager
def _in_words(path: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # the only one that the writer has
        raise PreparationError(f"{path}: {str(error).split(';')[0]}") from error
