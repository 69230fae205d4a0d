"""Learn to tell findings apart from random patches of the lungs (Oh et al. 2020, section II-C)."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict
from tqdm import tqdm

from cxrjax import augment, data, devices, losses, metrics, models, networks, pipeline, views, voting
from cxrjax.tasks import Task


class Lungs(NamedTuple):
    """The lungs of n radiographs; without a segmenter None, None and true."""

    masks: np.ndarray | None  # bool [n, S, S]
    confidence: np.ndarray | None  # float32 [n] in 0..1
    found: np.ndarray  # bool [n], whether there are any


def build(
    config: ConfigDict, train: data.Split, validation: data.Split, segmenter_variables: Mapping[str, Any] | None
) -> Task:
    """The classification task of a config; the lungs are found once, by the segmenter, and kept on the device.

    Radiographs in which no lungs are found are left out of training, and count as wrong in validation; without a
    segmenter, none are.

    Args:
        config: of the run.
        train: radiographs labelled with the config's classes.
        validation: likewise.
        segmenter_variables: weights of the segmenter that the config names; None where it names none.

    Raises:
        data.MissingData: a label is not among the classes, or no lungs are found in any training radiograph.
    """
    classifier = networks.classifier(config)
    classes = tuple(config.classifier.classes)
    settings, one = augment.Augmentation(**config.augmentation), networks.settings(config, 1)
    lungs = find_lungs(config, segmenter_variables, train)
    rows = np.flatnonzero(lungs.found)
    if not len(rows):
        raise data.MissingData(f"{config.data.directory}: the segmenter found no lungs in any training radiograph")
    kept = data.select(train, rows)
    labels = data.index_labels(kept, classes)
    weights = losses.weigh_classes(labels, len(classes), config.training.class_weights)
    gamma, alpha = _focus(config)
    shown = jax.tree.map(lambda x: x[rows], (lungs.masks, lungs.confidence))
    device = {"images": kept.images, "lungs": shown, "labels": labels}

    def init(key: Array) -> Mapping[str, Any]:
        return networks.init(classifier, key)

    def draw(key: Array, image: Array, lungs: tuple[Array | None, Array | None]) -> Array:
        """One augmented patch, with its context: float [side, side], or [side, side, 3] of "contrast", in 0..1."""
        place, change = jax.random.split(key)
        _, patch = views.draw_patches(image, *lungs, place, classifier.side, one)
        return augment.augment_patch(change, views.scale(patch[0]), settings)

    def loss(params: Any, batch_stats: Any, held: Any, rows: Array, key: Array) -> tuple[Array, Any]:
        keys = jax.random.split(key, len(rows) + 1)
        batch = jax.tree.map(lambda x: x[rows], held)
        x = jax.vmap(draw)(keys[:-1], batch["images"], batch["lungs"])
        x = views.feed(x, classifier)
        variables = {"params": params, "batch_stats": batch_stats}
        logits, new = classifier.module.apply(
            variables, x, train=True, rngs={"dropout": keys[-1]}, mutable=["batch_stats"]
        )
        value = losses.cross_entropy(logits, batch["labels"], weights, gamma, alpha)
        value += losses.penalty(params, config.training.l1, config.training.l2, config.training.l2_vectors)
        return value, new.get("batch_stats", {})

    validate = _validation(config, classifier, validation, find_lungs(config, segmenter_variables, validation))
    return Task(device, labels, init, loss, validate)


def _focus(config: ConfigDict) -> tuple[float, float]:
    """Gamma and alpha of the focal loss that a config asks for; of plain cross-entropy, 0 and 1."""
    if config.training.loss == "cross_entropy":
        return 0.0, 1.0
    if config.training.loss != "focal":
        raise ValueError(f"no training.loss called {config.training.loss!r}; there are cross_entropy, focal")
    return config.training.focal_gamma, config.training.focal_alpha


def find_lungs(config: ConfigDict, variables: Mapping[str, Any] | None, split: data.Split) -> Lungs:
    segmenter, settings = networks.segmenter(config), networks.settings(config, config.patches.count)
    if segmenter is None:
        return Lungs(None, None, np.ones(len(split), bool))
    masks, confidence = np.zeros(split.images.shape, bool), np.zeros(len(split), np.float32)
    batches = list(data.batches(len(split), config.evaluation.batch_size))
    shares, find = _compile_segment(segmenter, settings, config.evaluation.batch_size)
    variables = shares.replicate(jax.device_get(variables))
    for rows, count in tqdm(batches, desc="finding lungs", unit="batch", delay=2):
        found = find(variables, shares.spread(split.images[rows]))
        lungs, sure = shares.gather((found.lungs, found.confidence))
        masks[rows[:count]], confidence[rows[:count]] = lungs[:count], sure[:count]
    return Lungs(masks, confidence, masks.any((1, 2)))


@cache
def _compile_segment(
    segmenter: views.Network, settings: views.Settings, batch_size: int
) -> tuple[devices.Shares, Callable[[Any, Any], Any]]:
    """`pipeline.segment` of spread batches, compiled once for all splits."""
    shares = devices.Shares(batch_size)
    return shares, shares.compile(lambda variables, images: pipeline.segment(segmenter, variables, images, settings))


def _validation(config: ConfigDict, classifier: views.Network, split: data.Split, lungs: Lungs) -> Any:
    """Scores of the vote of all windows, or of a few patches drawn from each radiograph's own key: always the same."""
    classes = tuple(config.classifier.classes)
    truth = data.index_labels(split, classes)
    settings = networks.settings(config, config.patches.validation_count)
    shares = devices.Shares(len(split))
    held = shares.spread((split.images, lungs.masks, lungs.confidence, split.names))

    @shares.compile
    def vote(variables: Mapping[str, Any], held: Any) -> voting.Vote:
        *radiographs, names = held
        prepared = models.prepare(variables)

        def one(radiograph: tuple[Array, Array | None, Array | None, Array]) -> voting.Vote:
            looks = pipeline.classify(classifier, prepared, *radiograph, settings)
            return voting.count_votes(looks.logits, settings.voting_rule, looks.counted)

        return jax.lax.map(one, (*radiographs, pipeline.radiograph_keys(config.seed, names)))

    def validate(variables: Mapping[str, Any]) -> dict[str, float]:
        votes = shares.gather(vote(shares.replicate(variables), held))
        findings = [
            classes[i] if there else metrics.NO_FINDING for i, there in zip(votes.finding, lungs.found, strict=True)
        ]
        scores = metrics.classification_metrics(split.labels, findings, votes.probabilities, classes)
        of_truth = np.take_along_axis(votes.probabilities, truth[:, None], axis=1)[lungs.found]
        likelihood = float(np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())
        return {
            "macro_f1": scores["macro"]["f1"],
            "macro_auroc": np.nan if scores["macro"]["auroc"] is None else scores["macro"]["auroc"],
            "accuracy": scores["accuracy"],
            "loss": -likelihood,
        }

    return validate
