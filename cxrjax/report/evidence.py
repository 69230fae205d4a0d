"""What lies in a run directory about one split, read and nothing computed but what guessing alone would reach."""

import json
import os
import platform
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

import cxrjax
from cxrjax import data, history, metrics, predictions, runs, selection, training_labels

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "opencv-python-headless")


class Evidence(NamedTuple):
    """The files of a run on one split; None where a command was not given yet."""

    workdir: Path
    config: ConfigDict
    split: str
    directory: str  # the data set evaluated
    rows: list[dict[str, Any]]  # predictions.csv
    scores: dict[str, Any]  # metrics.json
    chance: dict[
        str, float
    ]  # accuracy, macro_f1, macro_auroc of whoever knows the labels of training alone; none of masks
    best: dict[str, float] | None  # the epoch whose network is used
    audit: dict[str, Any] | None
    maps: dict[str, Any] | None
    gate: dict[str, Any] | None
    morphology: dict[str, Any] | None
    labels: dict[str, dict[str, Counter]]  # split -> source -> label -> radiographs, of the data set
    prepared: dict[str, Any]  # report.json of the data set
    versions: dict[str, str]  # package -> version, when this was written
    machine: str

    @property
    def evaluation(self) -> Path:
        """Where the figures of evaluation lie."""
        return self.workdir / "evaluation" / data.name_results(self.config, self.split, self.directory)


def gather(workdir: Path, split: str, directory: str | None) -> Evidence:
    """Read what a run has to show; see `cxrjax.report.write`."""
    config = runs.load_config(workdir)
    name = data.name_results(config, split, directory)
    folder = workdir / "evaluation" / name
    if not (folder / "metrics.json").exists():
        raise runs.UnfitRun(f"{folder}: the split was not evaluated yet; --mode=evaluate --split={split} does it")
    rows = predictions.read(folder / "predictions.csv")
    scores = _read(folder / "metrics.json")
    if "subgroups" not in scores:
        raise runs.UnfitRun(f"{folder}: was scored by an older cxrjax; --mode=score --split={split} scores it anew")
    directory = directory or config.data.directory
    audit = _read(workdir / "audit" / name / "audit.json")
    records = history.read(workdir / history.METRICS)
    return Evidence(
        workdir=workdir,
        config=config,
        split=split,
        directory=directory,
        rows=rows,
        scores=scores,
        chance=_guess(workdir, rows, config, audit) if config.task == "classify" else {},
        best=selection.find_best(records, f"val/{config.training.metric}") if records else None,
        audit=audit,
        maps=_read(workdir / "maps" / name / "checks.json"),
        gate=_read(workdir / "gate.json"),
        morphology=_read(workdir / "morphology" / name / "differences.json"),
        labels={name: _count(directory, name) for name in data.list_splits(directory)},
        prepared=data.read_report(directory),
        versions={"cxrjax": cxrjax.__version__} | {name: metadata.version(name) for name in PACKAGES},
        machine=_machine(),
    )


def _read(path: Path) -> dict[str, Any] | None:
    """A file of JSON, or None where there is none.

    Raises:
        ValueError: it is not JSON.
    """
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: is not JSON: {error}") from None


def _count(directory: str, split: str) -> dict[str, Counter]:
    """Radiographs of a split by source and label."""
    counts: dict[str, Counter] = {}
    for source, label in zip(*data.load_labels(directory, split), strict=True):
        counts.setdefault(source, Counter())[label] += 1
    return counts


def _guess(
    workdir: Path, rows: list[dict[str, Any]], config: ConfigDict, audit: dict[str, Any] | None
) -> dict[str, float]:
    """Chance as the audit has it; without one, the scores of always naming the label most frequent in training."""
    if audit is not None:
        return audit["chance"]
    _, learned = training_labels.recall(workdir, config)
    labels, classes = [row["label"] for row in rows], config.classifier.classes
    guesses = metrics.score_of_source([""] * len(learned), learned, [""] * len(rows))
    scores = metrics.classification_metrics(labels, guesses, None, classes)
    # Of AUROC, a half: every pair is a tie.
    return {"accuracy": scores["accuracy"], "macro_f1": scores["macro"]["f1"], "macro_auroc": 0.5}


def _machine() -> str:
    device = jax.devices()[0]
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{jax.device_count()} x {device.device_kind} ({device.platform})"
    )
