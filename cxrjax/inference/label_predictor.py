"""Prediction of labels, with votes and saliency maps, by the run of a classifier."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from cxrjax.data import batch
from cxrjax.inference import functional, ood, patch_parallel, pipeline, rows
from cxrjax.inference.batch_runner import BatchRunner, Program
from cxrjax.inference.loaded_run import LoadedRun
from cxrjax.io import predictions_csv
from cxrjax.metrics.temperature import apply_temperature
from cxrjax.runs.model_info import ModelInfo
from cxrjax.runtime import compilation_cache, compile_notice, compiler_options, sharding


class LabelPredictor:
    """`Predictor` of a run that trained a classifier; its results are `pipeline.Prediction`."""

    def __init__(self, run: LoadedRun, batch_size: int):
        """Prepare a run; it is compiled on first use."""
        self.config = run.config
        self.step = run.step
        self.classes = run.spec.classes
        self.has_segmenter = run.spec.segmenter is not None
        self.has_ood_detector = run.fitted.ood_detector is not None
        self.notice = run.notice
        self._run = run
        self._describe = cache(run.describe)
        self._batch_size = batch_size
        self._runner = BatchRunner(self._build)

    def predict(self, images: np.ndarray, batch_size: int | None = None) -> Iterator[pipeline.Prediction]:
        """Return an iterator over the predictions for radiographs uint8 [n, S, S], in order."""
        return self._runner.run(images, batch.hash_images(images), batch_size or self._batch_size)

    @property
    def model_info(self) -> ModelInfo:
        """The identity of the model."""
        return self._describe()

    def to_row(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of `predictions.csv`; the truth is not among them."""
        row = self._status_cells(result) | self._vote_cells(result)
        if result.label == pipeline.NO_CLASS:
            return row
        row |= {
            f"probability_{name}": rows.to_float(probability)
            for name, probability in zip(self.classes, result.probabilities, strict=True)
        }
        row |= self._prediction_cells(result)
        return row | {
            "expected_entropy": rows.to_float(result.expected_entropy),
            "mutual_information": rows.to_float(result.mutual_information),
        }

    def findings(self, result: pipeline.Prediction) -> dict[str, bool]:
        """Return {}: one label per radiograph."""
        return {}

    @property
    def threshold_note(self) -> str:
        """An empty text: one label per radiograph, which needs no threshold."""
        return ""

    def decision(self, result: pipeline.Prediction) -> str:
        """Return "decided" or "undecided", or "" without a label or a threshold."""
        min_confidence = self._run.fitted.min_confidence
        if min_confidence is None or result.label == pipeline.NO_CLASS:
            return ""
        uncalibrated = apply_temperature(result.probabilities, 1 / self._temperature)
        is_decided = float(uncalibrated[result.label]) >= min_confidence * (1 - 1e-5)  # tolerance for rounding
        return predictions_csv.DECIDED if is_decided else predictions_csv.UNDECIDED

    def lung_mask(self, result: pipeline.Prediction) -> np.ndarray | None:
        """Return the lung mask bool [S, S]; None without a segmenter."""
        return result.lung_mask if self.has_segmenter else None

    def label_map(self, result: pipeline.Prediction) -> np.ndarray | None:
        """Return the label map uint8 [S, S]; None without a segmenter."""
        return result.label_map if self.has_segmenter else None

    def saliency(self, result: pipeline.Prediction) -> np.ndarray:
        """Return the saliency map float32 [S, S] in 0..1."""
        return result.saliency

    def saliency_label(self, result: pipeline.Prediction) -> str | None:
        """Return the class that the saliency map shows; None without a label."""
        if result.label == pipeline.NO_CLASS:
            return None
        index = self._run.spec.inference.saliency_class
        return self.classes[result.label if index is None else index]

    def embedding(self, result: pipeline.Prediction) -> np.ndarray | None:
        """Return the features float32 [C] of the radiograph; None without a label."""
        return None if result.label == pipeline.NO_CLASS else result.ood_statistics.features

    def class_maps(self, result: pipeline.Prediction) -> dict[str, np.ndarray]:
        """Return the saliency maps float32 [S, S] in 0..1 by class; {} without a label, or if not computed."""
        if result.label == pipeline.NO_CLASS or result.class_maps is None:
            return {}
        return dict(zip(self.classes, result.class_maps, strict=True))

    def patch_embeddings(self, result: pipeline.Prediction) -> pipeline.PatchEmbeddings | None:
        """Return the embeddings of the patches that vote; None without a label, or if they were not computed."""
        embeddings = result.patch_embeddings
        if result.label == pipeline.NO_CLASS or embeddings is None:
            return None
        return jax.tree.map(lambda x: x[embeddings.valid], embeddings)

    def _status_cells(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of a row that do not depend on the classes."""
        row: dict[str, Any] = rows.status_cells(result.label != pipeline.NO_CLASS)
        row["lung_confidence"] = rows.to_float(result.lung_confidence)
        detector = self._run.fitted.ood_detector
        if detector is not None:
            statistics = jax.tree.map(lambda x: x[None], result.ood_statistics)
            row["ood_reason"] = ood.explain_ood(detector, statistics)[0]
        return row

    def _vote_cells(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of the votes."""
        return {f"votes_{name}": int(count) for name, count in zip(self.classes, result.votes, strict=True)}

    def _prediction_cells(self, result: pipeline.Prediction) -> dict[str, Any]:
        """Return the cells of the prediction of a result that has a label."""
        return {
            "prediction": self.classes[result.label],
            "confidence": rows.to_float(result.probabilities[result.label]),
            "vote_fraction": rows.to_float(result.vote_fraction),
        }

    def _build(self, batch_size: int) -> Program:
        """Build the program for batches of a size, and place the networks on its devices."""
        spec = self._run.spec
        devices = patch_parallel.count_devices() if spec.can_share_patches else 1
        if devices > batch_size:  # otherwise every device has a radiograph
            shared = patch_parallel.PatchParallelPredictor(spec, self._run.variables, batch_size, devices)
            return lambda images, image_ids: partial(self._calibrate, partial(shared, images, image_ids))
        if spec.segmenter is not None and spec.num_members == 1 and jax.default_backend() == "cpu":
            return self._build_in_two_parts(batch_size)
        return self._build_data_parallel(batch_size)

    def _build_data_parallel(self, batch_size: int) -> Program:
        """Build a program whose devices share the radiographs of a batch."""
        spec = self._run.spec
        batch_sharding = sharding.BatchSharding(batch_size)

        @compile_notice.describe_program("the whole prediction")
        def predict(variables: Any, inputs: tuple[jax.Array, jax.Array]) -> pipeline.Prediction:
            images, image_ids = inputs
            return functional.predict(variables, images, pipeline.image_keys(spec.seed, image_ids), spec=spec)

        program = self._cache(batch_sharding, predict, compiler_options.CLASSIFICATION)
        variables = batch_sharding.replicate_constants(self._run.variables)

        def dispatch(images: np.ndarray, image_ids: np.ndarray) -> Callable[[], pipeline.Prediction]:
            outputs = program(variables, batch_sharding.shard((images, image_ids)))
            return partial(self._calibrate, partial(batch_sharding.gather, outputs))

        return dispatch

    def _build_in_two_parts(self, batch_size: int) -> Program:
        """Build the same as two programs, each with the compiler's options that are best for its network on a CPU."""
        spec = self._run.spec
        segmenter = spec.segmenter
        classifier = spec.classifier
        assert classifier is not None
        batch_sharding = sharding.BatchSharding(batch_size)

        @compile_notice.describe_program("the segmenter of the lungs")
        def segment(variables: Any, images: jax.Array) -> pipeline.LungSegmentation:
            return pipeline.segment_or_skip(segmenter, variables, images, spec.inference)

        @compile_notice.describe_program("the classifier")
        def classify(variables: Any, inputs: tuple[jax.Array, jax.Array, Any]) -> pipeline.Prediction:
            images, image_ids, segmentation = inputs
            keys = pipeline.image_keys(spec.seed, image_ids)
            return pipeline.predict_from_masks(
                classifier, variables["classifier"], images, segmentation, keys, spec.inference
            )

        run_segmenter = self._cache(batch_sharding, segment, compiler_options.SEGMENTATION)
        run_classifier = self._cache(batch_sharding, classify, compiler_options.CLASSIFICATION)
        variables = batch_sharding.replicate_constants(self._run.variables)

        def dispatch(images: np.ndarray, image_ids: np.ndarray) -> Callable[[], pipeline.Prediction]:
            placed_images, placed_ids = batch_sharding.shard((images, image_ids))
            segmentation = run_segmenter(variables, placed_images)
            outputs = run_classifier(variables, (placed_images, placed_ids, segmentation))
            return partial(self._calibrate, partial(batch_sharding.gather, outputs))

        return dispatch

    def _cache(
        self, batch_sharding: sharding.BatchSharding, run: Callable[..., Any], options: Mapping[str, bool | int]
    ) -> compilation_cache.CachedFunction:
        compiled = batch_sharding.compile(run)
        key = f"{run.__name__} a batch"
        return compilation_cache.CachedFunction(compiled, key, self._run.spec.fingerprint, options=options)

    def _calibrate(self, fetch: Callable[[], pipeline.Prediction]) -> pipeline.Prediction:
        """Fetch a batch, and scale its probabilities by the run's temperature; votes and entropies are not scaled."""
        result = fetch()
        if self._temperature == 1:
            return result
        return result._replace(probabilities=apply_temperature(result.probabilities, self._temperature))

    @property
    def _temperature(self) -> float:
        temperature = self._run.fitted.temperature
        assert isinstance(temperature, float | int)  # only several findings have several
        return temperature
