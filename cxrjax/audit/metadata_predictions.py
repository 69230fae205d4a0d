"""Predictions of an audit from metadata alone, learned from the training radiographs."""

from collections.abc import Sequence

import numpy as np

from cxrjax.audit import metadata_baseline
from cxrjax.audit.context import AuditContext
from cxrjax.io import findings
from cxrjax.metrics import baselines, finding_arrays, multilabel


def predict(context: AuditContext, attributes: tuple[str, ...]) -> np.ndarray:
    """Return the probabilities [n, K] of the classes or findings of the split.

    Args:
        context: inputs of the audit.
        attributes: metadata features; the source alone predicts by the frequencies of training, all others by naive
            Bayes.
    """
    return (_predict_findings if context.is_multi_label else _predict_labels)(context, attributes)


def source_shares(context: AuditContext, sources: Sequence[str]) -> np.ndarray:
    """Return how frequent each class or finding is in training in the source of each of n radiographs, [n, K]."""
    if not context.is_multi_label:
        return baselines.source_probabilities(context.source_label_counts, sources, context.classes)
    counts = finding_arrays.count_by_source(context.train_sources, context.record_targets[0], context.classes)
    return multilabel.source_probabilities(counts, sources, context.classes)


def _predict_labels(context: AuditContext, attributes: tuple[str, ...]) -> np.ndarray:
    """Return the probabilities [n, K] of the labels given metadata."""
    train, test = context.metadata
    if attributes == metadata_baseline.ATTRIBUTES["source"]:
        return source_shares(context, [features["source"] for features in test])
    labels = np.array([context.classes.index(label) for label in context.train_labels])
    return metadata_baseline.naive_bayes(train, labels, test, attributes, len(context.classes))


def _predict_findings(context: AuditContext, attributes: tuple[str, ...]) -> np.ndarray:
    """Return the probability [n, K] of each finding given metadata, learned from the radiographs where it is known."""
    train, test = context.metadata
    targets = context.record_targets[0]
    if attributes == metadata_baseline.ATTRIBUTES["source"]:
        return source_shares(context, [features["source"] for features in test])
    probabilities = np.full((len(test), len(context.classes)), 0.5)
    for k, values in enumerate(targets.T):
        known = np.flatnonzero(findings.is_known(values))
        if len(known):
            known_train = [train[i] for i in known]
            present = findings.is_present(values[known]).astype(int)
            probabilities[:, k] = metadata_baseline.naive_bayes(known_train, present, test, attributes, 2)[:, 1]
    return probabilities
