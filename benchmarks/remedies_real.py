"""Measure remedies on real radiographs of several sources, each of which is left out of training in turn.

    python -m benchmarks.remedies --real=TABLE.csv --out=runs/remedies

The table has the columns path, label, dataset (or source) and patient_id, as `python -m data_prep table` reads it. For
each class of each source, up to 80 radiographs are used for training and up to 20 for validation. The score of a
network is the fraction that it recognizes of the radiographs of the source that was left out, for the classes that
another source has too.
"""

import csv
import itertools
import json
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.remedies_config import SIZE, load_predictor, needs_lungs, small_classifier
from cxrjax.config import freeze
from cxrjax.data import dataset
from cxrjax.metrics import intervals
from cxrjax.runs.run_dir import RunError
from cxrjax.runtime import atomic_files
from cxrjax.runtime.formatting import format_label
from cxrjax.training import trainer
from data_prep.__main__ import main as prepare

NUM_TRAIN = 80  # radiographs of each class of each source
NUM_VALIDATION = 20
LABELS = ("normal", "bacterial", "viral", "tuberculosis", "covid19")
REMEDIES: dict[str, dict[str, Any]] = {
    "none": {},
    "balance": {"remedy.balance": True},
    "spectrum": {"remedy.spectrum": 1.0},
    "appearance": {"remedy.appearance": 0.5},
    "equalize": {"image.equalize": True},
    "center_crop": {"patches.center_crop": 0.25, "training.augment_probability": 0.0},
    # The segmenter of the package needs equalized radiographs.
    "equalize+surroundings": {"image.equalize": True, "remedy.surroundings": 1.0},
    "equalize+lung_box": {"image.equalize": True, "patches.mode": "lung_bbox"},
    "equalize+balance": {"image.equalize": True, "remedy.balance": True},
}


class Cell(NamedTuple):
    """One training without a source and with a remedy."""

    source: str
    remedy: str
    seed: int

    @property
    def name(self) -> str:
        """Return the name of its file, without extension."""
        return f"real-{self.source}-{self.remedy}-{self.seed}"


def run(table: Path, out: Path, end: float) -> list[dict[str, Any]]:
    """Train the cells that have no results yet, and return the results of all cells.

    Args:
        table: table of the radiographs (see the module).
        out: folder of the data and the results.
        end: value of `time.monotonic` after which no training starts.
    """
    labels_by_source = _prepare_data(table, out)
    for cell in list_cells(labels_by_source):
        target = out / "real_cells" / f"{cell.name}.json"
        if target.exists() or time.monotonic() > end:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        result = cell._asdict() | train(cell, labels_by_source, out)
        atomic_files.atomic_write(target, (json.dumps(result, indent=2) + "\n").encode())
        print(f"{cell.name}: {json.dumps(result)}", file=sys.stderr, flush=True)
    return [json.loads(path.read_text()) for path in sorted((out / "real_cells").glob("*.json"))]


def list_cells(labels_by_source: Mapping[str, set[str]]) -> Iterator[Cell]:
    """Yield the trainings: for each seed and remedy, all sources that share a class with another source."""
    for seed, remedy, source in itertools.product(range(3), REMEDIES, sorted(labels_by_source)):
        if labels_by_source[source] & _other_labels(labels_by_source, source):
            yield Cell(source, remedy, seed)


def train(cell: Cell, labels_by_source: Mapping[str, set[str]], out: Path) -> dict[str, Any]:
    """Train one network and count the recognized radiographs of the source by class; or return {"refused": reason}."""
    start = time.process_time()
    others = sorted(set(labels_by_source) - {cell.source})
    other_labels = _other_labels(labels_by_source, cell.source)
    config = small_classifier(out / "data" / "real", cell.seed, REMEDIES[cell.remedy])
    config.classifier.classes = tuple(label for label in LABELS if label in other_labels)
    config.data.train = "+".join(others)
    config.data.validation = "+".join(f"{source}_val" for source in others)
    if needs_lungs(REMEDIES[cell.remedy]):
        config.segmenter.workdir = "lungs"  # the segmenter of the package
    workdir = out / "real_run"
    shutil.rmtree(workdir, ignore_errors=True)
    try:
        trainer.train(freeze(config), workdir)
    except (ValueError, RunError) as error:
        return {"refused": str(error).removeprefix(f"{workdir}: ")}
    predictor = load_predictor(workdir)
    radiographs = dataset.load(
        config.data.dir,
        f"{cell.source}+{cell.source}_val",
        size=SIZE,
        gamma=config.image.gamma,
        equalize=config.image.equalize,
        borders="uniform",
        num_threads=2,
    )
    predicted = [result.label for result in predictor.predict(radiographs.images)]
    counts = count_recognized(radiographs.labels, predicted, predictor.classes, labels_by_source[cell.source])
    return {"classes": counts, "cpu_seconds": time.process_time() - start}


def count_recognized(
    labels: Sequence[str], predicted: Sequence[int], classes: Sequence[str], counted: Iterable[str]
) -> dict[str, dict[str, int]]:
    """Return the number of radiographs of each class, "n", and how many of them are recognized, "right".

    Args:
        labels: true label of each radiograph.
        predicted: index of the predicted class of each radiograph in `classes`; `pipeline.NO_CLASS` for none.
        classes: classes of the network, in the order of its outputs.
        counted: labels to count, except for those that are not classes of the network.
    """
    counts = {}
    for label in sorted(set(counted) & set(classes)):
        hits = [index == classes.index(label) for index, truth in zip(predicted, labels, strict=True) if truth == label]
        counts[label] = {"n": len(hits), "right": sum(map(int, hits))}
    return counts


def format_section(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the section of benchmarks/REMEDIES.md on real radiographs; "" without results."""
    if not results:
        return ""
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        if "refused" not in result:
            cells[result["remedy"], result["source"]].append(result)
    columns = sorted({(result["source"], label) for result in results for label in result.get("classes", {})})
    seeds = len({result["seed"] for result in results})
    introduction = (
        "Of the radiographs of a source that was not used in training, and of classes that another source has too, the "
        "fraction that is recognized. In brackets is the 95% interval over the radiographs of all seeds, counted as if "
        "each were a different one. `python -m benchmarks.remedies --real=TABLE.csv` trained on whole radiographs of "
        f"{SIZE}² with {seeds} {'seed' if seeds == 1 else 'seeds'}; trainings so far: {len(results)}. The mean is over "
        "the columns that a remedy has."
    )
    lines = [
        "## Real radiographs, a source left out",
        "",
        introduction,
        "",
        "| remedy | " + " | ".join(f"{source}, {format_label(label)}" for source, label in columns) + " | mean |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for remedy in REMEDIES:
        shares = [_recall(cells[remedy, source], label) for source, label in columns]
        if any(share is not None for share in shares):
            mean = np.mean([share[0] for share in shares if share is not None])
            lines.append(f"| {remedy} | " + " | ".join(map(_format_share, shares)) + f" | {mean:.0%} |")
    return "\n".join([*lines, ""])


def _recall(results: Sequence[Mapping[str, Any]], label: str) -> tuple[float, float, float] | None:
    """Return the recall of a class with its interval; None without trainings."""
    counts = [result["classes"][label] for result in results if label in result["classes"]]
    if not counts:
        return None
    n = sum(count["n"] for count in counts)
    share = sum(count["right"] for count in counts) / n
    return (share, *intervals.wilson(share, n))


def _format_share(share: tuple[float, float, float] | None) -> str:
    return "–" if share is None else f"{share[0]:.0%} ({share[1]:.0%} to {share[2]:.0%})"


def _other_labels(labels_by_source: Mapping[str, set[str]], source: str) -> set[str]:
    return set().union(*(labels for name, labels in labels_by_source.items() if name != source))


def _prepare_data(table: Path, out: Path) -> dict[str, set[str]]:
    """Prepare the radiographs in two splits per source unless they exist; return the labels of each source."""
    rows = _choose_rows(table)
    labels_by_source: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels_by_source[row["source"]].add(row["label"])
    if not (out / "data" / "real").exists():
        out.mkdir(parents=True, exist_ok=True)
        with (out / "real.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        arguments = ["table", f"--csv={out / 'real.csv'}", f"--raw_dir={table.parent}", "--name=real"]
        if prepare([*arguments, f"--out={out / 'data'}", "--duplicates=off"]):
            raise SystemExit(f"{table}: the radiographs could not be prepared")
    return dict(labels_by_source)


def _choose_rows(table: Path) -> list[dict[str, str]]:
    """Return the table rows to use, each with the name of its split; all radiographs of a patient are in one split."""
    by_patient: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            source = (row.get("source") or row["dataset"]).replace("-", "_")
            if row["label"] in LABELS:
                chosen = {"path": row["path"], "label": row["label"], "source": source, "patient_id": row["patient_id"]}
                by_patient[source, row["patient_id"] or row["path"]].append(chosen)
    rng = np.random.default_rng(0)
    rows = []
    counts: Counter[tuple[str, str]] = Counter()  # by split and label
    for source, patient in rng.permutation(sorted(by_patient)).tolist():
        is_validation = rng.random() < NUM_VALIDATION / (NUM_TRAIN + NUM_VALIDATION)
        split = f"{source}_val" if is_validation else source
        for row in by_patient[source, patient]:
            if counts[split, row["label"]] < (NUM_VALIDATION if is_validation else NUM_TRAIN):
                counts[split, row["label"]] += 1
                rows.append(row | {"split": split})
    return rows
