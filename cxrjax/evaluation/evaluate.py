"""Evaluation of a trained network on a split: one row per radiograph, a sheet of images, and the scores.

Writes predictions.csv, provenance.json and preview.png to RUN/evaluation/SPLIT (for another data set than the run's
own, to RUN/evaluation/DATA-SPLIT, with external.json) and, for a classifier, RUN/calibration.json. `scoring` computes
the scores from the rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cxrjax import plotting
from cxrjax.data import batch, dataset, tfds_store
from cxrjax.evaluation import decisions, external, fit_calibration, scoring, truth
from cxrjax.inference import fit_ood, ood_store
from cxrjax.inference.predictor import Predictor, load_predictor, predict_stored
from cxrjax.inference.rows import describe
from cxrjax.io import predictions_csv
from cxrjax.io.crop import Frame
from cxrjax.runs import calibration, class_names, dataset_record, provenance, run_dir
from cxrjax.runtime import multihost, terminal
from cxrjax.runtime.formatting import format_label

# Below the sheet of images.
LABEL_LEGEND = (
    "Bold: the label; below it the prediction, green where it is the label and orange where it is not. Cyan: the "
    "outline of the lungs. Colors: where the evidence for the prediction lies."
)
MASK_LEGEND = "Cyan: the outline of the predicted lungs."


def evaluate_run(workdir: Path, split: str, directory: str | None = None) -> dict[str, Any]:
    """Evaluate the best network of a run.

    If a classifier's out-of-distribution detector, temperature or operating points were fitted to an earlier network of
    the run, they are first fitted again: the detector to the training radiographs, the others to the validation split.
    If those data are missing or insufficient, the scores are computed without them and a warning is printed; a run that
    was trained without validation has none. The same holds for the scores of the source alone, where the run has no
    counts of its training labels.

    Args:
        workdir: the run directory.
        split: "train", "val", "test", or another split of the data set.
        directory: another prepared data set than that of training, or where that has moved to.

    Returns:
        The content of metrics.json; with several processes, in the first process.

    Raises:
        RunError: there is no trained network in the run directory.
        DatasetError: the data set or its split does not exist.
    """
    predictor = load_predictor(workdir, use_ood_detector=_refit_ood_detector(workdir))
    validation = predictor.config.data.validation
    name = _predict_split(predictor, workdir, split, directory)
    if (
        predictor.classes
        and validation
        and (name == validation or not calibration.matches_step(workdir, predictor.step))
    ):
        try:
            if name != validation:
                _predict_split(predictor, workdir, validation, directory if name == split else None)
            if multihost.is_primary():
                fit_calibration.fit(workdir, validation)
                decisions.write_decisions(workdir, validation)
        except (dataset.DatasetError, fit_calibration.CalibrationError) as error:
            calibration.path(workdir).unlink(missing_ok=True)
            terminal.warn(f"no temperature and no operating points: {error}")
    # The other processes wait: they may not exit while the first is still at work.
    return multihost.primary_first(lambda: _score(workdir, name) if multihost.is_primary() else {})


def _score(workdir: Path, name: str) -> dict[str, Any]:
    """Complete the rows of an evaluation, score them, on another data set by collection too, and return the scores."""
    decisions.write_decisions(workdir, name)
    scores = scoring.score_run(workdir, name)
    external.assess_run(workdir, name)
    return scores


def _refit_ood_detector(workdir: Path) -> bool:
    """Fit the run's out-of-distribution detector again if it was fitted to another network than the run has now.

    Returns:
        Whether the run has a detector for its network.
    """
    step = run_dir.load_step(workdir, run_dir.load_config(workdir))
    if ood_store.has_detector(workdir) and not ood_store.is_fitted_to(workdir, step):
        try:
            fit_ood.fit_ood_detector(workdir)
        except (dataset.DatasetError, run_dir.RunError) as error:
            terminal.warn(f"the OOD detector is that of another network, and is not applied: {error}")
    return ood_store.is_fitted_to(workdir, step)


def _predict_split(predictor: Predictor, workdir: Path, split: str, directory: str | None = None) -> str:
    """Write predictions.csv, provenance.json and preview.png of a split, and return the name of their folder."""
    config = predictor.config
    stored = dataset.open_split(config, split, directory)
    class_names.check_known(config, directory or config.data.dir)
    name = dataset_record.results_dirname(workdir, config, split, directory)
    folder = workdir / "evaluation" / name
    folder.mkdir(parents=True, exist_ok=True)
    scored = truth.list_scored_rows(predictor, stored, is_own=name == split)
    labels = [stored.labels[row] for row in scored]
    left_out = Counter(stored.labels) - Counter(labels)
    comparison = _choose_comparison(predictor)(workdir, predictor, stored)
    panel_rows = {scored[i] for i in _select_panels(labels, config.evaluation.num_preview_images)}
    rows: list[dict[str, Any]] = []
    panels = []
    results = predict_stored(predictor, stored, scored if left_out else None)
    for position, (cases, i, result) in zip(scored, results, strict=True):
        row = _metadata_columns(cases, i) | {"split": split} | predictor.to_row(result)
        row |= comparison.truth_cells(cases, i, result, position)
        if position in panel_rows:
            rgb = plotting.overlay(cases.images[i], predictor.lung_mask(result), predictor.saliency(result))
            decided = row | {"decision": predictor.decision(result)}
            panels.append(_captioned_panel(_in_proportions(rgb, stored.frame(position)), decided))
        rows.append(row)
    predictions_csv.write(folder / "predictions.csv", rows, comparison.columns)
    dataset_name = tfds_store.dataset_name(directory or config.data.dir)
    provenance.write(folder, provenance.Provenance(dataset_name, split, predictor.step, dict(left_out)))
    plotting.draw_sheet(
        panels,
        4,
        folder / "preview.png",
        legend=LABEL_LEGEND if predictor.classes else MASK_LEGEND,
        has_color_bar=bool(predictor.classes),
    )
    return name


def _choose_comparison(
    predictor: Predictor,
) -> Callable[[Path, Predictor, dataset.RadiographDataset], truth.TruthColumns]:
    if not predictor.classes:
        return truth.compare_masks
    is_multi_label = predictor.config.classifier.targets == "multi"
    return truth.compare_findings if is_multi_label else truth.compare_labels


def _metadata_columns(cases: batch.RadiographBatch, i: int) -> dict[str, Any]:
    """Return the columns of radiograph i that do not depend on the network."""
    return {
        "path": cases.paths[i],
        "patient_id": cases.patients[i],
        "source": cases.sources[i],
        "view": cases.views[i],
        "sex": cases.sexes[i],
        "age": cases.ages[i],
        "label": cases.labels[i],
    }


def _select_panels(labels: Sequence[str], count: int) -> list[int]:
    """Return about `count` rows, equally many per label, evenly spaced among the radiographs of each label."""
    names = sorted(set(labels))
    rows_by_label = [np.flatnonzero([label == name for label in labels]) for name in names]
    counts = [count // len(names) + (k < count % len(names)) for k in range(len(names))]
    selected = [
        rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]
        for rows, n in zip(rows_by_label, counts, strict=True)
    ]
    return [int(row) for rows in selected for row in rows]


def _in_proportions(rgb: np.ndarray, frame: Frame) -> np.ndarray:
    """Return a standardized square in the proportions of what it shows, without enlarging either side."""
    scale = len(rgb) / max(frame.inner_height, frame.inner_width)
    size = (max(1, round(frame.inner_width * scale)), max(1, round(frame.inner_height * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _captioned_panel(rgb: np.ndarray, row: dict[str, Any]) -> tuple[np.ndarray, str, str]:
    """Return an image of the sheet, its caption and the color of the caption."""
    if "prediction" in row or not row.get("dice_lungs"):
        correct = row.get("prediction") == row["label"]
        return rgb, f"{format_label(row['label'])}\n{describe(row)}", plotting.RIGHT if correct else plotting.WRONG
    return rgb, f"{row['source']}: Dice {row['dice_lungs']:.3f}", plotting.RIGHT
