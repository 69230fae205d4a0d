"""Shards: parts of a data set that are written independently, with one radiograph in memory at a time, or a few.

TFDS's own writers keep a whole split or a whole shard in memory, and need TensorFlow for splits of 1 GB or more.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from array_record.python.array_record_module import ArrayRecordWriter

from cxrjax.runtime.read_ahead import map_ahead
from data_prep.example import Example, features
from data_prep.record import PreparationError, Record, RecordError

# Per shard, so that the shards of a large data set keep several workers evenly busy.
MAX_RECORDS = 1000
MAX_BYTES = 64 << 20


class Shard(NamedTuple):
    """Radiographs that are stored together."""

    split: str
    records: list[Record]
    path: str  # of the array_record file that will be written
    has_findings: bool = False  # whether the data set has the field `findings`


class ShardResult(NamedTuple):
    """Contents of a written shard."""

    size: int  # bytes of its records
    counts: dict[str, int]  # label -> radiographs
    skipped: list[dict[str, str]]  # entries of the report


def chunk(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Divide the radiographs of a split into shards, independently of how many workers write them."""
    shard: list[Record] = []
    shard_bytes = 0
    for record in records:
        file_bytes = record.file.stat().st_size if record.file and record.file.is_file() else 0
        if len(shard) == MAX_RECORDS or (shard and shard_bytes + file_bytes > MAX_BYTES):
            yield shard
            shard = []
            shard_bytes = 0
        shard.append(record)
        shard_bytes += file_bytes
    yield shard


def write_shard(
    shard: Shard,
    read: Callable[[Record], Example],
    tick: Callable[[], object] = lambda: None,
    num_threads: int = 1,
) -> ShardResult:
    """Read the radiographs of a shard and write those that are readable, in their order.

    Args:
        shard: its radiographs and its file.
        read: converts a record to an example; raises `RecordError` if it cannot.
        tick: called after each radiograph.
        num_threads: threads that call `read`; as many radiographs more are in memory.

    Raises:
        PreparationError: the disk is full, or the file cannot be written.
    """
    size = 0
    counts: Counter[str] = Counter()
    skipped = []
    serializer = features(shard.has_findings)
    writer = ArrayRecordWriter(shard.path, "group_size:1")  # each record can be read alone, as TFDS writes it

    def try_to_read(record: Record) -> Example | RecordError:
        try:
            return read(record)
        except RecordError as error:
            return error

    if num_threads > 1:
        examples = map_ahead(try_to_read, shard.records, num_threads=num_threads, num_ahead=num_threads)
    else:
        examples = map(try_to_read, shard.records)
    for record, example in zip(shard.records, examples, strict=True):
        if isinstance(example, RecordError):
            skipped.append({"name": record.id, "split": shard.split, "reason": str(example)})
        else:
            values = example.to_dict()
            serialized = serializer.serialize_example({name: values[name] for name in serializer})
            with _preparation_errors(shard.path):
                writer.write(serialized)
            size += len(serialized)
            counts[example.label] += 1
        tick()
    with _preparation_errors(shard.path):
        writer.close()
    return ShardResult(size, dict(counts), skipped)


@contextlib.contextmanager
def _preparation_errors(path: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # the only type that the writer raises
        raise PreparationError(f"{path}: {str(error).split(';')[0]}") from error
