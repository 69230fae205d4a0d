"""A trained run as an object: radiographs in, predictions with label, votes, saliency map and lung mask out."""

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrjax import plotting
from cxrjax.data import batch, image_input
from cxrjax.data.image_input import ImageRefusedError
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.predictor import Predictor, describe
from cxrjax.io import files, predictions_csv, radiograph
from cxrjax.io.errors import ImageReadError
from cxrjax.runtime import terminal

PathLike = str | os.PathLike[str]
ImageInput = Any  # a path, an open Radiograph, or an array [H, W]

_ERRORS = ("raise", "return")


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The prediction for one radiograph; numbers, text and NumPy arrays.

    Where no lungs were found, `label` is None, the votes are 0, and probabilities are NaN. A run that trained a
    segmenter predicts `lung_mask` and `lung_confidence` alone.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> prediction = model.predict("patient.png")
        >>> prediction.label in model.classes
        True
        >>> list(prediction.probabilities)
        ['normal', 'bacterial', 'tuberculosis', 'viral', 'covid19']
        >>> prediction.saliency.shape == prediction.lung_mask.shape == prediction.image.shape
        True
        >>> prediction.plot("patient.figure.png")
        >>> sorted(prediction.to_dict())[:3]
        ['confidence', 'decision', 'expected_entropy']
    """

    path: str  # of the file; "" of an array
    label: str | None  # the class that the patches voted for
    probabilities: dict[str, float]  # by class, mean over the patches
    votes: dict[str, int]  # by class, patches whose most probable class it is
    confidence: float  # probability of the label
    vote_fraction: float  # 0..1, of the patches that voted for the label
    expected_entropy: float  # nats, mean entropy of the patches' own probabilities
    mutual_information: float  # nats, entropy of `probabilities` less `expected_entropy`
    decision: str  # "undecided" if the confidence is too low to be relied on, by the validation split, else "decided";
    # "" without a label, or where the run has no such threshold
    lung_confidence: float  # 0..1, mean lung probability inside the mask; NaN without a segmenter
    ood_reason: str | None  # why the image is unlike the training radiographs; "" if it is not, None if not judged
    reason: str  # why there is no label, or what was repaired in the file; "" if nothing
    image: np.ndarray = field(repr=False)  # uint8 [S, S], preprocessed
    lung_mask: np.ndarray | None  # bool [S, S]; None without a segmenter
    saliency: np.ndarray | None  # float32 [S, S] in 0..1, where the label was seen; None of a segmenter's run
    _row: dict[str, Any]  # cells of predictions.csv

    @property
    def has_lungs(self) -> bool:
        """True if lungs were found, or if the run requires none."""
        return self._row["status"] == predictions_csv.OK

    @property
    def is_ood(self) -> bool | None:
        """True if the image is unlike the training radiographs; None if the run has no OOD detector."""
        return None if self.ood_reason is None else bool(self.ood_reason)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as values that JSON has; None for NaN."""
        numbers = ("confidence", "vote_fraction", "expected_entropy", "mutual_information", "lung_confidence")
        texts = ("path", "label", "decision", "ood_reason", "reason")
        values = {name: getattr(self, name) for name in texts}
        values |= {name: _json_number(getattr(self, name)) for name in numbers}
        values["probabilities"] = {name: _json_number(value) for name, value in self.probabilities.items()}
        return values | {"votes": dict(self.votes)}

    def plot(self, path: PathLike) -> None:
        """Draw the radiograph with its lungs, its saliency map and the votes, as `--mode=predict` does.

        Args:
            path: the PNG to write.
        """
        title = [terminal.escape(Path(self.path).name) or "radiograph", describe(self._row)]
        if self.ood_reason:
            title.append(f"out of place: {self.ood_reason}")
        probabilities = np.array(list(self.probabilities.values()), np.float32) if self.probabilities else None
        votes = list(self.votes.values()) if self.votes else None
        plotting.draw_prediction(
            self.image, self.lung_mask, self.saliency, title, probabilities, votes, tuple(self.votes), Path(path)
        )

    def __repr__(self) -> str:
        return f"Prediction(label={self.label!r}, confidence={self.confidence:.3g}, path={self.path!r})"


class Model:
    """A trained run, ready for any number of radiographs; `cxrjax.load` returns one.

    Threads may share a model; their batches are computed one after another.

    Examples:
        >>> import cxrjax as cx
        >>> model = cx.load("runs/findings")
        >>> model.classes
        ('normal', 'bacterial', 'tuberculosis', 'viral', 'covid19')
    """

    def __init__(self, run: PathLike, *, calibrated: bool = False):
        """Load a run; see `cxrjax.load`."""
        self.run = Path(run)
        self._predictor = Predictor(self.run, calibrated=calibrated)
        self._lock = threading.Lock()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; () of a run that trained a segmenter."""
        return self._predictor.classes

    @property
    def params(self) -> dict[str, Any]:
        """The variables of the networks on the host, for the functions of `cxrjax.inference`."""
        return self._predictor.variables

    @cached_property
    def spec(self) -> PipelineSpec:
        """The static argument of the functions of `cxrjax.inference`, beside the parameters."""
        return PipelineSpec.from_config(self._predictor.config)

    def predict(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        value_range: tuple[float, float] | None = None,
        preprocessed: bool = False,
        batch_size: int | None = None,
        errors: str = "raise",
    ) -> Prediction | list[Prediction]:
        """Predict one radiograph or several.

        The prediction for a file is that of `--mode=predict`, bit for bit, and does not depend on the file's name.

        Args:
            images: a path, an open `Radiograph`, an array [H, W] of native gray levels with bright bones (uint8,
                uint16, or floats), or several: a list of these, or an array [n, H, W].
            value_range: the least and the greatest value that an array may have. Floats need it.
            preprocessed: arrays are uint8 [S, S] of `cxrjax.preprocess`, and are not preprocessed again.
            batch_size: images that one program computes at once; each size is compiled once. None for 1 for one image,
                and for a list for as many as it has, at most `evaluation.batch_size` of the run.
            errors: "raise" raises the first error of a list; "return" puts the error in the place of the prediction.

        Returns:
            A prediction; of several images a list, in their order. A list holds everything in memory, 6 bytes per pixel
            of each preprocessed image; `predict_iter` does not.

        Raises:
            ImageReadError: a file cannot be read; `cxrjax.ImageReadError`.
            ImageRefusedError: the header of a file says that it is not a frontal chest radiograph, or all pixels inside
                the borders have one value.
            ValueError: an array of another shape or type, or with values beyond `value_range`.
            TypeError: something else than the above.

        Examples:
            >>> import cxrjax as cx
            >>> model = cx.load("runs/findings")
            >>> prediction = model.predict("patient.png")
            >>> predictions = model.predict(["patient.png", "broken.png"], errors="return")
            >>> predictions[0].probabilities == model.predict("patient.png", batch_size=2).probabilities
            True
            >>> print(predictions[1])
            broken.png: empty file
        """
        if _is_single(images):
            (prediction,) = self.predict_iter(
                [images],
                value_range=value_range,
                preprocessed=preprocessed,
                batch_size=batch_size,
                errors=errors,
            )
            return prediction
        return list(
            self.predict_iter(
                images,
                value_range=value_range,
                preprocessed=preprocessed,
                batch_size=batch_size,
                errors=errors,
            )
        )

    def predict_iter(
        self,
        images: Iterable[ImageInput],
        *,
        value_range: tuple[float, float] | None = None,
        preprocessed: bool = False,
        batch_size: int | None = None,
        errors: str = "raise",
    ) -> Iterator[Prediction]:
        """Predict many radiographs, of which some dozens are in memory at a time.

        Args:
            images: see `predict`; of an iterator without a length, the default of `batch_size` is that of the run.
            value_range: see `predict`.
            preprocessed: see `predict`.
            batch_size: see `predict`.
            errors: see `predict`.

        Yields:
            The predictions, in order.

        Examples:
            >>> import cxrjax as cx
            >>> model = cx.load("runs/findings")
            >>> for prediction in model.predict_iter(cx.find_radiographs("radiographs")):
            ...     print(prediction.path)
            radiographs/a.png
            radiographs/b.png
        """
        if errors not in _ERRORS:
            raise ValueError(f"errors={errors!r} is not one of {', '.join(_ERRORS)}")
        if batch_size is None:
            batch_size = self._predictor.config.evaluation.batch_size
            if hasattr(images, "__len__"):
                batch_size = max(1, min(batch_size, len(images)))
        remaining = iter(images)
        first = 0
        while chunk := list(islice(remaining, batch.chunk_size(batch_size))):
            inputs = [
                self._load(image, f"image {first + i}", value_range, preprocessed, errors)
                for i, image in enumerate(chunk)
            ]
            first += len(chunk)
            yield from self._predict_inputs(inputs, batch_size)

    def __repr__(self) -> str:
        return f"Model({str(self.run)!r}, classes={self.classes})"

    def _load(
        self,
        image: ImageInput,
        name: str,
        value_range: tuple[float, float] | None,
        preprocessed: bool,
        errors: str,
    ) -> "_Input | Exception":
        """Read and preprocess an image; return an error that `errors` says to return."""
        try:
            return self._read(image, name, value_range, preprocessed)
        except (ImageReadError, ValueError, TypeError) as error:
            if errors == "raise":
                raise
            return error

    def _read(
        self, image: ImageInput, name: str, value_range: tuple[float, float] | None, preprocessed: bool
    ) -> "_Input":
        spec = self.spec.input
        if preprocessed and image_input.is_array(image):
            values = np.asarray(image)
            if values.shape != (spec.size, spec.size) or values.dtype != np.uint8:
                raise ValueError(
                    f"{name}: is {values.dtype} of the shape {values.shape}, and a preprocessed image of this model is "
                    f"uint8 of {(spec.size, spec.size)}"
                )
            return _Input(values)
        if isinstance(image, str | os.PathLike):
            path = Path(image)
            files.check_regular(path)
            opened = radiograph.read(path)
        else:
            opened = image_input.to_radiograph(image, value_range=value_range, name=name)
        if opened.not_frontal:
            raise ImageRefusedError(opened.path, opened.not_frontal)
        pixels = image_input.preprocess(opened, spec)
        path = "" if image_input.is_array(image) else opened.path
        return _Input(pixels, path, opened.note)

    def _predict_inputs(self, inputs: "list[_Input | Exception]", batch_size: int) -> Iterator[Any]:
        """Yield the prediction of each input in order, and errors as they are."""
        readable = [each for each in inputs if isinstance(each, _Input)]
        results: list[Any] = []
        if readable:
            with self._lock:
                results = list(self._predictor.predict(np.stack([each.pixels for each in readable]), batch_size))
        remaining = iter(results)
        for each in inputs:
            yield self._to_prediction(each, next(remaining)) if isinstance(each, _Input) else each

    def _to_prediction(self, image: "_Input", result: Any) -> Prediction:
        predictor = self._predictor
        row = predictor.to_row(result)
        row["decision"] = predictor.decision(result) if predictor.is_classifier else ""
        if predictor.is_classifier:
            mask = result.lung_mask if predictor.has_segmenter else None
            saliency = result.saliency
        else:
            mask = result.lung_mask
            saliency = None
        nan = float("nan")
        return Prediction(
            path=image.path,
            label=row.get("prediction"),
            probabilities={name: row.get(f"probability_{name}", nan) for name in self.classes},
            votes={name: row[f"votes_{name}"] for name in self.classes},
            confidence=row.get("confidence", nan),
            vote_fraction=row.get("vote_fraction", nan),
            expected_entropy=row.get("expected_entropy", nan),
            mutual_information=row.get("mutual_information", nan),
            decision=row["decision"],
            lung_confidence=row["lung_confidence"],
            ood_reason=row.get("ood_reason"),
            reason=row["reason"] or image.note,
            image=image.pixels,
            lung_mask=mask,
            saliency=saliency,
            _row=row,
        )


class _Input(NamedTuple):
    """A preprocessed image."""

    pixels: np.ndarray  # uint8 [S, S]
    path: str = ""
    note: str = ""


def _is_single(images: Any) -> bool:
    """Return whether an input is one image rather than several."""
    if isinstance(images, str | os.PathLike | radiograph.Radiograph):
        return True
    return image_input.is_array(images) and np.ndim(images) < 3


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else value
