"""Prediction by the trained networks of a run directory: `Predictor`, used by evaluation and prediction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from cxrjax import plotting
from cxrjax.data import batch, dataset
from cxrjax.inference import ensemble, ood, ood_store, patch_parallel, pipeline
from cxrjax.io import predictions_csv
from cxrjax.metrics.calibration import apply_temperature
from cxrjax.models import from_config
from cxrjax.models.spec import PATCH_MODES
from cxrjax.runs import calibration, run_dir
from cxrjax.runtime import compilation_cache, sharding, terminal

Result = pipeline.Prediction | pipeline.LungSegmentation

# Radiographs uint8 [B, S, S] and their ids uint32 [B] -> a function that fetches the results to the host.
Program = Callable[[np.ndarray, np.ndarray], Callable[[], Result]]


class Predictor:
    """Networks of a run, for any number of radiographs."""

    def __init__(
        self, workdir: Path, calibrated: bool = False, use_ood_detector: bool = True, max_images: int | None = None
    ):
        """Load a run.

        Args:
            workdir: Run directory.
            calibrated: Whether probabilities are scaled by the run's temperature. Votes, labels and entropies are not.
            use_ood_detector: Whether the run's OOD detector, if it has one, is applied.
            max_images: Number of radiographs per call of `predict`, if it is below the batch size; the results do not
                depend on it.

        Raises:
            RunError: There is no run, nothing was trained in it yet, it has no temperature, or its OOD detector
                was fitted to another network.
            ValueError: The temperature belongs to another network.
        """
        self.config: ConfigDict = run_dir.load_config(workdir)
        self.step = run_dir.load_step(workdir, self.config)
        stored_calibration = calibration.load(workdir, self.step) if calibrated else {"temperature": 1.0}
        if stored_calibration is None:
            raise run_dir.RunError(
                f"{workdir}: there is no calibration.json with a temperature; evaluating a classifier writes one"
            )
        if calibrated and (doubt := calibration.reliability_warning(stored_calibration)):
            terminal.warn(doubt)
        self._temperature: float = stored_calibration["temperature"]
        self.is_classifier = self.config.task == "classify"  # otherwise the run only segments
        self.min_confidence = calibration.load_min_confidence(workdir, self.step) if self.is_classifier else None
        self.classes: tuple[str, ...] = tuple(self.config.classifier.classes) if self.is_classifier else ()
        variables = jax.device_get(run_dir.load_networks(workdir, self.config))
        self._members = self.config.evaluation.members
        self._ood_detector = ood_store.load(workdir, self.step) if self.is_classifier and use_ood_detector else None
        self.has_ood_detector = self._ood_detector is not None
        self._settings = from_config.inference_config(self.config, self.config.patches.count)
        self._segmenter = from_config.segmenter(self.config)
        self.has_segmenter = self._segmenter is not None
        self._classifier = from_config.classifier(self.config) if self.is_classifier else None
        if self._members > 1:
            if not self.is_classifier:
                raise run_dir.RunError(
                    f"{workdir}: evaluation.members is {self._members}, but only classifiers vote together"
                )
            variables["classifier"] = ensemble.load(workdir, self._members)
        self.variables = variables
        self._programs: dict[int, Program] = {}
        self._batch_size = self.config.evaluation.batch_size
        if max_images is not None:
            self._batch_size = min(self._batch_size, max_images)
        self._max_pending = 0 if jax.default_backend() == "cpu" else 1

    def predict(self, images: np.ndarray, batch_size: int | None = None) -> Iterator[Result]:
        """Yield the results of radiographs one by one, in order.

        Args:
            images: Preprocessed radiographs uint8 [n, S, S].
            batch_size: Radiographs per batch; None for the batch size of the constructor.

        Yields:
            A `Prediction`, or a `LungSegmentation` if the run trained a segmenter, of NumPy arrays without the batch
            axis.
        """
        image_ids = batch.hash_images(images)
        with tqdm(total=len(images), desc="examining", unit="radiograph", delay=2, leave=None) as bar:
            for count, result in self._iter_batches(images, image_ids, batch_size or self._batch_size):
                if self._temperature != 1:
                    probabilities = apply_temperature(result.probabilities, self._temperature)
                    result = result._replace(probabilities=probabilities)
                for i in range(count):
                    yield jax.tree.map(lambda x, i=i: x[i], result)
                bar.update(count)

    def _iter_batches(self, images: np.ndarray, image_ids: np.ndarray, batch_size: int) -> Iterator[tuple[int, Any]]:
        """Yield for each batch the number of radiographs without padding, and the results on the host.

        On an accelerator the next batch is dispatched before the results of a batch are fetched, so that the
        accelerator does not wait for the host.
        """
        if batch_size not in self._programs:
            self._programs[batch_size] = self._build(batch_size)
        run = self._programs[batch_size]
        pending: list[tuple[int, Callable[[], Any]]] = []
        for rows, count in batch.padded_batches(len(images), batch_size):
            pending.append((count, run(images[rows], image_ids[rows])))
            if len(pending) > self._max_pending:
                count, fetch = pending.pop(0)
                yield count, fetch()
        for count, fetch in pending:
            yield count, fetch()

    def to_row(self, result: Result) -> dict[str, Any]:
        """Return the cells of `predictions.csv` for a result: text and plain Python numbers that JSON can encode."""
        if not self.is_classifier:
            return _status(bool(result.has_lungs)) | {"lung_confidence": _plain(result.confidence)}
        row = _status(result.label != pipeline.NO_CLASS) | {"lung_confidence": _plain(result.lung_confidence)}
        if self.has_ood_detector:
            statistics = jax.tree.map(lambda x: x[None], result.ood_statistics)
            row["ood_reason"] = ood.explain_ood(self._ood_detector, statistics)[0]
        row |= {f"votes_{name}": int(count) for name, count in zip(self.classes, result.votes, strict=True)}
        if result.label == pipeline.NO_CLASS:
            return row
        row |= {f"probability_{name}": _plain(p) for name, p in zip(self.classes, result.probabilities, strict=True)}
        return row | {
            "prediction": self.classes[result.label],
            "confidence": _plain(result.probabilities[result.label]),
            "vote_fraction": _plain(result.vote_fraction),
            "expected_entropy": _plain(result.expected_entropy),
            "mutual_information": _plain(result.mutual_information),
        }

    def decision(self, result: Result) -> str:
        """Return "decided", or "undecided" if the confidence of the label is below the one chosen on validation.

        The result is "" if there is no label, or the run has no such threshold (see `cxrjax.runs.calibration`).
        """
        if self.min_confidence is None or result.label == pipeline.NO_CLASS:
            return ""
        confidence = float(apply_temperature(result.probabilities, 1 / self._temperature)[result.label])
        is_decided = confidence >= self.min_confidence * (1 - 1e-5)  # tolerance for rounding
        return predictions_csv.DECIDED if is_decided else predictions_csv.UNDECIDED

    def overlay(self, image: np.ndarray, result: Result) -> np.ndarray:
        """Draw the lung contour, and the saliency map of a prediction, over a radiograph: uint8 [S, S] -> [S, S, 3]."""
        if self.is_classifier:
            return plotting.overlay(image, result.lung_mask, result.saliency)
        return plotting.overlay(image, result.lung_mask, None)

    def _build(self, batch_size: int) -> Program:
        """Build the program for batches of a size, and place the networks on its devices."""
        can_share_patches = (
            self.is_classifier and self._members == 1 and PATCH_MODES[self._settings.patch_mode].draws_patches
        )
        devices = 1
        if can_share_patches and batch_size < jax.device_count():  # otherwise every device has a radiograph
            devices = patch_parallel.count_devices(self.variables["classifier"])
        if devices <= batch_size:
            return self._build_data_parallel(batch_size)
        predictor = patch_parallel.PatchParallelPredictor(
            self._segmenter,
            self._classifier,
            self.variables,
            self._settings,
            self.config.seed,
            batch_size,
            devices,
            self.config.to_json(),
        )
        return lambda images, image_ids: partial(predictor, images, image_ids)

    def _build_data_parallel(self, batch_size: int) -> Program:
        """Build a program whose devices share the radiographs of a batch."""
        batch_sharding = sharding.BatchSharding(batch_size)

        def run(variables: Any, inputs: tuple[jax.Array, jax.Array]) -> Result:
            images, image_ids = inputs
            if not self.is_classifier:
                return pipeline.segment(self._segmenter, variables["segmenter"], images, self._settings)
            keys = pipeline.image_keys(self.config.seed, image_ids)
            predict = pipeline.predict if self._members == 1 else ensemble.predict_ensemble
            return predict(self._segmenter, self._classifier, variables, images, keys, self._settings)

        placed_variables = batch_sharding.replicate(self.variables)
        program = compilation_cache.CachedFunction(batch_sharding.compile(run), "examine", self.config.to_json())

        def dispatch(images: np.ndarray, image_ids: np.ndarray) -> Callable[[], Result]:
            return partial(batch_sharding.gather, program(placed_variables, batch_sharding.shard((images, image_ids))))

        return dispatch


def predict_stored(
    predictor: Predictor, stored: dataset.RadiographDataset, rows: Sequence[int] | None = None
) -> Iterator[tuple[batch.RadiographBatch, int, Any]]:
    """Yield the results of a split, or of some of its rows, which are read in chunks: (chunk, row in it, result)."""
    count = batch.chunk_size(predictor.config.evaluation.batch_size)
    if rows is None:
        chunks = stored.iter_batches(count)
    else:
        chunks = (stored.select(rows[start : start + count]) for start in range(0, len(rows), count))
    for chunk in chunks:
        for row, result in enumerate(predictor.predict(chunk.images)):
            yield chunk, row, result


def describe(row: Mapping[str, Any]) -> str:
    """Describe a row of `predictions.csv` in words, for a caption."""
    if row["status"] != predictions_csv.OK:
        return row["status"]
    if not row.get("prediction"):
        return f"lungs found, confidence {row['lung_confidence']:.2f}"
    description = f"{row['prediction']}, {row['vote_fraction']:.0%} of votes"
    return f"undecided ({description})" if row.get("decision") == predictions_csv.UNDECIDED else description


def _plain(value: Any) -> float:
    """Return the float with the fewest digits that rounds to a float32: 0.1 instead of 0.10000000149011612."""
    return float(str(np.asarray(value)[()]))


def _status(has_lungs: bool) -> dict[str, str]:
    if has_lungs:
        return {"status": predictions_csv.OK, "reason": ""}
    return {"status": predictions_csv.NO_LUNGS_FOUND, "reason": "the segmenter sees no lungs, or too little of them"}
