"""A trained network on a split of its data: a row a radiograph, and a picture sheet; `score` makes the scores of them.

Writes RUN/evaluation/SPLIT/predictions.csv and sheet.png and, of a classifier, RUN/calibration.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax import calibration, data, faithfulness, figures, metrics, predictions, score
from cxrjax.examine import Examiner, describe
from cxrjax.tasks import segment


def evaluate(workdir: Path, split: str, directory: str | None = None) -> dict[str, Any]:
    """Evaluate the best network of a run, a classifier on its validation radiographs first where it was not yet.

    Args:
        workdir: the run directory.
        split: "train", "val", "test", or another that the data set has.
        directory: another prepared data set than the one it was trained on.

    Returns:
        What metrics.json says.

    Raises:
        UnfitRun, MissingData: see there.
    """
    examiner = Examiner(workdir)
    own = directory in (None, examiner.config.data.directory)
    validation = examiner.config.data.validation
    calibrates = examiner.finds and own and split == validation
    if calibrates or examiner.finds and not _is_calibrated(workdir):
        _examine(examiner, workdir, validation, examiner.config.data.directory)
        calibration.fit(workdir, validation)
    if not calibrates:
        _examine(examiner, workdir, split, directory or examiner.config.data.directory)
    return score.score(workdir, split)


def _is_calibrated(workdir: Path) -> bool:
    """Whether the run has a temperature, of the network that it has now."""
    fitted = calibration.path(workdir)
    return fitted.exists() and fitted.stat().st_mtime >= (workdir / "checkpoints" / "best").stat().st_mtime


def _examine(examiner: Examiner, workdir: Path, split: str, directory: str) -> None:
    """Write the rows and the sheet of a split."""
    config = examiner.config
    cases = data.load_as(config, split, directory)
    folder = workdir / "evaluation" / split
    folder.mkdir(parents=True, exist_ok=True)
    if examiner.finds:
        data.index_labels(cases, examiner.classes)
        columns = predictions.classification_columns(examiner.classes)
        guesses = metrics.score_of_source(*data.load_labels(config.data.directory, config.data.train), cases.sources)
    else:
        columns, guesses = predictions.segmentation_columns(tuple(segment.SCORED)), []
    shown = set(_spread(cases.labels, config.evaluation.sheet))
    rows, panels = [], []
    for i, result in enumerate(examiner.examine(cases.images, cases.paths)):
        row = _identify(cases, i) | {"split": split} | examiner.row(result)
        if examiner.finds:
            row["source_guess"] = guesses[i]
            if cases.lesions is not None and cases.lesions[i].any() and result.map.any():
                row["energy_in_lesions"] = float(faithfulness.energy_inside(result.map, cases.lesions[i]))
        elif cases.kinds[i] >= 0:
            row |= segment.measure(result.structures, cases.masks[i], cases.kinds[i])
        rows.append(row)
        if i in shown:
            panels.append(_panel(examiner.overlay(cases.images[i], result), row))
    predictions.write(folder / "predictions.csv", rows, columns)
    figures.draw_sheet(panels, 4, folder / "sheet.png")


def _identify(cases: data.Split, i: int) -> dict[str, Any]:
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
        return rgb, f"{row['label']}\n{describe(row)}", figures.RIGHT if right else figures.WRONG
    return rgb, f"{row['source']}: Dice {row['dice_lungs']:.3f}", figures.RIGHT
