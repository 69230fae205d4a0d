"""Measurements of hearts and lungs, compared between the labels of a split (Oh et al. 2020, section IV-B).

Writes RUN/morphometry/SPLIT/: morphometry.csv, one row per radiograph; differences.json, computed from those rows
alone; box_plots.png and box_plots.svg.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax import plotting
from cxrjax.data import dataset
from cxrjax.inference import lung_geometry, pipeline
from cxrjax.inference.predictor import load_predictor, predict_stored
from cxrjax.io import csv_text
from cxrjax.metrics import hypothesis_tests
from cxrjax.ops import morphometry
from cxrjax.runs import dataset_record, run_dir
from cxrjax.runtime import atomic_files, former_names
from cxrjax.runtime.formatting import MISSING, format_label, format_p

_METADATA = ("path", "patient_id", "source", "split", "label")
_AREAS = {"left_lung": "left lung", "right_lung": "right lung", "lung": "both lungs"}
# Measure -> its label on figures; those in mm² need the pixel spacing.
MEASURES = {
    **{f"{name}_area_fraction": f"{words}, share of the image" for name, words in _AREAS.items()},
    **{f"{name}_area_mm2": f"{words}, mm²" for name, words in _AREAS.items()},
    "cardiothoracic_ratio": "cardiothoracic ratio",
    "lung_intensity_mean": "mean gray level in the lungs",
    "lung_intensity_variance": "variance of the lungs' gray levels",
    "intensity_variance_between_patches": "variance between patches",
    "intensity_variance_within_patches": "variance within patches",
}


def compare_morphometry(workdir: Path, split: str, directory: str | None = None) -> dict[str, Any]:
    """Measure the radiographs of a split with a run's segmenter, and compare their labels.

    Args:
        workdir: run directory of a segmenter or of a classifier.
        split: name of the split.
        directory: another prepared data set than that of training.

    Returns:
        The content of differences.json; see `compare_rows`.

    Raises:
        RunError: there is no trained network in the run directory.
        DatasetError: the data set or its split does not exist.
    """
    config = run_dir.load_config(workdir)
    predictor = load_predictor(run_dir.segmenter_dir(workdir, config))
    stored = dataset.open_split(config, split, directory)
    rows = []
    for cases, i, segmentation in predict_stored(predictor, stored):
        metadata = (cases.paths[i], cases.patients[i], cases.sources[i], split, cases.labels[i])
        (key,) = pipeline.image_keys(config.seed, cases.image_ids[i : i + 1])
        values = morphometry.measure_lungs(
            cases.images[i], segmentation.lung_mask, segmentation.label_map, cases.fov_mm[i], key,
            config.patches.count, config.patches.size,
        )  # fmt: skip
        measures = {name: float(value) for name, value in values.items()}
        measures["cardiothoracic_ratio"] = lung_geometry.cardiothoracic_ratio(segmentation.label_map)
        rows.append(dict(zip(_METADATA, metadata, strict=True)) | measures)
    folder = workdir / "morphometry" / dataset_record.results_dirname(workdir, config, split, directory)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "morphometry.csv", rows)
    return compare_rows(folder)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write morphometry.csv; NaN becomes a blank cell."""
    table: list[list[object]] = [[*_METADATA, *MEASURES]]
    for row in rows:
        values = ["" if np.isnan(row[name]) else float(f"{row[name]:.6g}") for name in MEASURES]
        table.append([*(row[name] for name in _METADATA), *values])
    atomic_files.atomic_write(path, csv_text.encode_rows(table, end="\n"))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file of `write_rows`, of this or an earlier version; a blank cell becomes NaN."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.DictReader(file)
        table.fieldnames = former_names.current_columns(table.fieldnames or ())
        rows = list(table)
    texts = [{name: csv_text.restore(cell) for name, cell in row.items()} for row in rows]
    return [row | {name: float(row[name] or "nan") for name in MEASURES} for row in texts]


def compare_rows(folder: Path) -> dict[str, Any]:
    """Compute differences.json and draw the box plots, from the morphometry.csv of a folder alone.

    Args:
        folder: RUN/morphometry/SPLIT.

    Returns:
        The result of `hypothesis_tests.compare_groups`, and "sources", the sorted names of the sources of each label.
    """
    rows = read_rows(folder / "morphometry.csv")
    labels = [row["label"] for row in rows]
    patients = [row["patient_id"] for row in rows]
    classes = list(dict.fromkeys(labels))
    measures = {name: [row[name] for row in rows] for name in MEASURES}
    result: dict[str, Any] = hypothesis_tests.compare_groups(measures, labels, patients, classes)
    result["sources"] = {c: sorted({row["source"] for row in rows if row["label"] == c}) for c in classes}
    panels = {}
    for test in result["across"]:
        name = test["measure"]
        title = f"{MEASURES[name]}\n{format_p(test['p_holm'], 'p')}"
        panels[title] = {c: hypothesis_tests.by_patient(measures[name], labels, patients, c) for c in test["medians"]}
    if panels:
        for form in ("png", "svg"):
            plotting.draw_box_plots(
                panels, "Lungs and hearts by label, one value per patient", folder / f"box_plots.{form}"
            )
    atomic_files.atomic_write(folder / "differences.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


def format_comparison(result: dict[str, Any]) -> str:
    """Format differences.json as a Markdown table: medians by class, tests, and the largest difference per measure."""
    classes = list(result["sources"])
    lines = [f"| median of patients | {' | '.join(map(format_label, classes))} | all classes | largest difference |"]
    lines.append("|---" * (len(classes) + 3) + "|")
    for test in result["across"]:
        medians = [f"{test['medians'][c]:.4g}" if c in test["medians"] else MISSING for c in classes]
        pairs = [pair for pair in result["pairs"] if pair["measure"] == test["measure"]]
        pair = max(pairs, key=lambda pair: abs(pair["delta"]))
        low, high = pair["interval"]
        delta = f"{' to '.join(map(format_label, pair['groups']))}: delta {pair['delta']:.2f} ({low:.2f} to {high:.2f})"
        largest = f"{delta}, {format_p(pair['p_holm'], 'p')}"
        lines.append(f"| {test['measure']} | {' | '.join(medians)} | {format_p(test['p_holm'], 'p')} | {largest} |")
    if not result["across"]:
        lines.append(f"(fewer than two classes of {hypothesis_tests.FEWEST} patients: nothing to compare)")
    if len({source for sources in result["sources"].values() for source in sources}) > 1:
        lines.append("The classes come from several sources: a difference of classes may be one of sources.")
    return "\n".join(lines)
