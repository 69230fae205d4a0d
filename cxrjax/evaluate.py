"""A trained network on a split of its data: a row a radiograph, then every score from those rows alone.

Writes RUN/evaluation/SPLIT/: predictions.csv, metrics.json, sheet.png and, of a classifier, confusion.png.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax import data, figures, metrics, predictions, saliency, whole
from cxrjax.examine import Examiner, describe
from cxrjax.tasks import segment


def evaluate(workdir: Path, split: str, directory: str | None = None) -> dict[str, Any]:
    """Evaluate the best network of a run.

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
    config = examiner.config
    directory = directory or config.data.directory
    size, gamma = config.image.size, config.image.gamma
    cases = data.load(directory, split, size=size, gamma=gamma, readers=config.data.readers)
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
        known = {"path": cases.paths[i], "patient_id": cases.patients[i], "source": cases.sources[i], "split": split}
        row = known | {"label": cases.labels[i]} | examiner.row(result)
        if examiner.finds:
            row["source_guess"] = guesses[i]
            if cases.lesions is not None and cases.lesions[i].any() and result.map.any():
                row["energy_in_lesions"] = float(saliency.energy_inside(result.map, cases.lesions[i]))
        elif cases.kinds[i] >= 0:
            row |= segment.measure(result.structures, cases.masks[i], cases.kinds[i])
        rows.append(row)
        if i in shown:
            panels.append(_panel(examiner.overlay(cases.images[i], result), row))
    predictions.write(folder / "predictions.csv", rows, columns)
    figures.draw_sheet(panels, 4, folder / "sheet.png")
    return score(folder)


def score(folder: Path) -> dict[str, Any]:
    """Compute metrics.json, and draw the confusion matrix, from the predictions.csv in a folder and nothing else.

    Args:
        folder: RUN/evaluation/SPLIT.

    Returns:
        `{"all": scores, "by_source": {source: scores}}` and, of a classifier, `"source_alone"`: the scores of
        guessing the label from the source.
    """
    rows = predictions.read(folder / "predictions.csv")
    classes = predictions.names(rows[0], predictions.COUNT_PREFIX)
    measure = _score_findings if classes else metrics.segmentation_metrics
    sources = sorted({row["source"] for row in rows})
    scores = {
        "all": measure(rows),
        "by_source": {source: measure([row for row in rows if row["source"] == source]) for source in sources},
    }
    if classes:
        labels, findings = ([row[key] for row in rows] for key in ("label", "finding"))
        guesses = [row["source_guess"] for row in rows]
        scores["source_alone"] = metrics.classification_metrics(labels, guesses, None, classes)
        matrix = metrics.confusion_matrix(labels, findings, classes)
        figures.draw_confusion(matrix, classes, folder / "confusion.png")
    whole.write(folder / "metrics.json", (json.dumps(scores, indent=2) + "\n").encode())
    return scores


def summarise(scores: dict[str, Any]) -> str:
    """The main scores as a table in Markdown."""
    overall = scores["all"]
    if "structures" in overall:
        lines = ["| radiographs | structure | n | Dice | Jaccard |", "|---|---|---|---|---|"]
        for group, part in [("all", overall), *scores["by_source"].items()]:
            for name, s in part["structures"].items():
                if s["support"]:
                    lines.append(f"| {group} | {name} | {s['support']} | {s['dice']:.4f} | {s['jaccard']:.4f} |")
        return "\n".join(lines)
    lines = ["| | network | source alone |", "|---|---|---|"]
    alone = scores["source_alone"]
    lines += [f"| accuracy | {overall['accuracy']:.3f} | {alone['accuracy']:.3f} |"]
    for name in ("f1", "precision", "recall", "specificity", "auroc"):
        lines.append(f"| macro {name} | {_number(overall['macro'][name])} | {_number(alone['macro'][name])} |")
    for label, s in overall["classes"].items():
        lines.append(f"| F1 {label} ({s['support']}) | {_number(s['f1'])} | {_number(alone['classes'][label]['f1'])} |")
    lines.append(f"| out of place, of {overall['n']} | {overall['flagged']} | |")
    if overall["energy_in_lesions"] is not None:
        lines.append(f"| map energy in lesions | {overall['energy_in_lesions']:.3f} | |")
    return "\n".join(lines)


def _score_findings(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    classes = predictions.names(rows[0], predictions.COUNT_PREFIX)
    labels, findings = ([row[key] for row in rows] for key in ("label", "finding"))
    scores = metrics.classification_metrics(labels, findings, predictions.probabilities(rows, classes), classes)
    energy = np.array([row["energy_in_lesions"] for row in rows])
    scores["flagged"] = sum(bool(row.get("gate")) for row in rows)
    scores["energy_in_lesions"] = None if np.isnan(energy).all() else float(np.nanmean(energy))
    return scores


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


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
