"""Radiographs with their lungs, as the training of a classifier is shown them: held, or read whenever they are needed.

Their lungs are found once, by the segmenter: of radiographs that are held they are held, of others packed.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from cxrjax.data import batch, dataset
from cxrjax.inference.lung_segmenter import LungMasks, LungSegmenter


class ClassificationData(NamedTuple):
    """n radiographs, ready for a training or its validation."""

    labels: np.ndarray  # int32 [n], indices of the classes
    found: np.ndarray  # bool [n], whether lungs are
    # rows int [m], rising -> "images", "lungs" and "labels" of them, as `task.Task.data` has it
    show: Callable[[np.ndarray], Any]
    # () -> all of them in order, as (images, masks, confidence, image_ids of `batch.Split`), arrays [batch_size, …];
    # in the last batch the last radiograph is repeated
    batches: Callable[[], Iterator[Any]]
    batch_size: int
    held: bool  # whether the batches may be held; there is only one then


def build_examples(
    config: ConfigDict, finder: LungSegmenter, radiographs: batch.RadiographBatch | dataset.RadiographDataset, name: str
) -> ClassificationData:
    """Find the lungs of the radiographs of a training.

    Args:
        config: of a classifier.
        finder: of it.
        radiographs: labelled with its classes.
        name: of the split that they are; under it what is found is kept.

    Returns:
        The Examples; of a Split held, of what is Stored read again whenever they are asked for.

    Raises:
        data.MissingData: a label is not among the classes.
    """
    if isinstance(radiographs, batch.RadiographBatch):
        return _hold(config, finder, radiographs, name)
    return _stream(config, finder, radiographs, name)


def _hold(config: ConfigDict, finder: LungSegmenter, split: batch.RadiographBatch, name: str) -> ClassificationData:
    labels = dataset.index_labels(split, tuple(config.classifier.classes))
    lungs = _join(len(split), (lungs for _, lungs in finder.recall_all(split, name)))

    def show(rows: np.ndarray) -> dict[str, Any]:
        shown = {"images": split.images, "lungs": (lungs.masks, lungs.confidence), "labels": labels}
        return shown if len(rows) == len(split) else jax.tree.map(lambda x: x[rows], shown)

    def batches() -> Iterator[Any]:
        yield split.images, lungs.masks, lungs.confidence, split.image_ids

    return ClassificationData(labels, lungs.found, show, batches, len(split), held=True)


def _stream(
    config: ConfigDict, finder: LungSegmenter, stored: dataset.RadiographDataset, name: str
) -> ClassificationData:
    labels, batch_size = dataset.index_labels(stored, tuple(config.classifier.classes)), config.evaluation.batch_size
    each = [
        _pack(*jax.tree.map(lambda x, i=i: x[i], lungs))
        for part, lungs in finder.recall_all(stored, name)
        for i in range(len(part))
    ]

    def show(rows: np.ndarray) -> Callable[[int], dict[str, Any]]:
        def read(k: int) -> dict[str, Any]:
            row = rows[k]
            return {"images": stored.image(row), "lungs": each[row].unpack(), "labels": labels[row]}

        return read

    def batches() -> Iterator[Any]:
        first = 0
        for part in stored.parts(batch_size):
            rows = np.minimum(np.arange(batch_size), len(part) - 1)
            lungs = [each[first + row].unpack() for row in rows]
            yield part.images[rows], *jax.tree.map(lambda *one: np.stack(one), *lungs), part.image_ids[rows]
            first += len(part)

    return ClassificationData(labels, np.array([one.found for one in each]), show, batches, batch_size, held=False)


def _join(count: int, parts: Iterable[LungMasks]) -> LungMasks:
    """The lungs of so many radiographs, part by part put in their place, so that they are not held twice."""
    whole, first = None, 0
    for part in parts:
        if whole is None:
            whole = jax.tree.map(lambda x: np.empty((count, *x.shape[1:]), x.dtype), part)
        rows = slice(first, first + len(part.found))
        jax.tree.map(lambda to, x, rows=rows: to.__setitem__(rows, x), whole, part)
        first = rows.stop
    return whole


class _PackedMask(NamedTuple):
    """The lungs of one radiograph in some kilobytes; see Lungs."""

    bits: bytes | None
    side: int
    confidence: np.float32 | None
    found: bool

    def unpack(self) -> tuple[np.ndarray | None, np.float32 | None]:
        """The mask bool [S, S] and the confidence."""
        if self.bits is None:
            return None, None
        rows = np.frombuffer(zlib.decompress(self.bits), np.uint8).reshape(self.side, -1)
        return np.unpackbits(rows, axis=-1, count=self.side).astype(bool), self.confidence


def _pack(mask: np.ndarray | None, confidence: np.float32 | None, found: np.bool_) -> _PackedMask:
    if mask is None:
        return _PackedMask(None, 0, None, bool(found))
    return _PackedMask(zlib.compress(np.packbits(mask, axis=-1).tobytes(), 1), len(mask), confidence, bool(found))
