"""Objectives of a classifier: one label per radiograph, or several findings at once (`classifier.targets`).

An `Objective` has the loss of a training step, what the sampler balances, and the scores of validation.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from cxrjax.config import Config
from cxrjax.io import findings
from cxrjax.io.prepared import DatasetError
from cxrjax.metrics import classification, roc
from cxrjax.ops import voting
from cxrjax.training import losses, model_selection
from cxrjax.training.remedies import worst_group

# Of validation, for one label per radiograph.
METRICS = ("macro_f1", "macro_auroc", "accuracy", "loss", *worst_group.METRICS)
FINDING_METRICS = ("macro_auroc", "macro_average_precision", "macro_f1", "loss")  # for several findings
_TINY = float(np.finfo(np.float32).tiny)
_UNCERTAIN = {"ignore": findings.UNCERTAIN, "zeros": findings.NEGATIVE, "ones": findings.POSITIVE}


class ValidationScores(NamedTuple):
    """Scores of a validation, and its labels in words."""

    metrics: Mapping[str, float]
    truth: list[str]  # label of each radiograph
    predictions: list[str]  # predicted label of each radiograph; "" where no lungs were found


class Objective(NamedTuple):
    """Pure functions that define the training of a classifier; labels are those of `truth_table.index_truth`."""

    sampling_labels: np.ndarray  # of the training radiographs, see `Task.sampling_labels`
    loss: Callable[[Array, Array], Array]  # (logits [n, k], labels of n radiographs) -> loss in nats
    # (metric, split, labels, has_lungs, setting) -> None; raises ValueError where validation does not determine it
    check_metric: Callable[[str, str, np.ndarray, np.ndarray, str], None]
    # (votes of n radiographs, their labels, has_lungs) -> scores
    score: Callable[[voting.VoteResult, np.ndarray, np.ndarray], ValidationScores]


def choose(config: Config, labels: np.ndarray) -> Objective:
    """Return the objective of a config.

    Args:
        config: config of a classifier.
        labels: of the training radiographs, of `truth_table.index_truth`.

    Raises:
        DatasetError: a finding is never positive or never negative in the training radiographs.
        ValueError: the class weights do not fit the classes.
    """
    return (_learn_findings if config.classifier.targets == "multi" else _learn_label)(config, labels)


def _learn_label(config: Config, labels: np.ndarray) -> Objective:
    """Return the objective of one label per radiograph: cross-entropy of a softmax over the classes."""
    classes = config.classifier.classes
    weights = losses.weigh_classes(labels, len(classes), config.training.class_weights)
    gamma, alpha = _focal_parameters(config)

    def loss(logits: Array, labels: Array) -> Array:
        return losses.cross_entropy(logits, labels, weights, gamma, alpha)

    def score(votes: voting.VoteResult, labels: np.ndarray, has_lungs: np.ndarray) -> ValidationScores:
        predictions = [
            classes[i] if found else classification.NO_PREDICTION
            for i, found in zip(votes.label, has_lungs, strict=True)
        ]
        truth = [classes[i] for i in labels]
        scores = classification.classification_metrics(truth, predictions, votes.probabilities, classes)
        true_class_probability = np.take_along_axis(np.asarray(votes.probabilities), labels[:, None], axis=1)[has_lungs]
        log_likelihood = float(np.log(np.maximum(true_class_probability, _TINY)).mean())
        metrics = {
            "macro_f1": scores["macro"]["f1"],
            "macro_auroc": np.nan if scores["macro"]["auroc"] is None else scores["macro"]["auroc"],
            "accuracy": scores["accuracy"],
            "loss": -log_likelihood,
        }
        return ValidationScores(metrics, truth, predictions)

    return Objective(labels, loss, check_metric, score)


def check_metric(
    metric: str, split: str, labels: np.ndarray, has_lungs: np.ndarray, setting: str = "training.metric"
) -> None:
    """Check that a metric is defined in validation; otherwise, no epoch could be the best.

    Args:
        metric: one of `METRICS`; "" is not checked.
        split: name of the validation split.
        labels: int [n], the classes of its radiographs.
        has_lungs: bool [n], whether lungs were found in each.
        setting: the setting that names the metric.

    Raises:
        ValueError: there is no such metric, or it would be NaN.
    """
    model_selection.check_name(setting, metric, METRICS)
    if metric == "macro_auroc" and len(np.unique(labels)) < 2:
        raise ValueError(
            f"{setting}=macro_auroc is no number in {split}, where all radiographs are of one class; choose "
            "another metric, or a data.validation of several classes"
        )
    if metric == "loss" and not has_lungs.any():
        raise ValueError(
            f"{setting}=loss is no number in {split}, where no lungs are found in any radiograph; choose another "
            "segmenter.workdir or data.validation"
        )


def _learn_findings(config: Config, targets: np.ndarray) -> Objective:
    """Return the objective of several findings: binary cross-entropy over the known entries."""
    names = config.classifier.classes
    uncertain = _UNCERTAIN[config.training.uncertain]
    resolved = np.where(targets == findings.UNCERTAIN, np.float32(uncertain), targets)
    _check_findings(config, resolved)
    weights = losses.weigh_findings(resolved, names, config.training.class_weights)
    gamma, alpha = _focal_parameters(config)

    def loss(logits: Array, labels: Array) -> Array:
        resolved = jnp.where(labels == findings.UNCERTAIN, uncertain, labels)
        return losses.binary_cross_entropy(logits, resolved, weights, gamma, alpha)

    def score(votes: voting.VoteResult, labels: np.ndarray, has_lungs: np.ndarray) -> ValidationScores:
        called = voting.find_positive(votes.votes, votes.probabilities, votes.num_patches, config.voting.aggregation)
        called &= has_lungs[:, None]
        probabilities = np.where(has_lungs[:, None], votes.probabilities, np.nan)
        truth = [findings.format_label(findings.from_targets(row, names)) for row in labels]
        predictions = [
            findings.format_label(dict(zip(names, row, strict=True))) if found else classification.NO_PREDICTION
            for row, found in zip(called, has_lungs, strict=True)
        ]
        return ValidationScores(finding_metrics(labels, probabilities, called), truth, predictions)

    return Objective(findings.is_present(resolved), loss, _check_finding_metric, score)


def finding_metrics(
    targets: Float[np.ndarray, "n k"], probabilities: Float[np.ndarray, "n k"], called: Bool[np.ndarray, "n k"]
) -> dict[str, float]:
    """Compute the metrics `FINDING_METRICS` of validation.

    Args:
        targets: of `cxrjax.io.findings`; entries that are uncertain or unknown are left out.
        probabilities: of the findings; NaN without a prediction, which is the lowest of the positive and the highest of
            the negative radiographs, and is left out of the loss.
        called: whether a finding is predicted.

    Returns:
        Means over the findings that have both positive and negative radiographs, and the mean cross-entropy of all
        known entries in nats; NaN where there are none.
    """
    known = findings.is_known(targets)
    positive = findings.is_present(targets)
    negative = findings.is_absent(targets)
    scores = []
    for k in np.flatnonzero(positive.any(0) & negative.any(0)):
        rows = known[:, k]
        counts = roc.roc_counts(positive[rows, k], probabilities[rows, k], np.ones((1, int(rows.sum()))))
        hits = (positive & called)[:, k].sum()
        f1 = 2 * hits / (positive[:, k].sum() + (known & called)[:, k].sum())
        scores.append((roc.auroc(counts)[0], roc.average_precision(counts)[0], f1))
    macro_auroc, macro_average_precision, macro_f1 = np.mean(scores, axis=0) if scores else [np.nan] * 3
    predicted = known & ~np.isnan(probabilities)
    shares = targets[predicted]
    log_yes = np.log(np.maximum(probabilities[predicted], _TINY))
    log_no = np.log(np.maximum(1 - probabilities[predicted], _TINY))
    surprise = -(shares * log_yes + (1 - shares) * log_no)
    return {
        "macro_auroc": float(macro_auroc),
        "macro_average_precision": float(macro_average_precision),
        "macro_f1": float(macro_f1),
        "loss": float(surprise.mean()) if len(surprise) else np.nan,
    }


def _check_findings(config: Config, targets: np.ndarray) -> None:
    """Check that every finding is positive in some training radiographs and negative in others."""
    for name, values in zip(config.classifier.classes, targets.T, strict=True):
        for is_there, word in ((findings.is_present(values), "positive"), (findings.is_known(values), "known")):
            if not is_there.any():
                raise DatasetError(
                    f"{config.data.dir}: the finding {name!r} is {word} in no radiograph of {config.data.train}; leave "
                    "it out of classifier.classes"
                )
        if not findings.is_absent(values).any():
            raise DatasetError(
                f"{config.data.dir}: the finding {name!r} is negative in no radiograph of {config.data.train}, so that "
                "there is nothing to tell it from; leave it out of classifier.classes"
            )


def _check_finding_metric(metric: str, split: str, targets: np.ndarray, has_lungs: np.ndarray, setting: str) -> None:
    """Check that a metric is defined in validation; see `check_metric`."""
    model_selection.check_name(setting, metric, FINDING_METRICS)
    has_both = findings.is_present(targets).any(0) & findings.is_absent(targets).any(0)
    if metric.startswith("macro_") and not has_both.any():
        raise ValueError(
            f"{setting}={metric} is no number in {split}, where no finding is positive in some radiographs and "
            "negative in others; choose another metric, or another data.validation"
        )
    if metric == "loss" and not findings.is_known(targets[has_lungs]).any():
        raise ValueError(
            f"{setting}=loss is no number in {split}, where nothing is known of any radiograph with lungs; choose "
            "another metric, or another data.validation"
        )


def _focal_parameters(config: Config) -> tuple[float, float]:
    """Return gamma and alpha of the config's focal loss; 0 and 1 for plain cross-entropy.

    Raises:
        ValueError: `training.loss` is neither "cross_entropy" nor "focal".
    """
    if config.training.loss == "cross_entropy":
        return 0.0, 1.0
    if config.training.loss != "focal":
        raise ValueError(f"no training.loss called {config.training.loss!r}; there are cross_entropy, focal")
    return config.training.focal_gamma, config.training.focal_alpha
