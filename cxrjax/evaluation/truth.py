"""Comparison of a run's results with the truth of a split, one function per task."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cxrjax.config import Config
from cxrjax.data import dataset
from cxrjax.data.batch import RadiographBatch
from cxrjax.inference.predictor import Predictor
from cxrjax.io import predictions_csv
from cxrjax.metrics import baselines, saliency
from cxrjax.runs import provenance
from cxrjax.runtime import multihost, terminal
from cxrjax.training import segmentation


class TruthColumns(NamedTuple):
    """Cells of `predictions.csv` that compare a result with the truth.

    Attributes:
        columns: all columns of the table.
        truth_cells: (batch, row in it, result, row in the split) -> the cells that depend on the truth.
    """

    columns: list[str]
    truth_cells: Callable[[RadiographBatch, int, Any, int], dict[str, Any]]


def compare_labels(workdir: Path, predictor: Predictor, stored: dataset.RadiographDataset) -> TruthColumns:
    """Return the comparison with true labels and known lesions, for the run of a classifier.

    Raises:
        DatasetError: the split has a label that is none of the run's classes.
    """
    dataset.index_labels(stored, predictor.classes)
    source_labels = _source_baseline(workdir, predictor.config, stored.sources) if multihost.is_primary() else None

    def truth_cells(cases: RadiographBatch, i: int, result: Any, row: int) -> dict[str, Any]:
        cells: dict[str, Any] = {} if source_labels is None else {"source_baseline": source_labels[row]}
        if cases.lesions is not None and cases.lesions[i].any() and result.saliency.any():
            cells["energy_in_lesions"] = float(saliency.energy_inside(result.saliency, cases.lesions[i]))
        return cells

    columns = predictions_csv.classification_columns(predictor.classes, predictor.has_ood_detector)
    return TruthColumns(columns, truth_cells)


def compare_masks(workdir: Path, predictor: Predictor, stored: dataset.RadiographDataset) -> TruthColumns:
    """Return the comparison with true masks, for the run of a segmenter."""

    def truth_cells(cases: RadiographBatch, i: int, result: Any, row: int) -> dict[str, Any]:
        if cases.mask_types[i] < 0:
            return {}
        return segmentation.mask_metrics(result.label_map, cases.masks[i], cases.mask_types[i])

    return TruthColumns(predictions_csv.segmentation_columns(tuple(segmentation.SCORED)), truth_cells)


def _source_baseline(workdir: Path, config: Config, sources: Sequence[str]) -> list[str] | None:
    """Return the label predicted from the source of each radiograph; None without the labels of training."""
    try:
        return baselines.source_baseline(*provenance.load_labels(workdir, config), sources)
    except dataset.DatasetError as error:
        terminal.warn(f"no scores of the source alone: {error}")
        return None
