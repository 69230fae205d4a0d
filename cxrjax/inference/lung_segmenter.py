"""The lungs of the radiographs that a classifier learns from and is validated on, found once and kept on disk."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from cxrjax.data import batch, dataset
from cxrjax.inference import pipeline
from cxrjax.models import from_config
from cxrjax.runtime import atomic_files, compilation_cache, multihost, sharding

VERSION = 1  # of what finds lungs, `pipeline.segment`: raised when it finds others in the same, by the same network


class LungMasks(NamedTuple):
    """The lungs of n radiographs; without a segmenter None, None and true."""

    masks: np.ndarray | None  # bool [n, S, S]
    confidence: np.ndarray | None  # float32 [n] in 0..1
    found: np.ndarray  # bool [n], whether there are any


class LungSegmenter:
    """The segmenter that a classifier's config names, ready for any number of radiographs."""

    def __init__(self, config: ConfigDict, variables: Mapping[str, Any] | None, folder: Path | None = None):
        """Compile nothing yet.

        Args:
            config: of the classifier.
            variables: weights of the segmenter; None where the config names none.
            folder: where `recall` keeps what was found; None: nowhere.
        """
        self.config, self.variables, self._folder = config, variables, folder
        self._segmenter = from_config.segmenter(config)

    def find(self, split: batch.RadiographBatch) -> LungMasks:
        """The lungs of a split."""
        if self._segmenter is None:
            return LungMasks(None, None, np.ones(len(split), bool))
        masks, confidence = np.zeros(split.images.shape, bool), np.zeros(len(split), np.float32)
        batches = list(batch.padded_batches(len(split), self._shares.batch_size))
        for rows, count in tqdm(batches, desc="finding lungs", unit="batch", delay=2, leave=None):
            found = self._run(self._held, self._shares.shard(split.images[rows]))
            lungs, sure = self._shares.gather((found.lungs, found.confidence))
            masks[rows[:count]], confidence[rows[:count]] = lungs[:count], sure[:count]
        return LungMasks(masks, confidence, masks.any((1, 2)))

    def recall(self, name: str, split: batch.RadiographBatch) -> LungMasks:
        """The lungs of a split that were found before, in FOLDER/NAME.npz; or found now, and kept there.

        What is there counts if it is of the same radiographs, by the same segmenter.

        Raises:
            OSError: it cannot be kept; or of several processes not all see the same radiographs and folder.
        """
        if self._segmenter is None or self._folder is None:
            return self.find(split)
        path = self._folder / f"{name}.npz"
        kept = self._read(path, split)
        if multihost.broadcast_bool(kept is not None):
            if kept is None:
                raise OSError(f"{path}: is of the radiographs of the first process, and not of those of this one")
            return kept
        lungs = self.find(split)
        packed = io.BytesIO()
        masks = np.packbits(lungs.masks, axis=-1)
        np.savez_compressed(packed, of=self._name(split), masks=masks, confidence=lungs.confidence)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.atomic_write(path, packed.getvalue())
        return lungs

    def recall_all(
        self, radiographs: batch.RadiographBatch | dataset.RadiographDataset, name: str
    ) -> Iterator[tuple[batch.RadiographBatch, LungMasks]]:
        """`recall` of all radiographs of a split of that name, a part at a time: (the part, its lungs)."""
        for number, part in enumerate(radiographs.iter_batches(batch.chunk_size(self.config.evaluation.batch_size))):
            yield part, self.recall(f"{name}-{number:06}", part)

    def _read(self, path: Path, split: batch.RadiographBatch) -> LungMasks | None:
        """What is kept of a split; None where it is of another, or damaged."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as kept:
                if str(kept["of"]) != self._name(split):
                    return None
                masks = np.unpackbits(kept["masks"], axis=-1, count=split.images.shape[-1]).astype(bool)
                return LungMasks(masks, kept["confidence"], masks.any((1, 2)))
        except (FileNotFoundError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            return None

    def _name(self, split: batch.RadiographBatch) -> str:
        """A checksum of radiographs and of all that decides what is found in them."""
        return _sum([self._known, _sum_array(split.images)])

    @cached_property
    def _known(self) -> str:
        c = self.config.segmenter
        weights = [_sum_array(leaf) for leaf in jax.tree.leaves(jax.device_get(self.variables))]
        return _sum([VERSION, repr(self._segmenter), c.smallest_part, c.smallest_lungs, weights])

    @cached_property
    def _shares(self) -> sharding.BatchSharding:
        return sharding.BatchSharding(self.config.evaluation.batch_size)

    @cached_property
    def _held(self) -> Any:
        return self._shares.replicate(jax.device_get(self.variables))

    @cached_property
    def _run(self) -> Callable[[Any, Any], pipeline.LungSegmentation]:
        settings = from_config.inference_config(self.config, self.config.patches.count)
        run = self._shares.compile(
            lambda variables, images: pipeline.segment(self._segmenter, variables, images, settings)
        )
        return compilation_cache.CachedFunction(run, "find lungs", self.config.to_json())


def _sum(known: Any) -> str:
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _sum_array(x: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(x)).hexdigest()
