"""What guessing from the source alone learns from: the labels of training by source, in RUN/training_labels.json.

{source: {label: number of radiographs}}; kept in the run, so that evaluation elsewhere needs no data but its own.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from cxrjax.data import tfds_store
from cxrjax.io import json_file
from cxrjax.runtime import atomic_files

_MOST = 10**8  # radiographs of a label
_REMEDY = "remove it, and it is counted again from the data"


def save(workdir: Path, sources: Sequence[str], labels: Sequence[str]) -> None:
    """Write the sources and labels of n training radiographs, counted."""
    counts: dict[str, Counter] = {}
    for source, label in zip(sources, labels, strict=True):
        counts.setdefault(source, Counter())[label] += 1
    atomic_files.atomic_write(_path(workdir), (json.dumps(counts, indent=2) + "\n").encode())


def load(workdir: Path, config: ConfigDict) -> tuple[list[str], list[str]]:
    """Sources and labels of a run's training radiographs, in no order.

    A run that has not kept them, being older or imported, is given them from its data.

    Raises:
        DatasetError: nor are the data there.
    """
    if not _path(workdir).exists():
        save(workdir, *tfds_store.load_labels(config.data.directory, config.data.train))
    counts = _read(workdir)
    known = [(source, label) for source, labels in counts.items() for label, n in labels.items() for _ in range(n)]
    return [source for source, _ in known], [label for _, label in known]


def count(workdir: Path) -> dict[str, dict[str, int]] | None:
    """Return {source: {label: number of radiographs}} of training; None where the run has not kept it."""
    return _read(workdir) if _path(workdir).exists() else None


def _read(workdir: Path) -> dict[str, dict[str, int]]:
    counts = json_file.read(_path(workdir), _REMEDY)
    if not all(isinstance(labels, dict) and all(map(_is_count, labels.values())) for labels in counts.values()):
        raise json_file.DamagedFile(_path(workdir), "it does not count labels by source", _REMEDY)
    return counts


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _MOST


def _path(workdir: Path) -> Path:
    return workdir / "training_labels.json"
