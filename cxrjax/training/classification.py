"""Classification task: random patches of the lungs (Oh et al. 2020, section II-C)."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from cxrjax.config import Config
from cxrjax.data import dataset
from cxrjax.data.batch import RadiographBatch
from cxrjax.inference import inputs, pipeline, strategies
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.metrics import classification
from cxrjax.models import from_config, spec
from cxrjax.ops import augmentation, voting
from cxrjax.runtime import sharding
from cxrjax.training import classification_data, losses, model_selection, previews
from cxrjax.training.task import Task, Validation

METRICS = ("macro_f1", "macro_auroc", "accuracy", "loss")  # of validation


def build(
    config: Config,
    train: RadiographBatch | dataset.RadiographDataset,
    validation: RadiographBatch | dataset.RadiographDataset | None,
    segmenter: LungSegmenter,
) -> Task:
    """Return the classification task of a config; the lung masks are segmented once and cached.

    Radiographs without lungs in their mask are excluded from training and count as wrong in validation; without a
    segmenter, all radiographs are used.

    Args:
        config: config of the run.
        train: training radiographs, labeled with the config's classes.
        validation: validation radiographs, labeled with the config's classes; None to train without validation.
        segmenter: segments their lungs.

    Raises:
        DatasetError: a label is not among the classes, or no training radiograph has lungs in its mask.
        ValueError: validation cannot compute a metric that selects the network or controls the learning rate.
    """
    classifier = from_config.classifier(config)
    classes = config.classifier.classes
    augmentation_config = config.augmentation
    patch_config = from_config.inference_config(config, 1)  # one patch per radiograph and step
    strategy = strategies.choose(config.patches.mode)
    train_data = classification_data.build_examples(config, segmenter, train, config.data.train)
    rows = np.flatnonzero(train_data.has_lungs)
    if not len(rows):
        raise dataset.DatasetError(f"{config.data.dir}: the segmenter found no lungs in any training radiograph")
    labels = train_data.labels[rows]
    weights = losses.weigh_classes(labels, len(classes), config.training.class_weights)
    gamma, alpha = _focal_parameters(config)

    def init(key: Array) -> Mapping[str, Any]:
        return from_config.init(classifier, key)

    def sample_patch(
        key: Array, image: Array, lungs: tuple[Array | None, Array | None], augmented: Array | bool = True
    ) -> Array:
        """Return one random patch with its context, in 0..1: float [side, side], or [side, side, 3] for "enhanced".

        Without `augmented`, the patch is the same as in validation.
        """
        position_key, augmentation_key = jax.random.split(key)
        lung_mask, confidence = lungs
        radiograph = inputs.SegmentedRadiograph(image, lung_mask, confidence, position_key)
        patch = strategy.sample_training(classifier, radiograph, patch_config, augmented).pixels[0]
        return augmentation.augment_patch(augmentation_key, inputs.to_float(patch), augmentation_config, augmented)

    def loss(params: Any, batch_stats: Any, batch: Any, key: Array) -> tuple[Array, Any]:
        keys = jax.random.split(key, len(batch["labels"]) + 1)
        flags = (batch["augmented"],) if "augmented" in batch else ()
        x = jax.vmap(sample_patch)(keys[:-1], batch["images"], batch["lungs"], *flags)
        variables, x = inputs.prepare(classifier, {"params": params, "batch_stats": batch_stats}, x)
        logits, updates = classifier.module.apply(
            variables, x, train=True, rngs={"dropout": keys[-1]}, mutable=["batch_stats"]
        )
        value = losses.cross_entropy(logits, batch["labels"], weights, gamma, alpha)
        value += losses.penalty(params, config.training.l1, config.training.l2, config.training.l2_bias_and_norm)
        return value, updates.get("batch_stats", {})

    validate = None
    if validation is not None:
        validation_data = classification_data.build_examples(config, segmenter, validation, config.data.validation)
        for setting, metric in model_selection.list_watched(config.training).items():
            check_metric(metric, config.data.validation, validation_data.labels, validation_data.has_lungs, setting)
        validate = _build_validation(config, classifier, validation_data)
    return Task(
        data=train_data.select(rows),
        sampling_labels=labels,
        init=init,
        loss=loss,
        validate=validate,
    )


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


def _build_validation(config: Config, classifier: spec.ModelSpec, data: classification_data.ClassificationData) -> Any:
    """Return the function that scores the votes of all sliding windows, or of a few random patches per radiograph.

    The patches are drawn by the key of each radiograph, so that they are the same in each epoch.
    """
    classes = config.classifier.classes
    settings = from_config.inference_config(config, config.patches.count_validation)
    batch_sharding = sharding.BatchSharding(data.batch_size)
    cached_batches = [batch_sharding.shard(batch) for batch in data.iter_batches()] if data.in_memory else None

    @batch_sharding.compile
    def vote(variables: Mapping[str, Any], batch: Any) -> voting.VoteResult:
        images, lung_masks, confidence, image_ids = batch
        keys = pipeline.image_keys(config.seed, image_ids)
        radiographs = inputs.SegmentedRadiograph(images, lung_masks, confidence, keys)
        return pipeline.vote_each(classifier, variables, radiographs, settings, config.evaluation.batch_size)

    preview_rows = previews.choose_rows(config.tracking, len(data.labels))
    preview_inputs = data.read(preview_rows)

    def validate(variables: Mapping[str, Any]) -> Validation:
        variables = batch_sharding.replicate(variables)
        batches = cached_batches or map(batch_sharding.shard, data.iter_batches())
        batch_votes = [batch_sharding.gather(vote(variables, batch)) for batch in batches]
        votes = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(data.has_lungs)], *batch_votes)
        predictions = [
            classes[i] if has_lungs else classification.NO_PREDICTION
            for i, has_lungs in zip(votes.label, data.has_lungs, strict=True)
        ]
        truth = [classes[i] for i in data.labels]
        scores = classification.classification_metrics(truth, predictions, votes.probabilities, classes)
        true_class_probability = np.take_along_axis(votes.probabilities, data.labels[:, None], axis=1)[data.has_lungs]
        log_likelihood = float(np.log(np.maximum(true_class_probability, np.finfo(np.float32).tiny)).mean())
        images = {
            previews.name(row): previews.draw_votes(
                image, lungs, truth[row], predictions[row], votes.votes[row].tolist(), classes
            )
            for row, (image, lungs) in zip(preview_rows, preview_inputs, strict=True)
        }
        metrics = {
            "macro_f1": scores["macro"]["f1"],
            "macro_auroc": np.nan if scores["macro"]["auroc"] is None else scores["macro"]["auroc"],
            "accuracy": scores["accuracy"],
            "loss": -log_likelihood,
        }
        return Validation(metrics, images)

    return validate
