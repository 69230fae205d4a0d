"""Radiographs in memory, and all that is known of them: what data sets are read into, and what works on their rows."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

# Radiographs that are held at once, about, where not all need be: bounds the memory; results do not depend on it.
STRUCTURES_KNOWN = 0  # the mask annotates the heart and each lung
LUNGS_KNOWN = 1  # the mask annotates the lungs as one
CHUNK_SIZE = 64


class RadiographBatch(NamedTuple):
    """n radiographs of side S, in arrays of the host."""

    paths: list[str]
    patients: list[str]
    sources: list[str]
    labels: list[str]
    image_ids: np.ndarray  # uint32 [n], `hash_images` of the radiographs as they are stored
    images: np.ndarray  # uint8 [n, S, S], standardised
    masks: np.ndarray  # uint8 [n, S, S]: structure labels, or 1 in the lungs; zeros where not known
    kinds: np.ndarray  # int32 [n]: STRUCTURES_KNOWN or LUNGS_KNOWN; -1 where there is no mask
    lesions: np.ndarray | None  # bool [n, S, S], known lesions; None where none of the radiographs has them
    views: list[str]  # as upstream writes it, "" where not known
    sexes: list[str]  # likewise
    ages: np.ndarray  # float32 [n], years; NaN where not known
    extents: np.ndarray  # float32 [n, 2], height and width of what `images` shows, mm; NaN where not known

    def __len__(self) -> int:
        return len(self.paths)

    def parts(self, count: int) -> Iterator["RadiographBatch"]:
        """All of it, `count` radiographs at a time and in the last part fewer."""
        for first in range(0, len(self), count):
            yield RadiographBatch(*(x if x is None else x[first : first + count] for x in self))

    def take(self, rows: Sequence[int]) -> "RadiographBatch":
        """The radiographs at some rows."""
        rows = np.asarray(rows, np.intp)
        pick = [x if x is None else x[rows] if isinstance(x, np.ndarray) else [x[i] for i in rows] for x in self]
        return RadiographBatch(*pick)


def with_columns(split: RadiographBatch, **columns: Any) -> RadiographBatch:
    """A split with other columns; its own `_replace` takes the number of radiographs for that of its fields."""
    return RadiographBatch(**(split._asdict() | columns))


def join(parts: Sequence[RadiographBatch]) -> RadiographBatch:
    """Splits, one after the other; lesions are there in all of them or in none."""

    def put_together(columns: tuple[Any, ...]) -> Any:
        if columns[0] is None:
            return None
        return np.concatenate(columns) if isinstance(columns[0], np.ndarray) else list(chain(*columns))

    return RadiographBatch(*map(put_together, zip(*parts, strict=True)))


def hash_images(images: np.ndarray) -> np.ndarray:
    """Return the checksums uint32 [n] of standardized radiographs uint8 [n, S, S]: CRC-32 of the pixels, row by row.

    The random key of a radiograph is folded from it, so that what is drawn depends on its pixels, and not on its name,
    its folder or its batch.
    """
    return np.array([zlib.crc32(np.ascontiguousarray(image)) for image in images], np.uint32)


def padded_batches(count: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rows 0..count in order, `size` at a time: (rows int32 [size], how many of them count).

    The last batch is filled up with its last row, so that one compiled program serves all.
    """
    for start in range(0, count, size):
        rows = np.arange(start, start + size, dtype=np.int32)
        yield np.minimum(rows, count - 1), min(size, count - start)


def chunk_size(batch_size: int) -> int:
    """Radiographs to be held at once, PORTION or a few more: whole batches."""
    return -(-CHUNK_SIZE // batch_size) * batch_size
