"""The method of Oh et al. 2020 as one function: standardised radiographs in, findings with votes and maps out.

`diagnose` is pure and jitted once over a batch; nothing returns to the host between its stages.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.inference import inputs, ood, strategies
from cxrjax.inference.inputs import PatchPredictions
from cxrjax.models import registry
from cxrjax.models.cpu import microbatch
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import lung_masks, voting
from cxrjax.runtime import compilation_cache
from cxrjax.runtime.platform import is_for_cpu

NO_CLASS = -1  # the finding of a radiograph in which no lungs were found


@compilation_cache.register_pytree
class LungSegmentation(NamedTuple):
    """The lungs and the heart in a batch of radiographs of S² pixels."""

    lungs: Array  # bool [B, S, S]
    structures: Array  # uint8 [B, S, S], labels of `lung_masks.STRUCTURES`
    confidence: Array  # float32 [B] in 0..1, mean lung probability inside the lungs; 0 where there are none
    found: Array  # bool [B]; where none were looked for, true


@compilation_cache.register_pytree
class Prediction(NamedTuple):
    """What is found in a batch of radiographs of S² pixels, for K classes."""

    votes: Array  # int32 [B, K]; zeros where no lungs were found
    probabilities: Array  # float32 [B, K]; zeros where no lungs were found
    finding: Array  # int32 [B], index of the class, or NO_CLASS
    agreement: Array  # float32 [B], share of the patches that voted for the finding
    map: Array  # float32 [B, S, S] in 0..1, where the finding was seen
    mask: Array  # bool [B, S, S], the lungs; false throughout where none were looked for
    lung_confidence: Array  # float32 [B] in 0..1; NaN where none were looked for
    entropy_within: Array  # float32 [B] in nats, of `voting.Vote`; 0 where no lungs were found
    entropy_between: Array  # float32 [B] in nats, likewise
    evidence: ood.OODStatistics  # of whether it is an upright frontal chest radiograph at all


@partial(jax.jit, static_argnames=("segmenter", "settings"))
def segment(
    segmenter: ModelSpec, variables: Mapping[str, Any], images: Array, settings: InferenceConfig
) -> LungSegmentation:
    """Find the lungs (section II-B): shrink, segment, clean the mask, and bring it back to the radiograph's size.

    Args:
        segmenter: network with the labels of `lung_masks.STRUCTURES`.
        variables: its parameters and statistics.
        images: uint8 [B, S, S], standardised.
        settings: see Settings.

    Returns:
        The Segmentation.
    """
    x = inputs.normalize(inputs.to_float(inputs.downsample(images, segmenter.patch_size)), segmenter)
    log_probabilities = segmenter.module.apply(variables, x, train=False)
    probability = lung_masks.lung_probability(log_probabilities)  # [B, s, s]
    rough = probability > 0.5
    clean = jax.vmap(partial(lung_masks.postprocess_mask, min_component_area=settings.smallest_part))(rough)
    # Not the mask of few pixels but the smooth probability is enlarged; what cleaning changed counts as certain.
    certain = jnp.where(clean, jnp.where(rough, probability, 1.0), jnp.where(rough, 0.0, probability))
    _, heart, left, right = jnp.moveaxis(jnp.exp(log_probabilities), -1, 0)
    lung, heart, side = jax.image.resize(jnp.stack([certain, heart, right - left]), (3, *images.shape), "linear")
    lungs = lung > 0.5
    found = lungs.mean((1, 2)) >= settings.smallest_lungs
    lungs &= found[:, None, None]
    structures = jnp.where(lungs, lung_masks.LUNGS[0] + (side > 0), heart > 0.5)
    confidence = (probability * clean).sum((1, 2)) / jnp.maximum(clean.sum((1, 2)), 1)
    return LungSegmentation(lungs, structures.astype(jnp.uint8), jnp.where(found, confidence, 0), found)


def segment_or_skip(
    segmenter: ModelSpec | None, variables: Mapping[str, Any], images: Array, settings: InferenceConfig
) -> LungSegmentation:
    """`segment`; or, without a segmenter, the Segmentation of radiographs in which no lungs are looked for.

    Args:
        segmenter: network with the labels of `lung_masks.STRUCTURES`; or None, for a finding that needs no lungs.
        variables: `{"segmenter": …}`, its parameters and statistics, where there is one.
        images: uint8 [B, S, S], standardised.
        settings: see Settings.

    Raises:
        ValueError: there is no segmenter, and `settings` needs lungs.
    """
    if segmenter is not None:
        return segment(segmenter, variables["segmenter"], images, settings)
    if settings.needs_lungs:
        raise ValueError("without a segmenter, patches.mode has to be 'global' and patches.masked False")
    nowhere, each = jnp.zeros(images.shape, bool), images.shape[:1]
    return LungSegmentation(nowhere, nowhere.astype(jnp.uint8), jnp.full(each, jnp.nan), jnp.ones(each, bool))


@partial(jax.jit, static_argnames=("segmenter", "classifier", "settings"))
def predict(
    segmenter: ModelSpec | None,
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    images: Array,
    keys: Array,
    settings: InferenceConfig,
) -> Prediction:
    """Find the lungs, vote on what is in them, and show where it was seen (sections II-B to II-D).

    A radiograph's result depends on itself and its key alone, not on its batch.

    Args:
        segmenter: see `find_lungs`.
        classifier: network with K classes; its size is that of a patch.
        variables: `{"segmenter": …, "classifier": …}`, parameters and statistics of both.
        images: uint8 [B, S, S], standardised; S = 1024 in the paper.
        keys: random keys [B], one a radiograph.
        settings: see Settings.

    Returns:
        The Diagnosis.
    """
    segmentation = segment_or_skip(segmenter, variables, images, settings)
    return predict_from_masks(classifier, variables["classifier"], images, segmentation, keys, settings)


def predict_from_masks(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    images: Array,
    segmentation: LungSegmentation,
    keys: Array,
    settings: InferenceConfig,
) -> Prediction:
    """`diagnose` of lungs that are found; the variables are the classifier's."""
    prepared = registry.precompute_kernels(variables)

    def conclude(image: Array, looks: PatchPredictions) -> tuple[voting.VoteResult, Array, Array]:
        return aggregate(classifier, prepared, image, looks, settings)

    radiographs = (images, segmentation.lungs, segmentation.confidence, keys)
    return to_prediction(images, segmentation, predict_each(classifier, prepared, radiographs, settings, conclude))


def predict_each(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    radiographs: tuple[Array, Array | None, Array | None, Array],
    settings: InferenceConfig,
    conclude: Callable[[Array, PatchPredictions], Any],
    together: int | None = None,
) -> Any:
    """Classify the patches of B radiographs, and draw a conclusion from those of each.

    On a CPU one radiograph follows the other, so that what is made of it stays in the cache. On an accelerator the
    patches of all are one batch, B times `settings.patch_chunk` of them at once.

    Args:
        classifier: see `diagnose`.
        variables: its parameters and statistics, of `registry.prepare`.
        radiographs: images, lungs, confidence and keys of `classify`, each with a first axis B.
        settings: see Settings.
        conclude: (image uint8 [S, S], Looks) -> arrays.
        together: the most radiographs whose patches are one batch, which bounds the memory of an accelerator; None: B.

    Returns:
        The conclusions, arrays with a first axis B.
    """
    total = len(radiographs[0])
    if is_for_cpu():
        return lax.map(lambda one: conclude(one[0], classify_image(classifier, variables, *one, settings)), radiographs)
    if together is None or total <= together:
        return _predict_batch(classifier, variables, radiographs, settings, conclude)

    def run(rows: Array) -> Any:
        some = jax.tree.map(lambda x: x[rows], radiographs)
        return _predict_batch(classifier, variables, some, settings, conclude)

    count = -(-total // together)
    rows = jnp.minimum(jnp.arange(count * together), total - 1).reshape(count, together)
    return microbatch.merge_batch(lax.map(run, rows), total)


def _predict_batch(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    radiographs: tuple[Array, Array | None, Array | None, Array],
    settings: InferenceConfig,
    conclude: Callable[[Array, PatchPredictions], Any],
) -> Any:
    """`predict_each` with the patches of all radiographs along one flat axis."""
    images = radiographs[0]
    total = len(images)
    strategy = strategies.choose(settings.mode)
    sampled = jax.vmap(partial(strategy.sample, classifier, settings=settings))(*radiographs)
    batched = settings._replace(patch_chunk=total * settings.patch_chunk)
    pixels = sampled.pixels.reshape(-1, *sampled.pixels.shape[2:])
    logits, features = strategy.classify(classifier, variables, pixels, batched)
    predictions = PatchPredictions(
        centers=sampled.centers,
        logits=logits.reshape(total, -1, logits.shape[-1]),
        features=features.reshape(total, -1, *features.shape[1:]),
        valid=sampled.valid,
    )
    return jax.vmap(conclude)(images, predictions)


def classify_image(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: Array,
    lungs: Array | None,
    confidence: Array | None,
    key: Array,
    settings: InferenceConfig,
) -> PatchPredictions:
    """Sample the patches of one radiograph and classify them (section II-C).

    Args:
        classifier: Network with K classes.
        variables: Its parameters and statistics.
        image: uint8 [S, S].
        lungs: Lung mask bool [S, S]. If it is empty, the patches contain nothing and the caller must not count them.
            May be None where `settings` requires no lungs.
        confidence: Lung confidence in 0..1; None if `lungs` is None.
        key: Random key of the radiograph.
        settings: Selects the strategy and its parameters.
    """
    strategy = strategies.choose(settings.mode)
    sampled = strategy.sample(classifier, image, lungs, confidence, key, settings)
    logits, features = strategy.classify(classifier, variables, sampled.pixels, settings)
    return PatchPredictions(sampled.centers, logits.reshape(-1, logits.shape[-1]), features, sampled.valid)


def saliency_map(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: Array,
    predictions: PatchPredictions,
    label: Array,
    settings: InferenceConfig,
) -> Array:
    """Compute the saliency map of a class in one radiograph (section II-D).

    Args:
        classifier: Network with K classes.
        variables: Its parameters and statistics.
        image: uint8 [S, S].
        predictions: Of `classify_image` with the same network, variables and settings.
        label: int32, index of the class.
        settings: Selects the strategy and its parameters.

    Returns:
        The map float32 [S, S] in 0..1.
    """
    return strategies.choose(settings.mode).saliency(classifier, variables, image, predictions, label, settings)


def receptive_mask(
    classifier: ModelSpec,
    image: Array,
    lungs: Array | None,
    confidence: Array | None,
    key: Array,
    settings: InferenceConfig,
) -> Array:
    """Return the pixels that the classifier's head sees in `classify_image` with the same arguments: bool [S, S]."""
    strategy = strategies.choose(settings.mode)
    sampled = strategy.sample(classifier, image, lungs, confidence, key, settings)
    return strategy.receptive_mask(classifier, image, sampled, settings)


def aggregate(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: Array,
    predictions: PatchPredictions,
    settings: InferenceConfig,
) -> tuple[voting.VoteResult, Array, Array]:
    """Aggregate the patches of one radiograph uint8 [S, S].

    Returns:
        The vote, the saliency map of the winning class [S, S] and the mean features [C].
    """
    strategy = strategies.choose(settings.mode)
    vote = voting.count_votes(predictions.logits, settings.voting_rule, predictions.valid)
    saliency = strategy.saliency(classifier, variables, image, predictions, vote.finding, settings)
    return vote, saliency, strategy.mean_features(classifier, image, predictions)


def to_prediction(
    images: Array, segmentation: LungSegmentation, told: tuple[voting.VoteResult, Array, Array]
) -> Prediction:
    """The Diagnosis of radiographs uint8 [B, S, S] of their lungs and of what `tell` says of each."""
    vote, maps, features = told
    found = segmentation.found

    def blank(x: Array) -> Array:
        return jnp.where(found.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.zeros_like(x))

    return Prediction(
        votes=blank(vote.votes),
        probabilities=blank(vote.probabilities),
        finding=jnp.where(found, vote.finding, NO_CLASS),
        agreement=blank(vote.agreement),
        map=blank(maps),
        mask=segmentation.lungs,
        lung_confidence=segmentation.confidence,
        entropy_within=blank(vote.entropy_within),
        entropy_between=blank(vote.entropy_between),
        evidence=ood.ood_statistics(
            images, segmentation.lungs, segmentation.structures, segmentation.confidence, blank(features)
        ),
    )


def image_keys(seed: int, image_ids: Array) -> Array:
    """Return one random key per radiograph, the seed folded with `batch.hash_images`: uint32 [B] -> keys [B]."""
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(image_ids)
