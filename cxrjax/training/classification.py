"""Learn to tell findings apart from random patches of the lungs (Oh et al. 2020, section II-C)."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cxrjax.data import batch, dataset
from cxrjax.inference import inputs, pipeline
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.metrics import classification
from cxrjax.models import from_config, registry, spec
from cxrjax.ops import augmentation, voting
from cxrjax.runtime import sharding
from cxrjax.training import classification_data, losses, model_selection
from cxrjax.training.task import Task

METRICS = ("macro_f1", "macro_auroc", "accuracy", "loss")  # of validation


def build(
    config: ConfigDict,
    train: batch.RadiographBatch | dataset.RadiographDataset,
    validation: batch.RadiographBatch | dataset.RadiographDataset,
    finder: LungSegmenter,
) -> Task:
    """The classification task of a config; the lungs are found once, by the segmenter, and kept.

    Radiographs in which no lungs are found are left out of training, and count as wrong in validation; without a
    segmenter, none are.

    Args:
        config: of the run.
        train: radiographs labelled with the config's classes.
        validation: likewise.
        finder: of their lungs.

    Raises:
        data.MissingData: a label is not among the classes, or no lungs are found in any training radiograph.
        ValueError: validation cannot tell a metric that the network is to be chosen by, or that the rate waits for.
    """
    classifier = from_config.classifier(config)
    classes = tuple(config.classifier.classes)
    settings, one = augmentation.AugmentationConfig(**config.augmentation), from_config.inference_config(config, 1)
    learned = classification_data.build_examples(config, finder, train, config.data.train)
    rows = np.flatnonzero(learned.found)
    if not len(rows):
        raise dataset.MissingData(f"{config.data.directory}: the segmenter found no lungs in any training radiograph")
    labels = learned.labels[rows]
    weights = losses.weigh_classes(labels, len(classes), config.training.class_weights)
    gamma, alpha = _focus(config)

    def init(key: Array) -> Mapping[str, Any]:
        return from_config.init(classifier, key)

    def draw(
        key: Array, image: Array, lungs: tuple[Array | None, Array | None], augmented: Array | bool = True
    ) -> Array:
        """One augmented patch, with its context: float [side, side], or [side, side, 3] of "contrast", in 0..1.

        One that is not `augmented` is shown as validation shows it.
        """
        place, change = jax.random.split(key)
        _, patch = inputs.sample_patches(image, *lungs, place, classifier.side, one, anywhere=augmented)
        return augmentation.augment_patch(change, inputs.to_float(patch[0]), settings, augmented)

    def loss(params: Any, batch_stats: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        keys = jax.random.split(key, len(batch["labels"]) + 1)
        marks = (batch["augmented"],) if "augmented" in batch else ()
        x = jax.vmap(draw)(keys[:-1], batch["images"], batch["lungs"], *marks)
        x = inputs.normalize(x, classifier)
        variables = {"params": params, "batch_stats": batch_stats}
        logits, new = classifier.module.apply(
            variables, x, train=True, rngs={"dropout": keys[-1]}, mutable=["batch_stats"]
        )
        value = losses.cross_entropy(logits, batch["labels"], weights, gamma, alpha)
        value += losses.penalty(params, config.training.l1, config.training.l2, config.training.l2_vectors)
        return value, new.get("batch_stats", {})

    asked = classification_data.build_examples(config, finder, validation, config.data.validation)
    for setting, metric in model_selection.list_watched(config.training).items():
        check_metric(metric, config.data.validation, asked.labels, asked.found, setting)
    validate = _validation(config, classifier, asked)
    return Task(learned.show(rows), labels, init, loss, validate)


def check_metric(
    metric: str, split: str, labels: np.ndarray, found: np.ndarray, setting: str = "training.metric"
) -> None:
    """Refuse a metric that is no number in validation, for no epoch could be the best by it.

    Args:
        metric: of `METRICS`; "" is not checked.
        split: the name of validation.
        labels: int [n], the classes of its radiographs.
        found: bool [n], whether lungs are found in each.
        setting: that names the metric.

    Raises:
        ValueError: there is no such metric, or it cannot be told.
    """
    model_selection.check_name(setting, metric, METRICS)
    if metric == "macro_auroc" and len(np.unique(labels)) < 2:
        raise ValueError(
            f"{setting}=macro_auroc is no number in {split}, where all radiographs are of one class; choose "
            "another metric, or a data.validation of several classes"
        )
    if metric == "loss" and not found.any():
        raise ValueError(
            f"{setting}=loss is no number in {split}, where no lungs are found in any radiograph; choose another "
            "segmenter.workdir or data.validation"
        )


def _focus(config: ConfigDict) -> tuple[float, float]:
    """Gamma and alpha of the focal loss that a config asks for; of plain cross-entropy, 0 and 1."""
    if config.training.loss == "cross_entropy":
        return 0.0, 1.0
    if config.training.loss != "focal":
        raise ValueError(f"no training.loss called {config.training.loss!r}; there are cross_entropy, focal")
    return config.training.focal_gamma, config.training.focal_alpha


def _validation(config: ConfigDict, classifier: spec.ModelSpec, asked: classification_data.ClassificationData) -> Any:
    """Scores of the vote of all windows, or of a few patches drawn from each radiograph's own key: always the same."""
    classes = tuple(config.classifier.classes)
    settings = from_config.inference_config(config, config.patches.validation_count)
    shares = sharding.BatchSharding(asked.batch_size)
    held = [shares.spread(batch) for batch in asked.batches()] if asked.held else None

    @shares.compile
    def vote(variables: Mapping[str, Any], batch: Any) -> voting.VoteResult:
        *radiographs, image_ids = batch

        def count(_: Array, looks: inputs.PatchPredictions) -> voting.VoteResult:
            return voting.count_votes(looks.logits, settings.voting_rule, looks.counted)

        known = (*radiographs, pipeline.image_keys(config.seed, image_ids))
        together = config.evaluation.batch_size
        return pipeline.predict_each(
            classifier, registry.precompute_kernels(variables), known, settings, count, together
        )

    def validate(variables: Mapping[str, Any]) -> dict[str, float]:
        variables = shares.replicate(variables)
        each = [shares.gather(vote(variables, batch)) for batch in held or map(shares.spread, asked.batches())]
        votes = jax.tree.map(lambda *x: np.concatenate(x)[: len(asked.found)], *each)
        findings = [
            classes[i] if there else classification.NO_PREDICTION
            for i, there in zip(votes.finding, asked.found, strict=True)
        ]
        truth = [classes[i] for i in asked.labels]
        scores = classification.classification_metrics(truth, findings, votes.probabilities, classes)
        of_truth = np.take_along_axis(votes.probabilities, asked.labels[:, None], axis=1)[asked.found]
        likelihood = float(np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())
        return {
            "macro_f1": scores["macro"]["f1"],
            "macro_auroc": np.nan if scores["macro"]["auroc"] is None else scores["macro"]["auroc"],
            "accuracy": scores["accuracy"],
            "loss": -likelihood,
        }

    return validate
