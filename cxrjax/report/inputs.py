"""Inputs of a report: the files of a run on one split, read from disk; only the chance level is computed."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cxrjax.audit import finding_metrics, fingerprint, forecast, progress
from cxrjax.audit.metrics import HEADLINE
from cxrjax.config import Config
from cxrjax.data import dataset, tfds_store
from cxrjax.evaluation import decisions, external
from cxrjax.io import findings, json_file, predictions_csv
from cxrjax.metrics import baselines, identifiability, multilabel, prediction_arrays
from cxrjax.models import from_config
from cxrjax.runs import calibration, dataset_record, history, provenance, run_dir
from cxrjax.runtime import former_names, software
from cxrjax.training import model_selection


class DatasetInfo(NamedTuple):
    """Contents of a prepared data set, without its images."""

    name: str
    counts: dict[str, dict[str, Counter]]  # split -> source -> label, or each finding that is present -> radiographs
    preparation_report: dict[str, Any]  # report.json
    card: dict[str, Any] | None  # card.json
    without_patient: int = 0  # radiographs without a patient id
    num_radiographs: int = 0  # in all splits

    @property
    def sources(self) -> list[str]:
        """Sorted names of the sources."""
        return sorted({source for sources in self.counts.values() for source in sources})

    @property
    def label_counts(self) -> dict[str, Counter]:
        """Number of radiographs of each label, by split."""
        return {split: sum(sources.values(), Counter()) for split, sources in self.counts.items()}

    @property
    def label_names(self) -> list[str]:
        """Sorted names of the labels."""
        return sorted({label for counts in self.label_counts.values() for label in counts})


class ReportInputs(NamedTuple):
    """Files of a run on one split; None for the file of a command that has not been run."""

    workdir: Path
    config: Config
    split: str
    name: str  # of the folders with results on these data, see `dataset_record.results_dirname`
    directory: str  # of the evaluated data set
    rows: list[dict[str, Any]]  # predictions.csv, each with "decision", see `predictions_csv`
    scores: dict[str, Any]  # metrics.json
    chance: Mapping[str, float | None]  # `baselines.chance_level`; empty for a segmenter
    best_epoch: Mapping[str, float] | None  # metrics of the epoch whose network is used
    audit: dict[str, Any] | None  # for the data set of training only
    maps: dict[str, Any] | None
    ood_detector: dict[str, Any] | None  # ood_detector.json
    morphometry: dict[str, Any] | None
    calibration: dict[str, Any] | None  # calibration.json
    min_confidence: float | None  # of `calibration.load_min_confidence`
    identifiability: list[str]  # sentences on what the sources of training allow to learn; [] where not known
    training_data: DatasetInfo | None  # None where the data set no longer exists
    evaluation_data: DatasetInfo
    versions: dict[str, str]  # package -> version, at the time of the report
    hardware: str
    external: dict[str, Any] | None = None  # of `external.read`, on another data set than that of training
    forecast: str = ""  # sentence of `forecast.check` on these data; "" without an audit of the own split
    audit_progress: progress.AuditProgress | None = None  # of an audit that was interrupted

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the run; () for a segmenter."""
        return from_config.classes(self.config)

    @property
    def is_multi_label(self) -> bool:
        """True if the run predicts several findings per radiograph."""
        return bool(self.classes) and self.config.classifier.targets == "multi"

    @property
    def is_external(self) -> bool:
        """True if the evaluated data set is not that of training."""
        return self.name != self.split

    @property
    def is_audit_stale(self) -> bool:
        """True if there is an audit, and its predictions are not those of the scores."""
        if self.audit is None:
            return False
        return self.scores["all"]["macro"]["auroc"]["value"] != self.audit["scores"][HEADLINE]["value"]

    @property
    def has_ood_results(self) -> bool:
        """True if an out-of-distribution detector has judged the radiographs."""
        return "ood_reason" in self.rows[0] and self.ood_detector is not None

    @property
    def learning_curves(self) -> Path:
        """Path of the figure of the training; see `figure`."""
        vector = self.workdir / "learning_curves.svg"
        return vector if vector.exists() else self.workdir / "learning_curves.png"

    def figure(self, command: str, name: str) -> Path:
        """Return the path of a figure without its ending: its SVG, or its PNG where an older version wrote no SVG."""
        vector = self.file(command, f"{name}.svg")
        return vector if vector.exists() else self.file(command, f"{name}.png")

    def file(self, command: str, name: str) -> Path:
        """Return the path of a file that a command writes for these data."""
        return former_names.find(self.workdir, command, self.name, name)


def gather_inputs(workdir: Path, split: str, directory: str | None) -> ReportInputs:
    """Read the files of a run on a split; for arguments and errors see `cxrjax.report.write`."""
    config = run_dir.load_config(workdir)
    name = dataset_record.results_dirname(workdir, config, split, directory)
    folder = workdir / "evaluation" / name
    if not (folder / "metrics.json").exists():
        flags = f"--split={split}" + (f" --dataset={directory}" if name != split else "")
        raise run_dir.RunError(f"{folder}: the split was not evaluated yet; --mode=evaluate {flags} does it")
    classes = from_config.classes(config)
    min_confidence = calibration.load_min_confidence(workdir, provenance.read(folder).step) if classes else None
    rows = [
        row | {decisions.COLUMN: decisions.decide(row, min_confidence)}
        for row in predictions_csv.read(folder / "predictions.csv")
    ]
    scores = _read(folder / "metrics.json")
    assert scores is not None  # the file exists
    if "subgroups" not in scores:
        raise run_dir.RunError(
            f"{folder}: was scored by an older cxrjax; --mode=rescore --split={name} scores it again"
        )
    directory = directory or config.data.dir
    evaluation_data = _dataset_info(directory)
    training_data = evaluation_data if name == split else _dataset_info_if_present(config.data.dir)
    records = history.read(workdir / history.METRICS)
    assessed = external.read(workdir, name)
    own_audit = forecast.read_audit(workdir, assessed) if assessed else None
    return ReportInputs(
        workdir=workdir,
        config=config,
        split=split,
        name=name,
        directory=directory,
        rows=rows,
        scores=scores,
        chance=_chance_level(workdir, rows, config, classes) if classes else {},
        best_epoch=model_selection.best_epoch(records, model_selection.selection_metric(config)) if records else None,
        audit=_read(workdir / "audit" / name / "audit.json"),
        audit_progress=_audit_progress(workdir, name),
        maps=_read(former_names.find(workdir, "saliency", name, "saliency_metrics.json")),
        ood_detector=_read(former_names.find(workdir, "ood_detector.json")),
        morphometry=_read(former_names.find(workdir, "morphometry", name, "differences.json")),
        calibration=_read(workdir / "calibration.json"),
        min_confidence=min_confidence,
        identifiability=_identifiability(workdir, config) if classes else [],
        training_data=training_data,
        evaluation_data=evaluation_data,
        versions=software.versions(),
        hardware=software.hardware(),
        external=assessed,
        forecast=forecast.check(own_audit, assessed).sentence if own_audit and assessed else "",
    )


def _audit_progress(workdir: Path, name: str) -> progress.AuditProgress | None:
    """Return the progress of an audit that was interrupted; None where it has an audit.json or no control is done."""
    folder = workdir / "audit" / name
    if (folder / "audit.json").exists() or not fingerprint.is_current(folder, workdir):
        return None
    found = progress.read(folder)
    return found if found.done else None


def _identifiability(workdir: Path, config: Config) -> list[str]:
    """Return what the sources of training allow to learn about its labels or findings."""
    if config.classifier.targets == "multi":
        return identifiability.summarize_findings(provenance.load_finding_counts(workdir) or {})
    return identifiability.summarize(provenance.load_label_counts(workdir) or {})


def _read(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None where there is no file.

    Raises:
        DamagedFileError: the file does not have a JSON object.
    """
    return json_file.read(path, "remove it, and make it again") if path.exists() else None


def _dataset_info(directory: str) -> DatasetInfo:
    counts: dict[str, dict[str, Counter]] = {}
    num_radiographs = 0
    without_patient = 0
    for split in tfds_store.list_splits(directory):
        counts[split] = {}
        for record in tfds_store.iter_records(directory, split):
            label, known_findings = tfds_store.read_labels(record)
            names = (
                [label] if known_findings is None else findings.format_label(known_findings).split(findings.SEPARATOR)
            )
            counts[split].setdefault(record["source"], Counter()).update(names)
            num_radiographs += 1
            without_patient += not prediction_arrays.names_patient(record["patient_id"])
    return DatasetInfo(
        name=tfds_store.dataset_name(directory),
        counts=counts,
        preparation_report=tfds_store.read_report(directory),
        card=tfds_store.read_card(directory),
        without_patient=without_patient,
        num_radiographs=num_radiographs,
    )


def _dataset_info_if_present(directory: str) -> DatasetInfo | None:
    try:
        return _dataset_info(directory)
    except dataset.DatasetError:
        return None


def _chance_level(
    workdir: Path, rows: list[dict[str, Any]], config: Config, classes: tuple[str, ...]
) -> Mapping[str, float | None]:
    """Return the chance level given the labels of training; None where these are not available."""
    if config.classifier.targets == "multi":
        counts = provenance.load_finding_counts(workdir)
        if counts is None:
            return dict.fromkeys(("macro_f1", "macro_average_precision")) | {"macro_auroc": 0.5}
        targets = predictions_csv.targets(rows, classes)
        return finding_metrics.chance_level(multilabel.prevalences(counts, classes), targets)
    try:
        _, training_labels = provenance.load_labels(workdir, config)
    except dataset.DatasetError:
        return dict.fromkeys(("accuracy", "macro_f1", "macro_auroc"))
    return baselines.chance_level(training_labels, [row["label"] for row in rows], classes)
