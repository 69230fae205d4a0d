"""Prediction by the trained networks of a run, which evaluation, reports and the public `Model` use.

Whether a run classifies or only segments is decided once, in `make_predictor`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cxrjax.config import Config
from cxrjax.data import batch
from cxrjax.inference import pipeline
from cxrjax.inference.finding_predictor import FindingPredictor
from cxrjax.inference.label_predictor import LabelPredictor
from cxrjax.inference.loaded_run import LoadedRun, load_run
from cxrjax.inference.segmentation_predictor import SegmentationPredictor
from cxrjax.runs.model_info import ModelInfo

if TYPE_CHECKING:  # it imports the readers of data sets, which predictions of files do not need
    from cxrjax.data.dataset import RadiographDataset


class Predictor(Protocol):
    """Networks of a run, for any number of radiographs.

    It is a `LabelPredictor`, a `FindingPredictor` or a `SegmentationPredictor`.
    """

    config: Config
    step: int  # training step of the networks
    classes: tuple[str, ...]  # () of a segmenter's run
    has_segmenter: bool
    has_ood_detector: bool
    notice: str  # see `cxrjax.runs.notice`

    @property
    def model_info(self) -> ModelInfo:
        """The identity of the model."""
        ...

    def predict(self, images: np.ndarray, batch_size: int | None = None) -> Iterator[Any]:
        """Return an iterator over the results of radiographs, in order.

        Args:
            images: preprocessed radiographs uint8 [n, S, S].
            batch_size: radiographs per batch; None for the batch size of the constructor. Results do not depend on it.

        Returns:
            `pipeline.Prediction` or `pipeline.LungSegmentation` of NumPy arrays without the batch axis.
        """
        ...

    def to_row(self, result: Any) -> dict[str, Any]:
        """Return the cells of `predictions.csv` for a result: text and plain Python numbers that JSON can encode."""
        ...

    def findings(self, result: Any) -> dict[str, bool]:
        """Return whether each of several findings is predicted; {} of another run, or where no lungs were found."""
        ...

    @property
    def threshold_note(self) -> str:
        """A sentence on where the thresholds of several findings come from; "" of another run."""
        ...

    def decision(self, result: Any) -> str:
        """Return "decided", or "undecided" if the confidence of the label is below the one chosen on validation.

        The result is "" if there is no label, or the run has no such threshold (see `cxrjax.runs.calibration`).
        """
        ...

    def lung_mask(self, result: Any) -> np.ndarray | None:
        """Return the lung mask bool [S, S] of a result; None without a segmenter."""
        ...

    def label_map(self, result: Any) -> np.ndarray | None:
        """Return the label map uint8 [S, S] of a result; None without a segmenter."""
        ...

    def saliency(self, result: Any) -> np.ndarray | None:
        """Return the saliency map float32 [S, S] in 0..1 of a result; None of a segmenter's run."""
        ...

    def saliency_label(self, result: Any) -> str | None:
        """Return the class that the saliency map shows; None without a label."""
        ...

    def embedding(self, result: Any) -> np.ndarray | None:
        """Return the features float32 [C] of a result; None without a label."""
        ...

    def class_maps(self, result: Any) -> dict[str, np.ndarray]:
        """Return the saliency maps float32 [S, S] in 0..1 by class; {} without a label, or if not computed."""
        ...

    def patch_embeddings(self, result: Any) -> pipeline.PatchEmbeddings | None:
        """Return the embeddings of the patches that vote; None without a label, or if they were not computed."""
        ...


def make_predictor(run: LoadedRun, batch_size: int | None = None) -> Predictor:
    """Return the predictor of a loaded run.

    Args:
        run: of `load_run`.
        batch_size: radiographs per batch; None for `evaluation.batch_size` of the run.
    """
    if run.spec.classifier is None:
        predictor = SegmentationPredictor
    else:
        predictor = FindingPredictor if run.config.classifier.targets == "multi" else LabelPredictor
    return predictor(run, run.config.evaluation.batch_size if batch_size is None else batch_size)


def load_predictor(workdir: Path, *, use_ood_detector: bool = True) -> Predictor:
    """Return the predictor of a run directory; for errors see `load_run`."""
    return make_predictor(load_run(workdir, use_ood_detector=use_ood_detector))


def predict_stored(
    predictor: Predictor, stored: "RadiographDataset", rows: Sequence[int] | None = None
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
