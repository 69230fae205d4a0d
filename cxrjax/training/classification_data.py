"""Radiographs with their lung masks, as training data of a classifier: in memory, or read as they are needed.

The segmenter predicts each lung mask once. The masks of radiographs in memory stay in memory; those of radiographs on
disk are packed to some kilobytes each.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cxrjax.config import Config
from cxrjax.data import dataset, truth_table
from cxrjax.data.batch import RadiographBatch
from cxrjax.inference.lung_segmenter import LungMasks, LungSegmenter


class ClassificationData(NamedTuple):
    """Data of n radiographs for training or validation."""

    # int32 [n], indices of the classes; or float32 [n, k], `truth_table.index_targets` of the findings
    labels: np.ndarray
    has_lungs: np.ndarray  # bool [n], whether the segmenter found lungs
    # sorted rows int [m] -> "images", "lungs" and "labels" of these rows, in the form of `Task.data`
    select: Callable[[np.ndarray], Any]
    # rows -> (image uint8 [S, S], lung mask bool [S, S] or None without a segmenter) of each
    read: Callable[[Sequence[int]], list[tuple[np.ndarray, np.ndarray | None]]]
    # () -> batches of all radiographs in order, each (images, masks, confidence, image_ids), arrays [batch_size, …];
    # the last batch is padded by repeating the last radiograph
    iter_batches: Callable[[], Iterator[Any]]
    batch_size: int
    in_memory: bool  # if so, there is a single batch, which may stay on the devices


def build_examples(
    config: Config, segmenter: LungSegmenter, radiographs: RadiographBatch | dataset.RadiographDataset, split: str
) -> ClassificationData:
    """Segment the lungs of radiographs, and return the data for training or validation.

    Args:
        config: config of a classifier.
        segmenter: segments the lungs for this config.
        radiographs: labeled with the classes of the config.
        split: name of the split, under which the masks are cached.

    Returns:
        The data; in memory for a RadiographBatch, read again on each access for a RadiographDataset.

    Raises:
        DatasetError: a label is not among the classes.
    """
    if isinstance(radiographs, RadiographBatch):
        return _build_in_memory(config, segmenter, radiographs, split)
    return _build_streaming(config, segmenter, radiographs, split)


def _build_in_memory(
    config: Config, segmenter: LungSegmenter, radiographs: RadiographBatch, split: str
) -> ClassificationData:
    labels = truth_table.index_truth(radiographs, config.classifier)
    lungs = _concatenate(len(radiographs), (masks for _, masks in segmenter.segment_dataset(radiographs, split)))

    def select(rows: np.ndarray) -> dict[str, Any]:
        arrays = {"images": radiographs.images, "lungs": (lungs.masks, lungs.confidence), "labels": labels}
        return arrays if len(rows) == len(radiographs) else jax.tree.map(lambda x: x[rows], arrays)

    def read(rows: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        return [(radiographs.images[row], None if lungs.masks is None else lungs.masks[row]) for row in rows]

    def iter_batches() -> Iterator[Any]:
        yield radiographs.images, lungs.masks, lungs.confidence, radiographs.image_ids

    return ClassificationData(
        labels=labels,
        has_lungs=lungs.has_lungs,
        select=select,
        read=read,
        iter_batches=iter_batches,
        batch_size=len(radiographs),
        in_memory=True,
    )


def _build_streaming(
    config: Config, segmenter: LungSegmenter, radiographs: dataset.RadiographDataset, split: str
) -> ClassificationData:
    labels = truth_table.index_truth(radiographs, config.classifier)
    batch_size = config.evaluation.batch_size
    packed_masks = [
        _pack(*jax.tree.map(lambda x, i=i: x[i], lungs))
        for chunk, lungs in segmenter.segment_dataset(radiographs, split)
        for i in range(len(chunk))
    ]

    def select(rows: np.ndarray) -> Callable[[int], dict[str, Any]]:
        def read_selected(k: int) -> dict[str, Any]:
            row = rows[k]
            return {"images": radiographs.image(row), "lungs": packed_masks[row].unpack(), "labels": labels[row]}

        return read_selected

    def read(rows: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        return [(radiographs.image(row), packed_masks[row].unpack()[0]) for row in rows]

    def iter_batches() -> Iterator[Any]:
        start = 0
        for batch in radiographs.iter_batches(batch_size):
            rows = np.minimum(np.arange(batch_size), len(batch) - 1)
            lungs = [packed_masks[start + row].unpack() for row in rows]
            masks, confidence = jax.tree.map(lambda *leaves: np.stack(leaves), *lungs)
            yield batch.images[rows], masks, confidence, batch.image_ids[rows]
            start += len(batch)

    return ClassificationData(
        labels=labels,
        has_lungs=np.array([mask.has_lungs for mask in packed_masks]),
        select=select,
        read=read,
        iter_batches=iter_batches,
        batch_size=batch_size,
        in_memory=False,
    )


def _concatenate(count: int, chunks: Iterable[LungMasks]) -> LungMasks:
    """Concatenate chunks of lung masks with `count` rows in total, copying each in turn to bound the memory."""
    joined: Any = None
    start = 0
    for chunk in chunks:
        if joined is None:
            joined = jax.tree.map(lambda x: np.empty((count, *x.shape[1:]), x.dtype), chunk)
        rows = slice(start, start + len(chunk.has_lungs))
        jax.tree.map(lambda target, x, rows=rows: target.__setitem__(rows, x), joined, chunk)
        start = rows.stop
    return joined


class _PackedMask(NamedTuple):
    """Compressed lung mask of one radiograph, some kilobytes; the fields of `LungMasks` for one row."""

    bits: bytes | None
    side: int
    confidence: np.float32 | None
    has_lungs: bool

    def unpack(self) -> tuple[np.ndarray | None, np.float32 | None]:
        """Return the mask bool [S, S] and the confidence; None and None without a segmenter."""
        if self.bits is None:
            return None, None
        rows = np.frombuffer(zlib.decompress(self.bits), np.uint8).reshape(self.side, -1)
        return np.unpackbits(rows, axis=-1, count=self.side).astype(bool), self.confidence


def _pack(mask: np.ndarray | None, confidence: np.float32 | None, has_lungs: np.bool_) -> _PackedMask:
    if mask is None:
        return _PackedMask(None, 0, None, bool(has_lungs))
    bits = zlib.compress(np.packbits(mask, axis=-1).tobytes(), 1)
    return _PackedMask(bits, len(mask), confidence, bool(has_lungs))
