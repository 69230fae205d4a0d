"""The classes of a classifier whose config names none: the labels or findings of its training radiographs."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cxrjax.config import LABELS, Config
from cxrjax.data import tfds_store
from cxrjax.io import findings
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
        DatasetError: there is no such data set or split, or it has radiographs without a label, or of one label only;
            or, for several findings per radiograph, none is positive in some radiographs and negative in others.
    """
    if config.classifier.classes:
        return config
    if run_dir.has_begun(workdir):
        classes = run_dir.load_config(workdir).classifier.classes
    elif config.task == "classify":
        read = _read_findings if config.classifier.targets == "multi" else _read_labels
        classes = read(config, split or config.data.train)
    else:
        return config
    return replace(config, classifier=replace(config.classifier, classes=classes))


def check_known(config: Config, directory: str) -> None:
    """Raise if a data set of several findings has none of those that a run predicts, before anything is predicted.

    Args:
        config: config of the run.
        directory: a prepared data set, whose names of findings are those of its report.json.

    Raises:
        DatasetError: it has other findings only; the message names them.
    """
    by_split = tfds_store.read_report(directory).get("findings")
    if config.classifier.targets != "multi" or not isinstance(by_split, dict):
        return
    new_names = dict(config.data.label_map)
    names = dict.fromkeys(name for counts in by_split.values() if isinstance(counts, dict) for name in counts)
    if names and not {new_names.get(name, name) for name in names} & set(config.classifier.classes):
        raise DatasetError(
            f"{directory}: its findings ({', '.join(names)}) are none of those that the run predicts "
            f"({', '.join(config.classifier.classes)}); rename them by config.data.label_map"
        )


def sort(labels: Iterable[str]) -> tuple[str, ...]:
    """Return different labels: those of the shared vocabulary in its order, then all others by the alphabet."""
    different = set(labels)
    return (*(label for label in LABELS if label in different), *sorted(different - set(LABELS)))


def _read_labels(config: Config, split: str) -> tuple[str, ...]:
    directory = config.data.dir
    columns = tfds_store.load_columns(directory, split, "path", "label", label_map=config.data.label_map)
    labels = columns["label"]
    if "" in labels:
        names = ",".join(sort(set(labels) - {""}))
        raise DatasetError(
            f"{columns['path'][labels.index('')]}: it has no label; prepare the data set with --labels={names}, which "
            "leaves radiographs without a label out"
        )
    classes = sort(labels)
    if len(classes) < 2:
        raise DatasetError(
            f"{directory}: all {len(labels)} radiographs of {split} have the label {labels[0]!r}, and a classifier "
            "learns to tell two or more apart; add radiographs of another label"
        )
    return classes


def _read_findings(config: Config, split: str) -> tuple[str, ...]:
    """Return the findings that are positive in some radiographs and negative in others; uncertain ones do not count."""
    columns = tfds_store.load_columns(config.data.dir, split, "label", "findings", label_map=config.data.label_map)
    positive: set[str] = set()
    negative: set[str] = set()
    for label, known_findings in zip(columns["label"], columns["findings"], strict=True):
        values = findings.from_label(label) if known_findings is None else known_findings
        positive |= {name for name, value in values.items() if value >= findings.PRESENT}
        negative |= {name for name, value in values.items() if 0 <= value < findings.PRESENT}
    if columns["findings"][0] is None:  # what a label does not name is negative
        rows = [findings.from_label(label) for label in columns["label"] if label]
        negative = {name for name in positive if any(name not in row for row in rows)}
    names = sort(positive & negative)
    if not names:
        raise DatasetError(
            f"{config.data.dir}: no finding is positive in some radiographs of {split} and negative in others, and a "
            "classifier learns to tell these apart; add radiographs with and without a finding"
        )
    return names
