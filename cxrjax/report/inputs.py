"""What lies in a run directory about one split, read and nothing computed but what guessing reaches."""

import os
import platform
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

import cxrjax
from cxrjax.data import dataset, tfds_store
from cxrjax.io import json_file, predictions_csv
from cxrjax.metrics import baselines, prediction_arrays
from cxrjax.runs import history, provenance, run_dir
from cxrjax.training import model_selection

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "opencv-python-headless")


class DatasetInfo(NamedTuple):
    """What a prepared data set holds, without its pictures."""

    name: str
    counts: dict[str, dict[str, Counter]]  # split -> source -> label -> radiographs
    prepared: dict[str, Any]  # report.json
    card: dict[str, Any] | None  # card.json
    without_patient: int = 0  # radiographs that name no patient

    @property
    def total(self) -> int:
        """Its radiographs."""
        return sum(sum(labels.values()) for labels in self.labels.values())

    @property
    def sources(self) -> list[str]:
        """Where its radiographs come from."""
        return sorted({source for sources in self.counts.values() for source in sources})

    @property
    def labels(self) -> dict[str, Counter]:
        """Radiographs of each label, by split."""
        return {split: sum(sources.values(), Counter()) for split, sources in self.counts.items()}

    @property
    def names(self) -> list[str]:
        """Its labels."""
        return sorted({label for labels in self.labels.values() for label in labels})


class ReportInputs(NamedTuple):
    """The files of a run on one split; None where a command was not given yet."""

    workdir: Path
    config: ConfigDict
    split: str
    name: str  # of the folders that hold results on these data, see `dataset.name_results`
    directory: str  # the data set evaluated
    rows: list[dict[str, Any]]  # predictions.csv
    scores: dict[str, Any]  # metrics.json
    chance: dict[str, float | None]  # `metrics.guess_blindly`; none of masks
    best: dict[str, float] | None  # the epoch whose network is used
    audit: dict[str, Any] | None  # of the data of training alone
    maps: dict[str, Any] | None
    gate: dict[str, Any] | None
    morphology: dict[str, Any] | None
    fitted: dict[str, Any] | None  # calibration.json
    trained: DatasetInfo | None  # None where it is not there any more
    evaluated: DatasetInfo
    versions: dict[str, str]  # package -> version, when this was written
    machine: str

    @property
    def external(self) -> bool:
        """Whether another data set was evaluated than that of training."""
        return self.name != self.split

    def folder(self, command: str) -> Path:
        """Where the files of a command on these data lie."""
        return self.workdir / command / self.name


def gather_inputs(workdir: Path, split: str, directory: str | None) -> ReportInputs:
    """Read what a run has to show; see `cxrjax.report.write`."""
    config = run_dir.load_config(workdir)
    name = dataset.results_dirname(config, split, directory)
    folder = workdir / "evaluation" / name
    if not (folder / "metrics.json").exists():
        which = f"--split={split}" + (f" --data={directory}" if name != split else "")
        raise run_dir.RunError(f"{folder}: the split was not evaluated yet; --mode=evaluate {which} does it")
    rows = predictions_csv.read(folder / "predictions.csv")
    scores = _read(folder / "metrics.json")
    if "subgroups" not in scores:
        raise run_dir.RunError(f"{folder}: was scored by an older cxrjax; --mode=score --split={name} scores it anew")
    directory = directory or config.data.directory
    evaluated = _dataset_info(directory)
    trained = evaluated if name == split else _dataset_info_if_present(config.data.directory)
    records = history.read(workdir / history.METRICS)
    return ReportInputs(
        workdir=workdir,
        config=config,
        split=split,
        name=name,
        directory=directory,
        rows=rows,
        scores=scores,
        chance=_chance_level(workdir, rows, config) if config.task == "classify" else {},
        best=model_selection.best_epoch(records, f"val/{config.training.metric}") if records else None,
        audit=_read(workdir / "audit" / name / "audit.json"),
        maps=_read(workdir / "maps" / name / "checks.json"),
        gate=_read(workdir / "gate.json"),
        morphology=_read(workdir / "morphology" / name / "differences.json"),
        fitted=_read(workdir / "calibration.json"),
        trained=trained,
        evaluated=evaluated,
        versions={"cxrjax": cxrjax.__version__} | {name: metadata.version(name) for name in PACKAGES},
        machine=_machine(),
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Return the object in a file of JSON, or None where there is none.

    Raises:
        DamagedFile: it holds anything else.
    """
    return json_file.read(path, "remove it, and make it again") if path.exists() else None


def _dataset_info(directory: str) -> DatasetInfo:
    splits = {split: _count(directory, split) for split in tfds_store.list_splits(directory)}
    counts = {split: by_source for split, (by_source, _) in splits.items()}
    without_patient = sum(without for _, without in splits.values())
    name = tfds_store.dataset_name(directory)
    return DatasetInfo(
        name, counts, tfds_store.read_report(directory), tfds_store.read_card(directory), without_patient
    )


def _dataset_info_if_present(directory: str) -> DatasetInfo | None:
    try:
        return _dataset_info(directory)
    except dataset.DatasetError:
        return None


def _count(directory: str, split: str) -> tuple[dict[str, Counter], int]:
    """Return the radiographs of a split by source and label, and how many name no patient."""
    counts: dict[str, Counter] = {}
    without_patient = 0
    for example in tfds_store.iter_records(directory, split):
        counts.setdefault(example["source"], Counter())[example["label"]] += 1
        without_patient += not prediction_arrays.names_patient(example["patient_id"])
    return counts, without_patient


def _chance_level(workdir: Path, rows: list[dict[str, Any]], config: ConfigDict) -> dict[str, float | None]:
    """What knowing the labels of training reaches; None where they are not known any more."""
    try:
        _, learned = provenance.load_labels(workdir, config)
    except dataset.DatasetError:
        return dict.fromkeys(("accuracy", "macro_f1", "macro_auroc"))
    return baselines.chance_level(learned, [row["label"] for row in rows], config.classifier.classes)


def _machine() -> str:
    device = jax.devices()[0]
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{jax.device_count()} x {device.device_kind} ({device.platform})"
    )
