"""In-memory batches of radiographs with their metadata, and functions of their rows."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, Integer, UInt8, UInt32

STRUCTURES_KNOWN = 0  # the mask annotates the heart and each lung
LUNGS_KNOWN = 1  # the mask annotates the lungs as one, without the heart
LUNGS_WITH_HEART_KNOWN = 2  # as LUNGS_KNOWN, but the mask includes the part of the lungs behind the heart
# Approximate number of radiographs in memory at once, where not all have to be. It bounds the memory; results do not
# depend on it.
CHUNK_SIZE = 64


class RadiographBatch(NamedTuple):
    """In-memory batch of n radiographs of s pixels per side, in arrays of the host."""

    paths: list[str]
    patients: list[str]
    sources: list[str]
    labels: list[str]
    image_ids: UInt32[np.ndarray, "n"]  # `hash_images` of the radiographs as they are stored
    images: UInt8[np.ndarray, "n s s"]  # standardized
    masks: UInt8[np.ndarray, "n s s"]  # structure labels, or 1 in the lungs; zeros where there is no mask
    mask_types: Int32[np.ndarray, "n"]  # one of the types above; -1 where there is no mask
    lesions: Bool[np.ndarray, "n s s"] | None  # annotated lesions; None where no radiograph of the batch has any
    views: list[str]  # projection as the source writes it, "" where unknown
    sexes: list[str]  # as the source writes it, "" where unknown
    ages: Float32[np.ndarray, "n"]  # years; NaN where unknown
    fov_mm: Float32[np.ndarray, "n 2"]  # field of view of `images`, height and width in mm; NaN where unknown
    findings: list[dict[str, float]] | None = None  # of `cxrjax.io.findings`; None where the data set has labels alone

    def __len__(self) -> int:
        return len(self.paths)

    def iter_batches(self, count: int) -> Iterator["RadiographBatch"]:
        """Yield the rows in order, `count` radiographs at a time; the last batch may be smaller."""
        for start in range(0, len(self), count):
            columns: Any = [column if column is None else column[start : start + count] for column in self]
            yield RadiographBatch(*columns)

    def select(self, rows: Sequence[int] | Integer[np.ndarray, "rows"]) -> "RadiographBatch":
        """Return the radiographs at the given rows."""
        indices = np.asarray(rows, np.intp)

        def pick(column: Any) -> Any:
            if column is None:
                return None
            return column[indices] if isinstance(column, np.ndarray) else [column[i] for i in indices]

        return RadiographBatch(*map(pick, self))


def with_columns(batch: RadiographBatch, **columns: Any) -> RadiographBatch:
    """Return a batch with some columns replaced.

    `NamedTuple._replace` cannot be used: it compares `len(batch)`, the number of radiographs, with that of the fields.
    """
    return RadiographBatch(**(batch._asdict() | columns))


def join(batches: Sequence[RadiographBatch]) -> RadiographBatch:
    """Concatenate batches; all of them have lesions, or none has."""

    def concatenate(columns: tuple[Any, ...]) -> Any:
        if columns[0] is None:
            return None
        return np.concatenate(columns) if isinstance(columns[0], np.ndarray) else list(chain(*columns))

    return RadiographBatch(*map(concatenate, zip(*batches, strict=True)))


def hash_images(images: UInt8[np.ndarray, "n h w"] | Sequence[UInt8[np.ndarray, "h w"]]) -> UInt32[np.ndarray, "n"]:
    """Return the checksums of standardized radiographs: CRC-32 of the pixels, row by row.

    The random key of a radiograph is folded from its checksum, so that random draws depend on its pixels and are
    independent of its name, its folder and its batch.
    """
    return np.array([zlib.crc32(image.tobytes()) for image in images], np.uint32)


def padded_batches(count: int, size: int) -> Iterator[tuple[Int32[np.ndarray, "{size}"], int]]:
    """Yield rows 0..count in order, `size` at a time, as (rows, number of valid rows).

    The last batch is padded by repeating its last row, so that one compiled program serves all batches.
    """
    for start in range(0, count, size):
        rows = np.arange(start, start + size, dtype=np.int32)
        yield np.minimum(rows, count - 1), min(size, count - start)


def chunk_size(batch_size: int) -> int:
    """Return the number of radiographs to load at once: CHUNK_SIZE, rounded up to whole batches."""
    return -(-CHUNK_SIZE // batch_size) * batch_size
