"""A trained run as an object: radiographs in, predictions with label, votes, saliency map and lung mask out."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cxrjax.config import Config
from cxrjax.data import batch
from cxrjax.inference import model_input, prediction, saved_run
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.loaded_run import Fitted, LoadedRun
from cxrjax.inference.model_input import ImageInput, ModelInput
from cxrjax.inference.prediction import Prediction
from cxrjax.inference.predictor import make_predictor
from cxrjax.runtime.errors import explain_missing_class
from cxrjax.runtime.progress import progress_bar
from cxrjax.runtime.read_ahead import map_ahead

PathLike = str | os.PathLike[str]

_ERRORS = ("raise", "return")
_READERS = 2  # threads: one waits for the process that decodes while the other preprocesses
_MIN_AHEAD = 16  # images that are read ahead


class _Source(NamedTuple):
    """Static part of a model as a pytree, equal for models of the same run."""

    path: Path
    run: LoadedRun  # without parameters, and without the values that were fitted to them

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and hash(self) == hash(other) and self.run.spec == other.run.spec

    def __hash__(self) -> int:
        return hash((self.path, self.run.step, self.run.spec))


@jax.tree_util.register_pytree_with_keys_class
class Model:
    """A trained run, ready for any number of radiographs; `cxrjax.load` returns one.

    Threads may share a model; their batches are computed one after another.

    A model is a pytree whose leaves are its parameters, so that JAX's transformations take it; `spec` is static.
    `jax.tree.map` and other transformations return a model with other parameters, to which neither the run's OOD
    detector, nor its temperature, nor its threshold of the confidence was fitted: it is without them, as that of
    `with_params`.

    Attributes:
        run: the run directory that the model was loaded from.
        spec: everything but the parameters that decides a prediction, for the functions of `cxrjax.inference`.
        params: {"segmenter": variables, "classifier": variables} of the networks, arrays on the host.

    Examples:
        >>> import cxrjax as cx, jax
        >>> model = cx.load("runs/findings")
        >>> model.classes
        ('normal', 'bacterial', 'tuberculosis', 'viral', 'covid19')
        >>> smaller = jax.tree.map(lambda x: x * 0.99, model)
        >>> smaller.predict("patient.png").label in model.classes
        True
    """

    def __init__(self, path: PathLike, run: LoadedRun, *, is_modified: bool = False):
        """Wrap a run in memory; `cxrjax.load` is the way to load one from its directory.

        Args:
            path: the run directory.
            run: its content.
            is_modified: whether the parameters are others than those in the directory.
        """
        self.run = Path(path)
        self.spec: PipelineSpec = run.spec
        self.params: Mapping[str, Any] = run.variables
        self._run = run
        self._is_modified = is_modified
        self._predictor = make_predictor(run)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; () of a run that trained a segmenter."""
        return self.spec.classes

    @property
    def step(self) -> int:
        """The training step of the networks."""
        return self._run.step

    @property
    def config(self) -> Config:
        """The settings of the run."""
        return self._run.config

    @property
    def has_ood_detector(self) -> bool:
        """True if predictions say whether an image is unlike the training radiographs."""
        return self._predictor.has_ood_detector

    @property
    def min_confidence(self) -> float | None:
        """The confidence below which a label is undecided; infinity where none suffices, None where none was chosen."""
        return self._run.fitted.min_confidence

    @property
    def notice(self) -> str:
        """Sentences that accompany every prediction, such as that it is a demonstration; "" if there are none."""
        return self._run.notice

    def with_params(self, params: Mapping[str, Any]) -> "Model":
        """Return a model with other parameters, for example after training them further.

        It has no OOD detector, no temperature and no threshold of the confidence, which were fitted to the old ones.

        Args:
            params: with the structure and shapes of `model.params`.

        Raises:
            ValueError: an array is missing, unknown, or has another shape.

        Examples:
            >>> import cxrjax as cx, jax
            >>> model = cx.load("runs/findings")
            >>> model.with_params(jax.tree.map(lambda x: 0.5 * x, model.params)).has_ood_detector
            False
        """
        _check_same_shapes(self.params, params)
        return Model(self.run, self._run._replace(variables=params, fitted=Fitted()), is_modified=True)

    def with_outputs(
        self, *, saliency_label: str | None = None, patch_embeddings: bool = False, class_maps: bool = False
    ) -> "Model":
        """Return a model whose predictions have other outputs; probabilities stay as they are, up to rounding.

        Args:
            saliency_label: the class that saliency maps show; None for the predicted one.
            patch_embeddings: whether predictions have the embeddings of the patches.
            class_maps: whether predictions have the saliency maps of all classes; 4 bytes per pixel and class.

        Raises:
            ValueError: there is no such class.

        Examples:
            >>> import cxrjax as cx
            >>> model = cx.load("runs/findings").with_outputs(saliency_label="viral", patch_embeddings=True)
            >>> prediction = model.predict("patient.png")
            >>> prediction.saliency_label
            'viral'
            >>> len(prediction.patch_embeddings.features) == sum(prediction.votes.values())
            True
        """
        if saliency_label is not None and saliency_label not in self.classes:
            raise ValueError(explain_missing_class(self.run, saliency_label, self.classes))
        index = None if saliency_label is None else self.classes.index(saliency_label)
        inference = self.spec.inference._replace(
            saliency_class=index, with_embeddings=patch_embeddings, with_class_maps=class_maps
        )
        run = self._run._replace(spec=self.spec._replace(inference=inference))
        return Model(self.run, run, is_modified=self._is_modified)

    def save(self, path: PathLike, *, dtype: str = "float32") -> None:
        """Write a run directory or a single file that `cxrjax.load` reads, without the history of the training.

        The run directory that the model was loaded from still has to exist: its settings are copied. Of a model with
        other parameters (`with_params`), the copy has these, and no OOD detector and no calibration.

        Args:
            path: a file to create, ending in ".safetensors"; or a folder, absent or empty, which the command line
                reads as a run.
            dtype: type of the parameters in a file: "float32" or "float16". A run has float32.

        Raises:
            ValueError: `dtype` is unknown, or is not float32 for a run.
            OSError: the file exists, the folder is not empty, or it cannot be written.

        Examples:
            >>> import cxrjax as cx
            >>> model = cx.load("runs/findings")
            >>> model.save("runs/copy")
            >>> copy = cx.load("runs/copy")
            >>> copy.predict("patient.png").votes == model.predict("patient.png").votes
            True
        """
        saved_run.save(self.run, self._run, Path(path), is_modified=self._is_modified, dtype=dtype)

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, Any]], _Source]:
        """Return the parameters and the static part, for JAX."""
        static = _Source(self.run, self._run._replace(variables={}, fitted=Fitted()))
        return ((jax.tree_util.GetAttrKey("params"), self.params),), static

    @classmethod
    def tree_unflatten(cls, static: _Source, children: tuple[Any]) -> "Model":
        """Return a model with other parameters, for JAX."""
        return cls(static.path, static.run._replace(variables=children[0]), is_modified=True)

    def predict(
        self,
        images: ImageInput | Iterable[ImageInput],
        *,
        value_range: tuple[float, float] | None = None,
        preprocessed: bool = False,
        if_inverted: str = "refuse",
        batch_size: int | None = None,
        errors: str = "raise",
    ) -> Prediction | list[Prediction]:
        """Predict one radiograph or several.

        The prediction for a file is that of `--mode=predict`, bit for bit, and does not depend on the file's name.

        Args:
            images: a path, an open `Radiograph`, an array [H, W] of native gray levels with bright bones (uint8,
                uint16, or floats), or several: a list of these, or an array [n, H, W].
            value_range: the least and the greatest value that an array, or the array of a .npy file, may have. Floats
                need it, but for those of a file from 0 to 1.
            preprocessed: arrays are uint8 [S, S] of `cxrjax.preprocess`, and are not preprocessed again.
            if_inverted: what to do with an image whose gray levels look inverted, lungs bright and bones dark, although
                its header, if it has one, does not say so or was respected: "refuse" raises an error, "invert" inverts
                them and says so in `Prediction.reason`, "ignore" predicts the image as it is. Preprocessed arrays are
                not examined.
            batch_size: images that one program computes at once; each size is compiled once. None for 1 for one image,
                and for a list for as many as it has, at most `evaluation.batch_size` of the run.
            errors: "raise" raises the first error of a list; "return" puts the error in the place of the prediction.

        Returns:
            A prediction; of several images a list, in their order. A list holds everything in memory, 6 bytes per pixel
            of each preprocessed image; `predict_iter` does not.

        Raises:
            ImageReadError: a file cannot be read; `cxrjax.ImageReadError`.
            ImageRefusedError: the header of a file says that it is not a frontal chest radiograph, the gray levels look
                inverted, or all pixels inside the borders have one value.
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
        if model_input.is_single(images):
            (single,) = self.predict_iter(
                [images],
                value_range=value_range,
                preprocessed=preprocessed,
                if_inverted=if_inverted,
                batch_size=batch_size,
                errors=errors,
            )
            return single
        return list(
            self.predict_iter(
                images,
                value_range=value_range,
                preprocessed=preprocessed,
                if_inverted=if_inverted,
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
        if_inverted: str = "refuse",
        batch_size: int | None = None,
        errors: str = "raise",
    ) -> Iterator[Prediction]:
        """Predict many radiographs, of which some dozens are in memory at a time; threads read the next ones ahead.

        Args:
            images: see `predict`; of an iterator without a length, the default of `batch_size` is that of the run.
            value_range: see `predict`.
            preprocessed: see `predict`.
            if_inverted: see `predict`.
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
        if if_inverted not in model_input.IF_INVERTED:
            raise ValueError(f"if_inverted={if_inverted!r} is not one of {', '.join(model_input.IF_INVERTED)}")
        if batch_size is None:
            batch_size = self.config.evaluation.batch_size
            if isinstance(images, Sized):
                batch_size = max(1, min(batch_size, len(images)))
        # On a CPU a batch is computed while it is fetched, so that more than one at a time gains nothing.
        count = batch_size if jax.default_backend() == "cpu" else batch.chunk_size(batch_size)
        read = partial(
            self._load,
            value_range=value_range,
            preprocessed=preprocessed,
            if_inverted=if_inverted,
            errors=errors,
        )
        loaded = map_ahead(read, enumerate(images), num_threads=_READERS, num_ahead=max(count, _MIN_AHEAD))
        total = len(images) if isinstance(images, Sized) else None
        disable = True if total == 1 else None  # None draws it on terminals
        bar = progress_bar(total=total, desc="predicting", unit="radiograph", leave=None, disable=disable)
        with bar, closing(loaded):
            while inputs := list(islice(loaded, count)):
                for result in self._predict_inputs(inputs, batch_size):
                    yield result
                    bar.update()

    def __repr__(self) -> str:
        return f"Model({str(self.run)!r}, classes={self.classes})"

    def _load(
        self,
        numbered: tuple[int, ImageInput],
        value_range: tuple[float, float] | None,
        preprocessed: bool,
        if_inverted: str,
        errors: str,
    ) -> ModelInput | Exception:
        """Read and preprocess an image, given with its number; return an error that `errors` says to return."""
        number, image = numbered
        try:
            return model_input.read(image, self.spec.input, f"image {number}", value_range, preprocessed, if_inverted)
        except Exception as error:
            if errors == "raise":
                raise
            return error

    def _predict_inputs(self, inputs: list[ModelInput | Exception], batch_size: int) -> Iterator[Any]:
        """Yield the prediction of each input in order, and errors as they are."""
        pixels = [item.pixels for item in inputs if isinstance(item, ModelInput)]
        results = iter(self._predictor.predict(np.stack(pixels), batch_size) if pixels else ())
        for item in inputs:
            yield prediction.assemble(self._predictor, item, next(results)) if isinstance(item, ModelInput) else item


def _check_same_shapes(expected: Any, params: Any) -> None:
    """Raise a ValueError unless two pytrees have the same structure and shapes."""
    expected_shapes = {jax.tree_util.keystr(path): np.shape(x) for path, x in jax.tree.leaves_with_path(expected)}
    shapes = {jax.tree_util.keystr(path): np.shape(x) for path, x in jax.tree.leaves_with_path(params)}
    for name in sorted(expected_shapes.keys() | shapes.keys()):
        if expected_shapes.get(name) != shapes.get(name):
            raise ValueError(
                f"params{name}: has the shape {shapes.get(name, 'of nothing')}, and the model's is "
                f"{expected_shapes.get(name, 'of nothing')}"
            )
