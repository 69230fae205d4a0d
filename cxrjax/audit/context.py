"""Inputs of the experiments of an audit; each is read or computed when an experiment first accesses it."""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.audit import experiment_rows, metadata_baseline, probe
from cxrjax.audit.audited_model import AuditedModel
from cxrjax.config import Config
from cxrjax.data import dataset, tfds_store, truth_table
from cxrjax.data.batch import RadiographBatch, join, with_columns
from cxrjax.evaluation import evaluate
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.io import findings, predictions_csv
from cxrjax.models import from_config
from cxrjax.runs import run_dir
from cxrjax.runtime import terminal


class NotApplicableError(Exception):
    """An experiment is not applicable to a run or a data set; the message is the reason."""


def require_lungs(*lungs: np.ndarray) -> None:
    """Raise NotApplicableError if one of several stacks of lung masks is empty."""
    if not all(masks.any() for masks in lungs):
        raise NotApplicableError("no lungs are known here: the run has no segmenter, or it finds none")


def find_shared_patients(
    train_records: Sequence[Mapping[str, Any]], test_records: Sequence[Mapping[str, Any]]
) -> set[tuple[str, str]]:
    """Return the patients, as (source, patient_id), that two splits share; records without an id are skipped."""
    return _patients(train_records) & _patients(test_records)


def _patients(records: Sequence[Mapping[str, Any]]) -> set[tuple[str, str]]:
    return {(record["source"], record["patient_id"]) for record in records if record["patient_id"]}


_FINDING_PREFIXES = (predictions_csv.TARGET_PREFIX, predictions_csv.COUNT_PREFIX, "probability_")


class AuditContext:
    """A run and a split of its data, with the images and metadata that the experiments use."""

    def __init__(self, workdir: Path, split: str, config: Config):
        """Read the config of a run and the records of its data.

        Args:
            workdir: the run directory.
            split: name of the audited split.
            config: config of the probe network; its classes, data and image settings are replaced by those of the run.

        Raises:
            RunError: there is no run, or it is not a classifier, or it was trained on radiographs of the split.
        """
        self.workdir = workdir
        self.split = split
        self.folder = workdir / "audit" / split
        self.run_config = run_dir.load_config(workdir)
        self.classes = from_config.classes(self.run_config)
        if not self.classes:
            raise run_dir.RunError(f"{workdir}: it trained a segmenter, and only classifiers can be audited")
        self.classes = self.run_config.classifier.classes
        self.is_multi_label = self.run_config.classifier.targets == "multi"
        if self.is_multi_label:
            self.classes = self._select_learnable()
        self.probe_config = replace(
            config,
            classifier=replace(config.classifier, classes=self.classes, targets=self.run_config.classifier.targets),
            data=self.run_config.data,
            image=self.run_config.image,
        )
        self.probe_size = config.patches.size
        train_records, test_records = self.records
        train_ids = {_identify(record) for record in train_records}
        test_ids = {_identify(record) for record in test_records}
        if train_ids & test_ids:
            raise run_dir.RunError(
                f"{workdir}: was trained on {len(train_ids & test_ids)} of the {len(test_ids)} radiographs of {split}, "
                "and what is known by heart cannot be audited; name another --split"
            )

    def _select_learnable(self) -> tuple[str, ...]:
        """Return the findings that are positive in some training radiographs and negative in others.

        The small networks of the audit can learn no other. A published network may predict findings that the data set
        does not have.

        Raises:
            RunError: there is no such finding.
        """
        targets = self._tabulate(self.records[0])
        is_present = findings.is_present(targets).any(0)
        is_absent = findings.is_absent(targets).any(0)
        learnable = np.logical_and(is_present, is_absent).tolist()
        kept = tuple(name for name, is_kept in zip(self.classes, learnable, strict=True) if is_kept)
        left_out = [name for name in self.classes if name not in kept]
        where = f"{self.run_config.data.dir}: {self.run_config.data.train}"
        if not kept:
            raise run_dir.RunError(
                f"{where} has no finding of the run that is positive in some radiographs and not in all"
            )
        if left_out:
            terminal.warn(f"{where} does not have both values of {', '.join(left_out)}, which the audit leaves out")
        return kept

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the run's predictions.csv on the split; the run is evaluated first if there is none.

        Raises:
            RunError: predictions.csv has other radiographs than the split.
        """
        path = self.workdir / "evaluation" / self.split / "predictions.csv"
        if not path.exists():
            evaluate.evaluate_run(self.workdir, self.split)
        rows = predictions_csv.read(path)
        if {_identify(row) for row in rows} != {_identify(record) for record in self.records[1]}:
            raise run_dir.RunError(
                f"{path}: its radiographs are not those of {self.split} in {self.run_config.data.dir}; "
                f"--mode=evaluate --split={self.split} finds those"
            )
        left_out = set(self.run_config.classifier.classes) - set(self.classes)
        dropped = {f"{prefix}{name}" for prefix in _FINDING_PREFIXES for name in left_out}
        return [{column: cell for column, cell in row.items() if column not in dropped} for row in rows]

    @cached_property
    def records(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Records of the training radiographs and of the split; "file" is the CRC-32 of the image file."""
        return self._read_records(self.run_config.data.train), self._read_records(self.split)

    def _read_records(self, split: str) -> list[dict[str, Any]]:
        fields = (*metadata_baseline.ROW_FIELDS, "view", *(["findings"] if self.is_multi_label else []))
        return [
            {field: record[field] for field in fields} | {"file": zlib.crc32(record["image"])}
            for record in self._iter_records(split)
        ]

    @property
    def train_sources(self) -> list[str]:
        """Sources of the training radiographs."""
        return [record["source"] for record in self.records[0]]

    @property
    def train_labels(self) -> list[str]:
        """Labels of the training radiographs."""
        return [record["label"] for record in self.records[0]]

    @cached_property
    def record_targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Truth of the findings of the training radiographs, float [m, K], and of the split, [n, K]; see `targets`."""
        train, test = self.records
        return self._tabulate(train), self._tabulate(test)

    def _tabulate(self, records: Sequence[Mapping[str, Any]]) -> np.ndarray:
        known_findings = [record["findings"] for record in records]
        labels = [record["label"] for record in records]
        return truth_table.tabulate_targets(None if None in known_findings else known_findings, labels, self.classes)

    @property
    def columns(self) -> list[str]:
        """Columns of the rows of an experiment."""
        make = predictions_csv.finding_columns if self.is_multi_label else predictions_csv.classification_columns
        return make(self.classes)

    @property
    def source_label_counts(self) -> dict[str, Counter]:
        """Number of training radiographs of each source and label: source -> label -> count."""
        counts: dict[str, Counter] = {}
        for source, label in zip(self.train_sources, self.train_labels, strict=True):
            counts.setdefault(source, Counter())[label] += 1
        return counts

    @property
    def shared_patients(self) -> set[tuple[str, str]]:
        """Patients of training and of the split in common; see `find_shared_patients`."""
        return find_shared_patients(*self.records)

    @property
    def selected_on_split(self) -> bool:
        """Return whether the network was selected by radiographs of the split."""
        return bool(dataset.common_splits(self.split, self.run_config.data.validation))

    @cached_property
    def metadata(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """Metadata features of the training radiographs and of the split; see `metadata_baseline`."""
        return self._read_metadata(self.run_config.data.train), self._read_metadata(self.split)

    def _read_metadata(self, split: str) -> list[dict[str, str]]:
        return [metadata_baseline.metadata_features(record) for record in self._iter_records(split)]

    @cached_property
    def test_images(self) -> tuple[RadiographBatch, np.ndarray]:
        """The split, and its lung masks bool [n, S, S]."""
        return self._load(self.split, self.run_config.image.size)

    @cached_property
    def probe_train(self) -> tuple[RadiographBatch, np.ndarray]:
        """The training radiographs and their lung masks at the size of the probe network."""
        return self._load(self.run_config.data.train, self.probe_size)

    @cached_property
    def probe_test(self) -> tuple[RadiographBatch, np.ndarray]:
        """The split and its lung masks at the size of the probe network."""
        radiographs, lungs = self.test_images
        small_images = probe.downsample(radiographs.images, self.probe_size)
        return with_columns(radiographs, images=small_images), probe.downsample_masks(lungs, self.probe_size)

    @cached_property
    def audited_model(self) -> AuditedModel:
        """The audited network."""
        outputs = [self.run_config.classifier.classes.index(name) for name in self.classes]
        return AuditedModel(self.workdir, self.run_config, self.probe_config.patches.count, outputs)

    def make_rows(
        self,
        cases: Sequence[Mapping[str, str]],
        probabilities: np.ndarray,
        targets: np.ndarray | None,
        **predictions: np.ndarray,
    ) -> list[dict[str, Any]]:
        """Return rows as in `predictions.csv`.

        Args:
            cases: path, patient_id, source and label of n radiographs.
            probabilities: float [n, K].
            targets: float [n, K], truth of the findings; None of a run with one label per radiograph.
            **predictions: see `experiment_rows.make_label_rows` and `experiment_rows.make_finding_rows`.
        """
        cases = [{**case, "split": self.split} for case in cases]
        if targets is None:
            return experiment_rows.make_label_rows(cases, self.classes, probabilities, **predictions)
        return experiment_rows.make_finding_rows(cases, self.classes, targets, probabilities, **predictions)

    def targets(self, radiographs: RadiographBatch) -> np.ndarray | None:
        """Return the truth of the findings of n radiographs, float [n, K]; None of a run with one label each."""
        return truth_table.index_targets(radiographs, self.classes) if self.is_multi_label else None

    def count_class(self, radiographs: RadiographBatch, name: str) -> int:
        """Return the number of radiographs that are of a class, or have a finding."""
        return int(self.has_class(radiographs, name).sum())

    def has_class(self, radiographs: RadiographBatch, name: str) -> np.ndarray:
        """Return which radiographs are of a class, or have a finding: bool [n]."""
        targets = self.targets(radiographs)
        if targets is None:
            return np.array([label == name for label in radiographs.labels])
        return findings.is_present(targets[:, self.classes.index(name)])

    def lacks_class(self, radiographs: RadiographBatch, name: str) -> np.ndarray:
        """Return which radiographs are known not to be of a class, or not to have a finding: bool [n]."""
        targets = self.targets(radiographs)
        if targets is None:
            return np.array([label != name for label in radiographs.labels])
        values = targets[:, self.classes.index(name)]
        return (values >= 0) & (values < 0.5)

    def _iter_records(self, split: str) -> Iterator[dict[str, Any]]:
        for record in tfds_store.iter_records(self.run_config.data.dir, split):
            label, known_findings = tfds_store.read_labels(record, self.run_config.data.label_map)
            yield record | {"label": label, "findings": known_findings}

    @cached_property
    def _segmenter(self) -> LungSegmenter:
        variables = run_dir.load_networks(self.workdir, self.run_config)["segmenter"]
        return LungSegmenter(self.run_config, variables, self.folder / "lungs")

    def _load(self, split: str, size: int) -> tuple[RadiographBatch, np.ndarray]:
        """Return a split and its lung masks bool [n, size, size], downsampled as it is read.

        The predicted lung masks are cached on disk, so that an interrupted audit can resume. The annotated masks and
        lesions are dropped.
        """
        chunks = []
        chunk_lungs = []
        radiographs = dataset.open_split(self.run_config, split)
        for chunk, lungs in self._segmenter.segment_dataset(radiographs, split):
            if not self.is_multi_label:
                truth_table.index_labels(chunk, self.classes)
            masks = np.zeros(chunk.images.shape, bool) if lungs.masks is None else lungs.masks  # None: no segmenter
            chunk_lungs.append(probe.downsample_masks(masks, size))
            small_images = probe.downsample(chunk.images, size)
            chunks.append(with_columns(chunk, images=small_images, masks=chunk.masks[:, :0, :0], lesions=None))
        return join(chunks), np.concatenate(chunk_lungs)


def _identify(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the identity of a radiograph, (source, path); two sources may have the same path."""
    return record["source"], record["path"]
