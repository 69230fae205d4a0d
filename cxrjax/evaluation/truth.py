"""Comparison of a run's results with the truth of a split, one function per task."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cxrjax.config import Config
from cxrjax.data import dataset, truth_table
from cxrjax.data.batch import RadiographBatch
from cxrjax.inference.predictor import Predictor
from cxrjax.io import predictions_csv
from cxrjax.metrics import baselines, finding_arrays, saliency
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


def list_scored_rows(predictor: Predictor, stored: dataset.RadiographDataset, is_own: bool) -> Sequence[int]:
    """Return the rows of a split that an evaluation predicts and scores.

    These are all rows, but for a classifier of one label per radiograph on another data set than its own: other
    hospitals have labels that the network was not trained on. Rows with such a label, or without one, are left out.

    Args:
        predictor: of the run.
        stored: the split.
        is_own: whether it is of the run's own data set.

    Raises:
        DatasetError: no label is among the run's classes, or one of the run's own data set is not.
    """
    if not predictor.classes or predictor.config.classifier.targets == "multi":
        return range(len(stored))
    rows = [row for row, label in enumerate(stored.labels) if label in predictor.classes]
    if is_own or not rows:
        truth_table.index_labels(stored, predictor.classes)
    return rows


def compare_labels(workdir: Path, predictor: Predictor, stored: dataset.RadiographDataset) -> TruthColumns:
    """Return the comparison with true labels and known lesions, for the run of a classifier."""
    source_labels = _source_baseline(workdir, predictor.config, stored.sources) if multihost.is_primary() else None

    def truth_cells(cases: RadiographBatch, i: int, result: Any, row: int) -> dict[str, Any]:
        cells: dict[str, Any] = {} if source_labels is None else {"source_baseline": source_labels[row]}
        return cells | _lesion_cells(cases, i, result)

    columns = predictions_csv.classification_columns(predictor.classes, predictor.has_ood_detector)
    return TruthColumns(columns, truth_cells)


def compare_findings(workdir: Path, predictor: Predictor, stored: dataset.RadiographDataset) -> TruthColumns:
    """Return the comparison with true findings and known lesions, for the run of a classifier of several findings."""
    targets = truth_table.index_targets(stored, predictor.classes)
    if multihost.is_primary():
        _require_finding_counts(workdir, predictor)

    def truth_cells(cases: RadiographBatch, i: int, result: Any, row: int) -> dict[str, Any]:
        known = zip(predictor.classes, targets[row], strict=True)
        cells: dict[str, Any] = {predictions_csv.TARGET_PREFIX + name: float(value) for name, value in known}
        return cells | _lesion_cells(cases, i, result)

    return TruthColumns(predictions_csv.finding_columns(predictor.classes, predictor.has_ood_detector), truth_cells)


def _require_finding_counts(workdir: Path, predictor: Predictor) -> None:
    """Count the findings of the training radiographs by source, where the run has no such record."""
    if provenance.load_finding_counts(workdir) is not None:
        return
    try:
        train = dataset.open_split(predictor.config, predictor.config.data.train)
    except dataset.DatasetError as error:
        terminal.warn(f"no scores of the source alone: {error}")
        return
    targets = truth_table.index_targets(train, predictor.classes)
    counts = finding_arrays.count_by_source(train.sources, targets, predictor.classes)
    provenance.save_finding_counts(workdir, counts)


def _lesion_cells(cases: RadiographBatch, i: int, result: Any) -> dict[str, Any]:
    """Return the share of the saliency map inside known lesions; {} where there are none."""
    if cases.lesions is None or not cases.lesions[i].any() or not result.saliency.any():
        return {}
    return {"energy_in_lesions": float(saliency.energy_inside(result.saliency, cases.lesions[i]))}


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
