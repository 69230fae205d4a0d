"""Classification task: random patches of the lungs (Oh et al. 2020, section II-C)."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array

from cxrjax.config import Config
from cxrjax.data import dataset
from cxrjax.data.batch import RadiographBatch
from cxrjax.inference import inputs, pipeline, strategies
from cxrjax.inference.lung_segmenter import LungSegmenter
from cxrjax.models import from_config, spec
from cxrjax.ops import augmentation, voting
from cxrjax.runtime import compile_notice, sharding
from cxrjax.training import classification_data, losses, model_selection, objectives, previews
from cxrjax.training.remedies import hooks, worst_group
from cxrjax.training.task import Task, Validation


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
    augmentation_config = config.augmentation
    patch_config = from_config.inference_config(config, 1)  # one patch per radiograph and step
    strategy = strategies.choose(config.patches.mode)
    train_data = classification_data.build_examples(config, segmenter, train, config.data.train)
    rows = np.flatnonzero(train_data.has_lungs)
    if not len(rows):
        raise dataset.DatasetError(f"{config.data.dir}: the segmenter found no lungs in any training radiograph")
    labels = train_data.labels[rows]
    objective = objectives.choose(config, labels)
    remedies = hooks.build(config, classifier, train, rows, labels, objective.loss)

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
        variables, remedy_variables = hooks.split({"params": params, "batch_stats": batch_stats})
        batch = remedies.change_images(batch, key)
        keys = jax.random.split(key, len(batch["labels"]) + 1)
        flags = (batch["augmented"],) if "augmented" in batch else ()
        x = jax.vmap(sample_patch)(keys[:-1], batch["images"], batch["lungs"], *flags)
        x = remedies.change_patches(x, batch, key)
        network_params = variables["params"]
        variables, x = inputs.prepare(classifier, variables, x)
        (logits, features), updates = classifier.module.apply(
            variables,
            x,
            train=True,
            rngs={"dropout": keys[-1]},
            mutable=["batch_stats"],
            method=remedies.forward,
        )
        value, remedy_stats = remedies.loss(remedy_variables, logits, features, batch)
        c = config.training
        value += losses.penalty(network_params, c.l1, c.l2, c.l2_bias_and_norm)
        new_stats: Any = updates.get("batch_stats", {})
        return value, {**new_stats, hooks.KEY: remedy_stats} if remedy_stats else new_stats

    validate = None
    if validation is not None:
        validation_data = classification_data.build_examples(config, segmenter, validation, config.data.validation)
        for setting, metric in model_selection.list_watched(config.training).items():
            objective.check_metric(
                metric, config.data.validation, validation_data.labels, validation_data.has_lungs, setting
            )
        validate = _build_validation(config, classifier, validation_data, objective, validation.sources)
    return Task(
        data=remedies.add_columns(train_data.select(rows)),
        sampling_labels=objective.sampling_labels,
        init=init,
        loss=loss,
        validate=validate,
        sampling_weights=remedies.sampling_weights,
        draw_partners=remedies.draw_partners,
        remedy_variables=remedies.variables,
    )


def _build_validation(
    config: Config,
    classifier: spec.ModelSpec,
    data: classification_data.ClassificationData,
    objective: objectives.Objective,
    sources: Sequence[str],
) -> Any:
    """Return the function that scores the votes of all sliding windows, or of a few random patches per radiograph.

    The patches are drawn by the key of each radiograph, so that they are the same in each epoch.
    """
    classes = config.classifier.classes
    settings = from_config.inference_config(config, config.patches.count_validation)
    batch_sharding = sharding.BatchSharding(data.batch_size)
    cached_batches = [batch_sharding.shard(batch) for batch in data.iter_batches()] if data.in_memory else None

    @batch_sharding.compile
    @compile_notice.describe_program("the classifier, for the scores of validation")
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
        result = objective.score(votes, data.labels, data.has_lungs)
        images = {
            previews.name(row): previews.draw_votes(
                image, lungs, result.truth[row], result.predictions[row], votes.votes[row].tolist(), classes
            )
            for row, (image, lungs) in zip(preview_rows, preview_inputs, strict=True)
        }
        metrics = dict(result.metrics)
        if data.labels.ndim == 1:
            correct = (votes.label == data.labels) & data.has_lungs
            metrics |= worst_group.worst_recalls(correct, data.labels, sources)
        return Validation(metrics, images)

    return validate
