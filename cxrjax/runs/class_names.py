"""The classes of a classifier whose config names none: the labels of its training radiographs."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cxrjax.config import LABELS, Config
from cxrjax.data import tfds_store
from cxrjax.io.prepared import DatasetError
from cxrjax.runs import run_dir


def resolve(config: Config, workdir: Path, split: str | None = None) -> Config:
    """Return the config with `classifier.classes`; where it names none, those of the run or of its data set.

    Args:
        config: config of a run, which is returned unchanged if it names its classes.
        workdir: the run directory; if its training has begun, its classes are taken.
        split: split whose labels are taken, or several joined by "+"; None for `data.train`.

    Returns:
        The config; its classes are those that `sort` returns. A segmenter of a new run has none.

    Raises:
        DatasetError: there is no such data set or split, or it has radiographs without a label, or of one label only.
    """
    if config.classifier.classes:
        return config
    if run_dir.has_begun(workdir):
        classes = run_dir.load_config(workdir).classifier.classes
    elif config.task == "classify":
        classes = _read(config.data.dir, split or config.data.train)
    else:
        return config
    return replace(config, classifier=replace(config.classifier, classes=classes))


def sort(labels: Iterable[str]) -> tuple[str, ...]:
    """Return different labels: those of the shared vocabulary in its order, then all others by the alphabet."""
    different = set(labels)
    return (*(label for label in LABELS if label in different), *sorted(different - set(LABELS)))


def _read(directory: str, split: str) -> tuple[str, ...]:
    columns = tfds_store.load_columns(directory, split, "path", "label")
    labels = columns["label"]
    if "" in labels:
        raise DatasetError(
            f"{columns['path'][labels.index('')]}: it has no label; leave radiographs without a label out when you "
            "prepare the data set"
        )
    classes = sort(labels)
    if len(classes) < 2:
        raise DatasetError(
            f"{directory}: all {len(labels)} radiographs of {split} have the label {labels[0]!r}, and a classifier "
            "learns to tell two or more apart; add radiographs of another label"
        )
    return classes
