"""Trained networks applied to radiographs, the results as rows and pictures: what evaluation and prediction share."""

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

# Radiographs uint8 [B, S, S] and the checksums uint32 [B] -> what fetches what is found to the host.
Run = Callable[[np.ndarray, np.ndarray], Callable[[], pipeline.Prediction | pipeline.LungSegmentation]]


class Predictor:
    """The networks of a run, ready for any number of radiographs."""

    def __init__(self, workdir: Path, calibrated: bool = False, gated: bool = True, most: int | None = None):
        """Load a run.

        Args:
            workdir: the run directory.
            calibrated: whether probabilities are given at the run's temperature; votes, findings and entropies stay
                those of the probabilities as they are.
            gated: whether a run's gate, where it has one, judges what is examined.
            most: radiographs that will be examined at once, where they are fewer than a batch; results do not depend
                on it.

        Raises:
            UnfitRun: there is none, nothing was trained in it yet, it has no temperature, or its gate is of another
                network.
            ValueError: its temperature is.
        """
        self.config: ConfigDict = run_dir.load_config(workdir)
        self.step = run_dir.load_step(workdir, self.config)
        known = calibration.load(workdir, self.step) if calibrated else {"temperature": 1.0}
        if known is None:
            raise run_dir.RunError(
                f"{workdir}: no calibration.json, and so no temperature; evaluating a classifier makes one"
            )
        if calibrated and (doubt := calibration.reliability_warning(known)):
            terminal.warn(doubt)
        self._temperature: float = known["temperature"]
        self.is_classifier = self.config.task == "classify"  # else it segments only
        self.min_confidence = calibration.load_min_confidence(workdir, self.step) if self.is_classifier else None
        self.classes: tuple[str, ...] = tuple(self.config.classifier.classes) if self.is_classifier else ()
        variables = jax.device_get(run_dir.load_networks(workdir, self.config))
        self._members = self.config.evaluation.members
        self._gate = ood_store.load_gate(workdir, self.step) if self.is_classifier and gated else None
        self.has_ood_detector = self._gate is not None
        self._settings = from_config.inference_config(self.config, self.config.patches.count)
        self._segmenter = from_config.segmenter(self.config)
        self.has_segmenter = self._segmenter is not None
        self._classifier = from_config.classifier(self.config) if self.is_classifier else None
        if self._members > 1:
            if not self.is_classifier:
                raise run_dir.RunError(
                    f"{workdir}: evaluation.members is {self._members}, but only findings are pooled"
                )
            variables["classifier"] = ensemble.load(workdir, self._members)
        self.variables = variables
        self._runs: dict[int, Run] = {}
        size = self.config.evaluation.batch_size
        self._batch = size if most is None else min(size, most)
        self._most_ahead = 0 if jax.default_backend() == "cpu" else 1

    def predict(
        self, images: np.ndarray, batch_size: int | None = None
    ) -> Iterator[pipeline.Prediction | pipeline.LungSegmentation]:
        """Results of radiographs, one by one, in order.

        Args:
            images: uint8 [n, S, S], standardised.
            batch_size: radiographs that one program examines at once; None for that of the constructor.

        Yields:
            A Diagnosis, or the Segmentation where the run trained a segmenter, of NumPy arrays without the batch's
            axis.
        """
        checksums = batch.hash_images(images)
        with tqdm(total=len(images), desc="examining", unit="radiograph", delay=2, leave=None) as bar:
            for count, result in self._results(images, checksums, batch_size or self._batch):
                if self._temperature != 1:
                    probabilities = apply_temperature(result.probabilities, self._temperature)
                    result = result._replace(probabilities=probabilities)
                for i in range(count):
                    yield jax.tree.map(lambda x, i=i: x[i], result)
                bar.update(count)

    def _results(self, images: np.ndarray, checksums: np.ndarray, batch_size: int) -> Iterator[tuple[int, Any]]:
        """(radiographs that count, results on the host) of each batch.

        An accelerator is handed the next batch before the results of one are fetched, so that it does not wait for
        what is made of them.
        """
        if batch_size not in self._runs:
            self._runs[batch_size] = self._build(batch_size)
        run = self._runs[batch_size]
        ahead: list[tuple[int, Callable[[], Any]]] = []
        for rows, count in batch.padded_batches(len(images), batch_size):
            ahead.append((count, run(images[rows], checksums[rows])))
            if len(ahead) > self._most_ahead:
                count, fetch = ahead.pop(0)
                yield count, fetch()
        for count, fetch in ahead:
            yield count, fetch()

    def to_row(self, result: pipeline.Prediction | pipeline.LungSegmentation) -> dict[str, Any]:
        """Return the cells of `predictions.csv` for a result: text and plain Python numbers, as JSON has them."""
        if not self.is_classifier:
            return _status(bool(result.has_lungs)) | {"lung_confidence": _plain(result.confidence)}
        row = _status(result.label != pipeline.NO_CLASS) | {"lung_confidence": _plain(result.lung_confidence)}
        if self.has_ood_detector:
            row["gate"] = ood.explain_ood(self._gate, jax.tree.map(lambda x: x[None], result.ood_statistics))[0]
        row |= {f"votes_{name}": int(count) for name, count in zip(self.classes, result.votes, strict=True)}
        if result.label == pipeline.NO_CLASS:
            return row
        row |= {f"probability_{name}": _plain(p) for name, p in zip(self.classes, result.probabilities, strict=True)}
        return row | {
            "finding": self.classes[result.label],
            "confidence": _plain(result.probabilities[result.label]),
            "agreement": _plain(result.vote_fraction),
            "entropy_within": _plain(result.expected_entropy),
            "entropy_between": _plain(result.mutual_information),
        }

    def decision(self, result: pipeline.Prediction | pipeline.LungSegmentation) -> str:
        """Return "decided", or "undecided" where a finding's confidence is below the one chosen on validation.

        "" where there is no finding, or the run has no such confidence; see `cxrjax.runs.calibration`.
        """
        if self.min_confidence is None or result.label == pipeline.NO_CLASS:
            return ""
        confidence = float(apply_temperature(result.probabilities, 1 / self._temperature)[result.label])
        is_decided = confidence >= self.min_confidence * (1 - 1e-5)  # of which rounding takes nothing
        return predictions_csv.DECIDED if is_decided else predictions_csv.UNDECIDED

    def overlay(self, image: np.ndarray, result: pipeline.Prediction | pipeline.LungSegmentation) -> np.ndarray:
        """The radiograph uint8 [S, S] with the lungs' contour and, of a finding, its map: RGB uint8 [S, S, 3]."""
        if self.is_classifier:
            return plotting.overlay(image, result.lung_mask, result.saliency)
        return plotting.overlay(image, result.lung_mask, None)

    def _build(self, batch_size: int) -> Run:
        """Build the program that examines batches of a size, and place the networks on its devices."""
        single = self.is_classifier and self._members == 1 and PATCH_MODES[self._settings.patch_mode].draws_patches
        devices = 1
        if single and batch_size < jax.device_count():  # else no device is left without a radiograph
            devices = patch_parallel.count_devices(self.variables["classifier"])
        if devices <= batch_size:
            return self._share_radiographs(batch_size)
        shared = patch_parallel.PatchParallelPredictor(
            self._segmenter,
            self._classifier,
            self.variables,
            self._settings,
            self.config.seed,
            batch_size,
            devices,
            self.config.to_json(),
        )
        return lambda *given: partial(shared, *given)

    def _share_radiographs(self, batch_size: int) -> Run:
        shares = sharding.BatchSharding(batch_size)

        def find(variables: Any, given: tuple[jax.Array, jax.Array]) -> pipeline.Prediction | pipeline.LungSegmentation:
            images, checksums = given
            if not self.is_classifier:
                return pipeline.segment(self._segmenter, variables["segmenter"], images, self._settings)
            keys = pipeline.image_keys(self.config.seed, checksums)
            diagnose = pipeline.predict if self._members == 1 else ensemble.predict_ensemble
            return diagnose(self._segmenter, self._classifier, variables, images, keys, self._settings)

        placed = shares.replicate(self.variables)
        run = compilation_cache.CachedFunction(shares.compile(find), "examine", self.config.to_json())
        return lambda *given: partial(shares.gather, run(placed, shares.shard(given)))


def predict_stored(
    examiner: Predictor, stored: dataset.RadiographDataset, rows: Sequence[int] | None = None
) -> Iterator[tuple[batch.RadiographBatch, int, Any]]:
    """Results of a split, or of some rows of it, of which a part is held at a time: (part, row in it, result)."""
    count = batch.chunk_size(examiner.config.evaluation.batch_size)
    if rows is None:
        parts = stored.iter_batches(count)
    else:
        parts = (stored.select(rows[first : first + count]) for first in range(0, len(rows), count))
    for part in parts:
        for row, result in enumerate(examiner.predict(part.images)):
            yield part, row, result


def describe(row: Mapping[str, Any]) -> str:
    """A row in words, for a caption."""
    if row["status"] != predictions_csv.OK:
        return row["status"]
    if not row.get("finding"):
        return f"lungs found, confidence {row['lung_confidence']:.2f}"
    finding = f"{row['finding']}, {row['agreement']:.0%} of votes"
    return f"undecided ({finding})" if row.get("decision") == predictions_csv.UNDECIDED else finding


def _plain(value: Any) -> float:
    """Return the float that a float32 is written as, in the fewest digits: 0.1, not 0.10000000149011612."""
    return float(str(np.asarray(value)[()]))


def _status(found: bool) -> dict[str, str]:
    if found:
        return {"status": predictions_csv.OK, "reason": ""}
    return {"status": predictions_csv.NO_LUNGS_FOUND, "reason": "the segmenter sees no lungs, or too little of them"}
