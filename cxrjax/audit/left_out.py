"""Radiographs of a source that is left out of training, whose classes or findings are known from other sources."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from cxrjax.audit.context import AuditContext
from cxrjax.data.batch import RadiographBatch
from cxrjax.io import findings


class LeftOut(NamedTuple):
    """Radiographs of the split on which a network is tested that was trained without their source."""

    rows: Int[np.ndarray, "n"]
    targets: Float[np.ndarray, "n k"] | None  # truth of the findings that were learned elsewhere; None of labels
    classes: tuple[str, ...]  # that the network is trained on: all labels, or the findings that others have
    description: str


def select(context: AuditContext, source: str) -> LeftOut | None:
    """Return the radiographs of a source; None where the other sources of training do not allow a prediction."""
    train, _ = context.probe_train
    test, _ = context.probe_test
    return (_select_findings if context.is_multi_label else _select_labels)(context, source, train, test)


def _select_labels(context: AuditContext, source: str, train: RadiographBatch, test: RadiographBatch) -> LeftOut | None:
    """Return those whose label occurs in another source, if there are two labels in other sources."""
    other_labels = {label for label, other in zip(train.labels, train.sources, strict=True) if other != source}
    rows = [i for i in range(len(test)) if test.sources[i] == source and test.labels[i] in other_labels]
    if not rows or len(other_labels) < 2:
        return None
    labels = ", ".join(sorted({test.labels[i] for i in rows}))
    return LeftOut(np.array(rows), None, context.classes, f"{labels} of {source} ({len(rows)})")


def _select_findings(
    context: AuditContext, source: str, train: RadiographBatch, test: RadiographBatch
) -> LeftOut | None:
    """Return those with a finding whose truth is known, and that other sources have both present and absent."""
    train_targets = context.targets(train)
    test_targets = context.targets(test)
    assert train_targets is not None
    assert test_targets is not None
    others = train_targets[np.array(train.sources) != source]
    is_learned = np.asarray(findings.is_present(others).any(0) & findings.is_absent(others).any(0))
    targets = np.where(is_learned, test_targets, findings.UNKNOWN)
    rows = np.flatnonzero((np.array(test.sources) == source) & findings.is_known(targets).any(1))
    if not len(rows):
        return None
    learned = tuple(name for name, is_one in zip(context.classes, is_learned, strict=True) if is_one)
    return LeftOut(rows, targets[rows], learned, f"{', '.join(learned)} of {source} ({len(rows)})")
