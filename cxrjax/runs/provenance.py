"""Records of the data behind a run: of the rows of an evaluation, and of the labels of training.

provenance.json, beside the rows of an evaluation, names their data set, split and network.

training_labels.json, in the run directory, has {source: {label: number of radiographs}} of the training radiographs,
from which the source alone is predicted; evaluation on other data then does not need those of training.
training_findings.json has the same of several findings: {source: {finding: [number without it, number with it]}}, of
the radiographs whose truth is known.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cxrjax.config import Config
from cxrjax.data import tfds_store
from cxrjax.io import json_file
from cxrjax.runtime import atomic_files, former_names

_PROVENANCE = "provenance.json"
_LABEL_COUNTS = "training_labels.json"
_FINDING_COUNTS = "training_findings.json"
_REMEDY = "remove the folder, and --mode=evaluate makes it again"
_LABEL_COUNTS_REMEDY = "remove it, and it is counted again from the data"
_MAX_COUNT = 10**8  # radiographs of a label

FindingCounts = dict[str, dict[str, list[int]]]  # of `finding_arrays.count_by_source`


class Provenance(NamedTuple):
    """Data set and network of the rows of an evaluation; blank where an older version did not record it."""

    dataset: str = ""  # name of the data set
    split: str = ""
    step: int | None = None  # training step of the network
    left_out: Mapping[str, int] = {}  # label that is no class of the run -> number of radiographs without a row


def write(folder: Path, provenance: Provenance) -> None:
    """Write provenance.json to a folder of rows."""
    atomic_files.atomic_write(folder / _PROVENANCE, (json.dumps(provenance._asdict(), indent=2) + "\n").encode())


def read(folder: Path) -> Provenance:
    """Read provenance.json from a folder of rows; all fields are blank where there is no such file.

    Raises:
        DamagedFileError: a value has another type.
    """
    path = former_names.find(folder, _PROVENANCE)
    if not path.exists():
        return Provenance()
    content = json_file.read(path, _REMEDY)
    values = {name: content.get(name, default) for name, default in Provenance._field_defaults.items()}
    provenance = Provenance(**values)
    has_texts = isinstance(provenance.dataset, str) and isinstance(provenance.split, str)
    has_counts = isinstance(provenance.left_out, Mapping) and all(
        isinstance(n, int) for n in provenance.left_out.values()
    )
    if not (has_texts and has_counts and isinstance(provenance.step, int | None)):
        raise json_file.DamagedFileError(path, "its values are of other kinds", _REMEDY)
    return provenance


def save_label_counts(workdir: Path, sources: Sequence[str], labels: Sequence[str]) -> None:
    """Count the labels of n training radiographs by source, and write training_labels.json.

    Args:
        workdir: the run directory.
        sources: source of each radiograph.
        labels: label of each radiograph.
    """
    counts: dict[str, Counter] = {}
    for source, label in zip(sources, labels, strict=True):
        counts.setdefault(source, Counter())[label] += 1
    atomic_files.atomic_write(workdir / _LABEL_COUNTS, (json.dumps(counts, indent=2) + "\n").encode())


def load_label_counts(workdir: Path) -> dict[str, dict[str, int]] | None:
    """Return {source: {label: number of training radiographs}}; None where the run has no such record.

    Raises:
        DamagedFileError: training_labels.json does not have counts of labels by source.
    """
    path = workdir / _LABEL_COUNTS
    if not path.exists():
        return None
    counts = json_file.read(path, _LABEL_COUNTS_REMEDY)
    if not all(isinstance(labels, dict) and all(map(_is_count, labels.values())) for labels in counts.values()):
        raise json_file.DamagedFileError(path, "it does not count labels by source", _LABEL_COUNTS_REMEDY)
    return counts


def save_finding_counts(workdir: Path, counts: FindingCounts) -> None:
    """Write training_findings.json to the run directory."""
    atomic_files.atomic_write(workdir / _FINDING_COUNTS, (json.dumps(counts, indent=2) + "\n").encode())


def load_finding_counts(workdir: Path) -> FindingCounts | None:
    """Return {source: {finding: [training radiographs without it, with it]}}; None where the run has no such record.

    Raises:
        DamagedFileError: training_findings.json does not have pairs of counts by source and finding.
    """
    path = workdir / _FINDING_COUNTS
    if not path.exists():
        return None
    counts = json_file.read(path, _LABEL_COUNTS_REMEDY)
    pairs = [
        pair
        for by_finding in counts.values()
        for pair in (by_finding.values() if isinstance(by_finding, dict) else [None])
    ]
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_count, pair)) for pair in pairs):
        raise json_file.DamagedFileError(path, "it does not count findings by source", _LABEL_COUNTS_REMEDY)
    return counts


def load_labels(workdir: Path, config: Config) -> tuple[list[str], list[str]]:
    """Return the source and the label of each training radiograph of a run, in no particular order.

    For a run without the record, which is older or was imported, it is made from the data set first.

    Raises:
        DatasetError: there is neither the record nor the data set.
        DamagedFileError: training_labels.json does not have counts of labels by source.
    """
    counts = load_label_counts(workdir)
    if counts is None:
        save_label_counts(workdir, *tfds_store.load_labels(config.data.dir, config.data.train, config.data.label_map))
        counts = load_label_counts(workdir) or {}
    sources: list[str] = []
    labels: list[str] = []
    for source, source_counts in counts.items():
        for label, count in source_counts.items():
            sources += [source] * count
            labels += [label] * count
    return sources, labels


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _MAX_COUNT
