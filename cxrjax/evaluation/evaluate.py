"""A trained network on a split of its data: a row a radiograph, and a picture sheet; `score` makes the scores of them.

Writes predictions.csv, origin.json and sheet.png to RUN/evaluation/SPLIT (of another data set than the run's own,
DATA-SPLIT) and, of a classifier, RUN/calibration.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cxrjax import plotting
from cxrjax.data import batch, dataset, tfds_store
from cxrjax.evaluation import scoring
from cxrjax.inference import fit_ood, ood_store
from cxrjax.inference.predictor import Predictor, describe, predict_stored
from cxrjax.io import predictions_csv
from cxrjax.metrics import baselines, saliency
from cxrjax.runs import calibration, label_counts, provenance, run_dir
from cxrjax.runtime import multihost, terminal
from cxrjax.training import segmentation


def evaluate_run(workdir: Path, split: str, directory: str | None = None) -> dict[str, Any]:
    """Evaluate the best network of a run.

    What of a classifier was fitted to another network than it has now is fitted anew: its gate to training radiographs,
    temperature and operating points to those of validation. Where they are not there, or will not do, the scores go
    without, and a line on standard error says so; likewise for the source alone, where the run has not kept what it
    learned from.

    Args:
        workdir: the run directory.
        split: "train", "val", "test", or another that the data set has.
        directory: another prepared data set than the one it was trained on.

    Returns:
        What metrics.json says; of several processes, in the first.

    Raises:
        UnfitRun, DatasetError: see there.
    """
    examiner = Predictor(workdir, gated=_renew_gate(workdir))
    validation = examiner.config.data.validation
    name = _examine(examiner, workdir, split, directory)
    if examiner.finds and (name == validation or not calibration.is_of(workdir, examiner.step)):
        try:
            if name != validation:
                _examine(examiner, workdir, validation)
            if multihost.is_primary():
                calibration.fit(workdir, validation)
        except (dataset.DatasetError, calibration.CalibrationError) as error:
            calibration.path(workdir).unlink(missing_ok=True)
            terminal.warn(f"no temperature and no operating points: {error}")
    # The others wait: they may not leave while the first is still at work.
    return multihost.primary_first(lambda: scoring.score_run(workdir, name) if multihost.is_primary() else {})


def _renew_gate(workdir: Path) -> bool:
    """Whether the run has a gate of the network that it has now, one of another being fitted anew first."""
    step = run_dir.load_step(workdir, run_dir.load_config(workdir))
    if ood_store.has_gate(workdir) and not ood_store.has_gate_of(workdir, step):
        try:
            fit_ood.fit_ood_detector(workdir)
        except (dataset.DatasetError, run_dir.RunError) as error:
            terminal.warn(f"the gate is of another network, and is left out: {error}")
    return ood_store.has_gate_of(workdir, step)


def _examine(examiner: Predictor, workdir: Path, split: str, directory: str | None = None) -> str:
    """Write the rows and the sheet of a split, and say what they are kept under."""
    config = examiner.config
    stored = dataset.open_split(config, split, directory)
    name = dataset.results_dirname(config, split, directory)
    folder = workdir / "evaluation" / name
    folder.mkdir(parents=True, exist_ok=True)
    guesses = None
    if examiner.finds:
        dataset.index_labels(stored, examiner.classes)
        columns = predictions_csv.classification_columns(examiner.classes, examiner.gated)
        guesses = _guess(workdir, config, stored.sources) if multihost.is_primary() else None
    else:
        columns = predictions_csv.segmentation_columns(tuple(segmentation.SCORED))
    shown = set(_spread(stored.labels, config.evaluation.sheet))
    rows, panels = [], []
    for cases, i, result in predict_stored(examiner, stored):
        row = _identify(cases, i) | {"split": split} | examiner.row(result)
        if examiner.finds:
            if guesses is not None:
                row["source_guess"] = guesses[len(rows)]
            if cases.lesions is not None and cases.lesions[i].any() and result.map.any():
                row["energy_in_lesions"] = float(saliency.energy_inside(result.map, cases.lesions[i]))
        elif cases.mask_types[i] >= 0:
            row |= segmentation.mask_metrics(result.structures, cases.masks[i], cases.mask_types[i])
        if len(rows) in shown:
            panels.append(_panel(examiner.overlay(cases.images[i], result), row))
        rows.append(row)
    predictions_csv.write(folder / "predictions.csv", rows, columns)
    called = tfds_store.dataset_name(directory or config.data.directory)
    provenance.write(folder, provenance.Provenance(called, split, examiner.step))
    plotting.draw_sheet(panels, 4, folder / "sheet.png")
    return name


def _guess(workdir: Path, config: ConfigDict, sources: Sequence[str]) -> list[str] | None:
    """The label of each radiograph as guessed from its source alone; None where it is not known what to learn from."""
    try:
        return baselines.source_baseline(*label_counts.load(workdir, config), sources)
    except dataset.DatasetError as error:
        terminal.warn(f"no scores of the source alone: {error}")
        return None


def _identify(cases: batch.RadiographBatch, i: int) -> dict[str, Any]:
    """Who a radiograph is of, where it comes from, and its label."""
    return {
        "path": cases.paths[i],
        "patient_id": cases.patients[i],
        "source": cases.sources[i],
        "view": cases.views[i],
        "sex": cases.sexes[i],
        "age": cases.ages[i],
        "label": cases.labels[i],
    }


def _spread(labels: Sequence[str], count: int) -> list[int]:
    """About `count` rows, the labels taking turns, each label's evenly over its radiographs."""
    names = sorted(set(labels))
    each = [np.flatnonzero([label == name for label in labels]) for name in names]
    share = [count // len(names) + (k < count % len(names)) for k in range(len(names))]
    picked = [
        rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)] for rows, n in zip(each, share, strict=True)
    ]
    return [int(row) for rows in picked for row in rows]


def _panel(rgb: np.ndarray, row: dict[str, Any]) -> tuple[np.ndarray, str, str]:
    if "finding" in row or not row.get("dice_lungs"):
        right = row.get("finding") == row["label"]
        return rgb, f"{row['label']}\n{describe(row)}", plotting.RIGHT if right else plotting.WRONG
    return rgb, f"{row['source']}: Dice {row['dice_lungs']:.3f}", plotting.RIGHT
