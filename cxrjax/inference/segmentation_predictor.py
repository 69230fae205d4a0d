"""Prediction of the lung mask by the run of a segmenter."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from cxrjax.inference import functional, pipeline, rows
from cxrjax.inference.batch_runner import BatchRunner, Program
from cxrjax.inference.loaded_run import LoadedRun
from cxrjax.runs.model_info import ModelInfo
from cxrjax.runtime import compilation_cache, compile_notice, compiler_options, sharding


class SegmentationPredictor:
    """`Predictor` of a run that trained a segmenter; its results are `pipeline.LungSegmentation`."""

    classes = ()
    has_segmenter = True
    has_ood_detector = False

    def __init__(self, run: LoadedRun, batch_size: int):
        """Prepare a run; it is compiled on first use."""
        self.config = run.config
        self.step = run.step
        self.notice = run.notice
        self._run = run
        self._describe = cache(run.describe)
        self._batch_size = batch_size
        self._runner = BatchRunner(self._build)

    def predict(self, images: np.ndarray, batch_size: int | None = None) -> Iterator[pipeline.LungSegmentation]:
        """Return an iterator over the segmentations of radiographs uint8 [n, S, S], in order."""
        image_ids = np.zeros(len(images), np.uint32)  # nothing is drawn at random
        return self._runner.run(images, image_ids, batch_size or self._batch_size)

    @property
    def model_info(self) -> ModelInfo:
        """The identity of the model."""
        return self._describe()

    def to_row(self, result: pipeline.LungSegmentation) -> dict[str, Any]:
        """Return the cells of `predictions.csv`."""
        return rows.status_cells(bool(result.has_lungs)) | {"lung_confidence": rows.to_float(result.confidence)}

    def findings(self, result: pipeline.LungSegmentation) -> dict[str, bool]:
        """Return {}: there is no classifier."""
        return {}

    @property
    def threshold_note(self) -> str:
        """An empty text: no findings."""
        return ""

    def decision(self, result: pipeline.LungSegmentation) -> str:
        """Return "", since there is no label."""
        return ""

    def lung_mask(self, result: pipeline.LungSegmentation) -> np.ndarray:
        """Return the lung mask bool [S, S]."""
        return result.lung_mask

    def label_map(self, result: pipeline.LungSegmentation) -> np.ndarray:
        """Return the label map uint8 [S, S]."""
        return result.label_map

    def saliency(self, result: pipeline.LungSegmentation) -> None:
        """Return None, since there is no label."""

    def saliency_label(self, result: pipeline.LungSegmentation) -> None:
        """Return None, since there is no label."""

    def embedding(self, result: pipeline.LungSegmentation) -> None:
        """Return None, since there is no classifier."""

    def class_maps(self, result: pipeline.LungSegmentation) -> dict[str, np.ndarray]:
        """Return {}, since there is no classifier."""
        return {}

    def patch_embeddings(self, result: pipeline.LungSegmentation) -> None:
        """Return None, since there is no classifier."""

    def _build(self, batch_size: int) -> Program:
        spec = self._run.spec
        batch_sharding = sharding.BatchSharding(batch_size)

        @compile_notice.describe_program("the segmenter of the lungs")
        def segment(variables: Any, images: jax.Array) -> pipeline.LungSegmentation:
            return functional.segment_lungs(variables, images, spec=spec)

        options = compiler_options.SEGMENTATION
        program = compilation_cache.CachedFunction(
            batch_sharding.compile(segment), "segment", spec.fingerprint, options=options
        )
        variables = batch_sharding.replicate_constants(self._run.variables)

        def dispatch(images: np.ndarray, _: np.ndarray) -> Callable[[], pipeline.LungSegmentation]:
            return partial(batch_sharding.gather, program(variables, batch_sharding.shard(images)))

        return dispatch
