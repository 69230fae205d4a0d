"""Labels of radiographs as arrays: the index of one class, or a table of what is known of several findings."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from cxrjax.config.settings import ClassifierConfig
from cxrjax.data.batch import RadiographBatch
from cxrjax.data.dataset import RadiographDataset
from cxrjax.io import findings
from cxrjax.io.prepared import DatasetError


def index_labels(radiographs: RadiographBatch | RadiographDataset, classes: tuple[str, ...]) -> np.ndarray:
    """Return the labels as indices into `classes`, int32 [n].

    Raises:
        DatasetError: a label is not among the classes.
    """
    unknown = sorted(set(radiographs.labels) - set(classes))
    if unknown:
        raise DatasetError(_explain_unknown_label(radiographs, unknown[0], classes))
    return np.array([classes.index(label) for label in radiographs.labels], np.int32)


def index_targets(
    radiographs: RadiographBatch | RadiographDataset, classes: tuple[str, ...]
) -> Float32[np.ndarray, "n {len(classes)}"]:
    """Return what is known of each finding: 0..1, -1 if uncertain, or NaN if unknown; see `tabulate_targets`."""
    return tabulate_targets(radiographs.findings, radiographs.labels, classes)


def tabulate_targets(
    known_findings: Sequence[findings.Findings] | None, labels: Sequence[str], classes: tuple[str, ...]
) -> Float32[np.ndarray, "n {len(classes)}"]:
    """Return the table of `cxrjax.io.findings` of n radiographs.

    In a data set of one label per radiograph, the findings that the label names ("Atelectasis|Effusion") are positive
    and all others negative; without a label, all are unknown.

    Args:
        known_findings: findings of each radiograph; None of a data set with labels alone.
        labels: label of each radiograph.
        classes: names of the findings.
    """
    if known_findings is not None:
        return findings.to_targets(known_findings, classes)
    rows = [findings.from_label(label) for label in labels]
    targets = findings.to_targets(rows, classes, missing=findings.NEGATIVE)
    targets[[not label for label in labels]] = findings.UNKNOWN
    return targets


def index_truth(radiographs: RadiographBatch | RadiographDataset, classifier: ClassifierConfig) -> np.ndarray:
    """Return what a classifier is trained on: `index_targets` for "multi" targets, otherwise `index_labels`.

    Raises:
        DatasetError: a label is not among the classes.
    """
    if classifier.targets == "multi":
        return index_targets(radiographs, classifier.classes)
    return index_labels(radiographs, classifier.classes)


def _explain_unknown_label(
    radiographs: RadiographBatch | RadiographDataset, label: str, classes: tuple[str, ...]
) -> str:
    """Return the message on a label that is not among the classes, with the setting that would include all labels."""
    path = radiographs.paths[radiographs.labels.index(label)]
    message = f"{path}: its label {label!r} is not among the classes {', '.join(classes)}"
    if not label:
        return f"{message}; prepare the data set with --labels={','.join(classes)}, which leaves such radiographs out"
    labels = set(radiographs.labels) - {""}
    ordered = [name for name in classes if name in labels] + sorted(labels - set(classes))
    setting = ",".join(map(repr, ordered)) + ("," if len(ordered) == 1 else "")
    return (
        f"{message}; add --config.classifier.classes= for the labels of the training split, or name those of this "
        f'split: --config.classifier.classes="({setting})"'
    )
