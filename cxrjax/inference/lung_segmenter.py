"""Lung masks of the radiographs that a classifier is trained and validated on, computed once and cached on disk."""

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

from cxrjax.config import Config
from cxrjax.data import batch, dataset
from cxrjax.inference import pipeline
from cxrjax.models import from_config
from cxrjax.runtime import atomic_files, compilation_cache, compile_notice, compiler_options, multihost, sharding
from cxrjax.runtime.progress import progress_bar

VERSION = 1  # of the cached masks; increased when `pipeline.segment` changes its output for the same network


class LungMasks(NamedTuple):
    """Lung masks of n radiographs; without a segmenter None, None and True."""

    masks: np.ndarray | None  # bool [n, S, S]
    confidence: np.ndarray | None  # float32 [n] in 0..1
    has_lungs: np.ndarray  # bool [n]


class LungSegmenter:
    """Segmenter of a classifier's config, for any number of radiographs."""

    def __init__(self, config: Config, variables: Mapping[str, Any] | None, folder: Path | None = None):
        """Initialize the segmenter; it is compiled on first use.

        Args:
            config: Config of the classifier.
            variables: Weights of the segmenter; None if the config names no segmenter.
            folder: Cache of `segment_cached`; None for no cache.
        """
        self.config = config
        self.variables = variables
        self._folder = folder
        self._segmenter = from_config.segmenter(config)

    def segment(self, split: batch.RadiographBatch) -> LungMasks:
        """Segment the lungs of radiographs."""
        if self._segmenter is None:
            return LungMasks(None, None, np.ones(len(split), bool))
        masks = np.zeros(split.images.shape, bool)
        confidence = np.zeros(len(split), np.float32)
        batches = list(batch.padded_batches(len(split), self._sharding.batch_size))
        for rows, count in progress_bar(batches, desc="finding lungs", unit="batch", leave=None):
            result = self._run(self._placed_variables, self._sharding.shard(split.images[rows]))
            batch_masks, batch_confidence = self._sharding.gather((result.lung_mask, result.confidence))
            masks[rows[:count]] = batch_masks[:count]
            confidence[rows[:count]] = batch_confidence[:count]
        return LungMasks(masks, confidence, np.any(masks, axis=(1, 2)))

    def segment_cached(self, name: str, split: batch.RadiographBatch) -> LungMasks:
        """Return the lung masks of radiographs from FOLDER/NAME.npz, or segment them and write that file.

        The file is used if it belongs to the same radiographs and the same segmenter.

        Raises:
            OSError: The file cannot be written; or several processes do not all read the same radiographs and folder.
        """
        if self._segmenter is None or self._folder is None:
            return self.segment(split)
        path = self._folder / f"{name}.npz"
        cached = self._read(path, split)
        if multihost.broadcast_bool(cached is not None):
            if cached is None:
                raise OSError(
                    f"{path}: the cached lung masks belong to other radiographs than this process reads; "
                    "give all processes the same data set"
                )
            return cached
        lungs = self.segment(split)
        assert lungs.masks is not None and lungs.confidence is not None  # there is a segmenter
        packed = io.BytesIO()
        masks = np.packbits(lungs.masks, axis=-1)
        np.savez_compressed(packed, of=self._fingerprint(split), masks=masks, confidence=lungs.confidence)
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.atomic_write(path, packed.getvalue())
        return lungs

    def segment_dataset(
        self, radiographs: batch.RadiographBatch | dataset.RadiographDataset, name: str
    ) -> Iterator[tuple[batch.RadiographBatch, LungMasks]]:
        """Yield the chunks of a split called `name`, each with its masks of `segment_cached`."""
        for number, chunk in enumerate(radiographs.iter_batches(batch.chunk_size(self.config.evaluation.batch_size))):
            yield chunk, self.segment_cached(f"{name}-{number:06}", chunk)

    def _read(self, path: Path, split: batch.RadiographBatch) -> LungMasks | None:
        """Return the cached masks; None if the file is missing, damaged, or belongs to other radiographs."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:
                if str(arrays["of"]) != self._fingerprint(split):
                    return None
                masks = np.unpackbits(arrays["masks"], axis=-1, count=split.images.shape[-1]).astype(bool)
                return LungMasks(masks, arrays["confidence"], np.any(masks, axis=(1, 2)))
        except (FileNotFoundError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            return None

    def _fingerprint(self, split: batch.RadiographBatch) -> str:
        """Return a checksum of radiographs and of everything that their masks depend on."""
        return _hash_json([self._segmenter_fingerprint, _hash_array(split.images)])

    @cached_property
    def _segmenter_fingerprint(self) -> str:
        assert self._segmenter is not None
        c = self.config.segmenter
        weights = [_hash_array(leaf) for leaf in jax.tree.leaves(jax.device_get(self.variables))]
        return _hash_json([VERSION, self._segmenter.fingerprint, c.min_component_area, c.min_lung_area, weights])

    @cached_property
    def _sharding(self) -> sharding.BatchSharding:
        return sharding.BatchSharding(self.config.evaluation.batch_size)

    @cached_property
    def _placed_variables(self) -> Any:
        return self._sharding.replicate_constants(self.variables)

    @cached_property
    def _run(self) -> Callable[[Any, Any], pipeline.LungSegmentation]:
        settings = from_config.inference_config(self.config, self.config.patches.count)

        @compile_notice.describe_program("the segmenter of the lungs")
        def find_lungs(variables: Any, images: jax.Array) -> pipeline.LungSegmentation:
            return pipeline.segment(self._segmenter, variables, images, settings)

        run = self._sharding.compile(find_lungs)
        return compilation_cache.CachedFunction(
            run, "find lungs", self.config.to_json(), options=compiler_options.SEGMENTATION
        )


def _hash_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _hash_array(x: np.ndarray) -> str:
    return hashlib.sha256(x.tobytes()).hexdigest()
