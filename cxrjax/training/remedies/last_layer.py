"""Training of the last layer of a finished run again, on equally weighted (source, class) groups.

Kirichenko, Izmailov & Wilson 2023, "Last layer re-training is sufficient for robustness to spurious correlations": the
features of a network that learned a shortcut often hold the disease too, and a last layer fitted to balanced
radiographs uses it. The paper draws subsets with as many radiographs of each group as the smallest has, and averages;
here each group has the same weight instead, which needs no draw and wastes no radiograph. Sources of one class alone
are left out, since within them nothing distinguishes the class.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from cxrjax.config import Config
from cxrjax.data import dataset, truth_table
from cxrjax.inference import saved_run
from cxrjax.inference.loaded_run import LoadedRun, load_run
from cxrjax.inference.predictor import make_predictor
from cxrjax.runs import run_dir
from cxrjax.training.remedies.sources import index_sources

_CHUNK = 64  # radiographs in memory at once


class LastLayer(NamedTuple):
    """Linear layer: logits = features @ kernel + bias."""

    kernel: np.ndarray  # float32 [d, k]
    bias: np.ndarray  # float32 [k]


def retrain_last_layer(workdir: Path, target: Path, split: str = "", penalty: float = 0.01) -> dict[str, int]:
    """Fit the last layer of a trained classifier again, and write the network as a run of its own.

    Args:
        workdir: directory of the finished run, which is not changed.
        target: run directory to write; absent or empty.
        split: whose radiographs the layer is fitted to; "" for that of validation, or of training without one.
        penalty: of the squared weights of standardized features, in nats per radiograph.

    Returns:
        The number of radiographs of each group that was used, by "SOURCE: CLASS".

    Raises:
        RunError: there is no trained classifier of one label per radiograph with a linear last layer; or a class has no
            radiograph beside another class.
        DatasetError: the data set is missing or does not fit the run.
    """
    run = load_run(workdir, use_ood_detector=False)
    _check(workdir, run)
    split = split or run.config.data.validation or run.config.data.train
    features, labels, sources = _read_features(run, split)
    classes = run.config.classifier.classes
    indexed = index_sources(sources, labels, len(classes))
    used = (indexed.counts > 0).sum(1)[indexed.ids] > 1
    missing = [name for index, name in enumerate(classes) if not (labels[used] == index).any()]
    if missing:
        raise run_dir.RunError(
            f"{workdir}: in {split}, no source has {missing[0]} and another class too, so that its last layer cannot "
            "learn the class apart from the source; name a split that has, by split"
        )
    weights = 1 / indexed.counts[indexed.ids, labels][used]
    layer = fit(features[used], labels[used], weights, len(classes), penalty)
    _save(workdir, run, layer, target)
    return {
        f"{source}: {name}": int(count)
        for source, row in zip(indexed.names, indexed.counts, strict=True)
        for name, count in zip(classes, row, strict=True)
        if count and (row > 0).sum() > 1
    }


def fit(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, num_classes: int, penalty: float) -> LastLayer:
    """Fit a multinomial logistic regression.

    Args:
        features: float [n, d]; standardized here, and the layer is that of the features as they are.
        labels: int [n].
        weights: float [n], of the examples; only their ratios matter.
        num_classes: number of classes k.
        penalty: of the squared weights of the standardized features; those of the bias are free.
    """
    mean = features.mean(0)
    scale = np.maximum(features.std(0), 1e-6)
    x = np.concatenate([(features - mean) / scale, np.ones((len(features), 1))], axis=1)
    one_hot = np.eye(num_classes)[labels]
    shares = (weights / weights.sum())[:, None]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix = flat.reshape(x.shape[1], num_classes)
        log_probabilities = log_softmax(x @ matrix, axis=1)
        penalized = np.concatenate([matrix[:-1], np.zeros((1, num_classes))])
        value = -(shares * one_hot * log_probabilities).sum() + penalty * (penalized**2).sum()
        gradient = x.T @ (shares * (np.exp(log_probabilities) - one_hot)) + 2 * penalty * penalized
        return value, gradient.ravel()

    start = np.zeros(x.shape[1] * num_classes)
    matrix = minimize(objective, start, jac=True, method="L-BFGS-B").x.reshape(x.shape[1], num_classes)
    kernel = matrix[:-1] / scale[:, None]
    return LastLayer(kernel.astype(np.float32), (matrix[-1] - mean @ kernel).astype(np.float32))


def _check(workdir: Path, run: LoadedRun) -> None:
    classifier = run.spec.classifier
    if classifier is None or run.config.classifier.targets == "multi":
        raise run_dir.RunError(f"{workdir}: a run of a classifier with one label per radiograph is needed")
    head = getattr(classifier.module, "head", None)
    if run.spec.num_members > 1 or classifier.context_pixels or not getattr(head, "is_linear", False):
        raise run_dir.RunError(
            f"{workdir}: only the last layer of a single network without hidden layers and without "
            "patches.context_pixels can be trained again"
        )


def _read_features(run: LoadedRun, split: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the features float [n, d], the classes int [n] and the sources of the radiographs with lungs."""
    config: Config = run.config
    predictor = make_predictor(run)
    features = []
    labels = []
    sources = []
    for chunk in dataset.open_split(config, split).iter_batches(_CHUNK):
        indices = truth_table.index_labels(chunk, config.classifier.classes)
        for result, label, source in zip(predictor.predict(chunk.images), indices, chunk.sources, strict=True):
            embedding = predictor.embedding(result)
            if embedding is not None:
                features.append(embedding)
                labels.append(label)
                sources.append(source)
    if not features:
        raise run_dir.RunError(f"no lungs were found in any radiograph of {split}")
    return np.stack(features).astype(float), np.array(labels), sources


def _save(workdir: Path, run: LoadedRun, layer: LastLayer, target: Path) -> None:
    classifier: Mapping[str, Any] = run.variables["classifier"]
    params = classifier["params"]
    linear = {"kernel": layer.kernel, "bias": layer.bias}
    retrained = {**classifier, "params": {**params, "head": {**params["head"], "linear_0": linear}}}
    changed = run._replace(variables={**run.variables, "classifier": retrained})
    saved_run.save(workdir, changed, target, is_modified=True)
