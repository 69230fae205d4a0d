"""The method of Oh et al. 2020: preprocessed radiographs in, class votes and saliency maps out.

`predict` is pure and jitted once over a batch; its stages `segment`, sample, classify and `aggregate` all run on the
device. What the classifier reads of a radiograph is defined by a strategy (`cxrjax.inference.strategies`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float32, Int, Int32, Key, Shaped, UInt8, UInt32

from cxrjax.inference import inputs, ood, strategies
from cxrjax.inference.inputs import PatchPredictions, SegmentedRadiograph
from cxrjax.models import registry
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import batching, lung_masks, voting
from cxrjax.runtime import compilation_cache
from cxrjax.runtime.arrays import AnyArray
from cxrjax.runtime.platform import is_for_cpu

NO_CLASS = -1  # label of a radiograph in which no lungs were found


@compilation_cache.register_pytree
class LungSegmentation(NamedTuple):
    """Lungs and heart in a batch of n radiographs of s x s pixels."""

    lung_mask: Bool[Array, "n s s"]
    label_map: UInt8[Array, "n s s"]  # labels of `lung_masks.STRUCTURES`
    confidence: Float32[Array, "n"]  # in 0..1, mean lung probability inside the lungs; 0 if there are none
    has_lungs: Bool[Array, "n"]  # True without a segmenter


class PatchEmbeddings(NamedTuple):
    """Embeddings of the p patches of one radiograph; for n radiographs, every field has a first axis n."""

    features: Float32[Array, "p c"]  # last feature maps averaged over the cells of each patch
    centers: Int32[Array, "p 2"] | Int32[Array, "1 2 2"]  # see `PatchSample`
    valid: Bool[Array, "p"]  # which patches vote


compilation_cache.register_pytree(PatchEmbeddings)  # as a decorator it would hide the type from type checkers


class Aggregate(NamedTuple):
    """Vote, saliency map and features of one radiograph; for n radiographs, every field has a first axis n."""

    vote: voting.VoteResult
    saliency: Float32[Array, "s s"]  # in 0..1
    features: Float32[Array, "c"]  # mean over the patches that vote
    patch_embeddings: PatchEmbeddings | None
    class_maps: Float32[Array, "k s s"] | None  # in 0..1, maps of all classes


@compilation_cache.register_pytree
class Prediction(NamedTuple):
    """Predictions for a batch of n radiographs of s x s pixels, for k classes."""

    votes: Int32[Array, "n k"]  # zeros where no lungs were found
    probabilities: Float32[Array, "n k"]  # zeros where no lungs were found
    label: Int32[Array, "n"]  # index of the class, or of the most likely finding; or NO_CLASS
    vote_fraction: Float32[Array, "n"]  # fraction of the patches that voted for the label
    saliency: Float32[Array, "n s s"]  # in 0..1, map of the label, or of the class that the settings name
    lung_mask: Bool[Array, "n s s"]  # False everywhere without a segmenter
    label_map: UInt8[Array, "n s s"]  # labels of `lung_masks.STRUCTURES`; zeros without a segmenter
    lung_confidence: Float32[Array, "n"]  # in 0..1; NaN without a segmenter
    expected_entropy: Float32[Array, "n"]  # in nats, see `voting.VoteResult`; 0 where no lungs were found
    mutual_information: Float32[Array, "n"]  # in nats, see `voting.VoteResult`; 0 where no lungs were found
    ood_statistics: ood.OODStatistics  # for the decision whether the image is an upright frontal chest radiograph
    patch_embeddings: PatchEmbeddings | None = None  # None without `InferenceConfig.with_embeddings`
    class_maps: Float32[Array, "n k s s"] | None = None  # in 0..1; None without `InferenceConfig.with_class_maps`
    num_patches: Int32[Array, "n"] | None = None  # that voted on the findings; None for one label per radiograph


@partial(jax.jit, static_argnames=("segmenter", "settings"))
def segment(
    segmenter: ModelSpec, variables: Mapping[str, Any], images: UInt8[Array, "n s s"], settings: InferenceConfig
) -> LungSegmentation:
    """Segment the lungs (section II-B): resize, segment, clean the mask, and resize it to the radiograph.

    Args:
        segmenter: Network with the labels of `lung_masks.STRUCTURES`.
        variables: Its parameters and statistics.
        images: Preprocessed radiographs.
        settings: Thresholds of the lung mask.
    """
    levels = inputs.to_float(inputs.downsample(images, segmenter.patch_size))
    folded, x = inputs.prepare(segmenter, variables, levels)
    log_probabilities: Any = segmenter.module.apply(folded, x, train=False)
    probability = lung_masks.lung_probability(log_probabilities)  # [n, h, w]
    rough = probability > 0.5
    clean = jax.vmap(partial(lung_masks.postprocess_mask, min_component_area=settings.min_component_area))(rough)
    # The smooth probability is enlarged, not the small mask. Pixels that cleaning changed get probability 0 or 1.
    certain = jnp.where(clean, jnp.where(rough, probability, 1.0), jnp.where(rough, 0.0, probability))
    _, heart, left, right = jnp.moveaxis(jnp.exp(log_probabilities), -1, 0)
    lung, heart, side = jax.image.resize(jnp.stack([certain, heart, right - left]), (3, *images.shape), "linear")
    lung_mask = lung > 0.5
    has_lungs = lung_mask.mean((1, 2)) >= settings.min_lung_area
    lung_mask &= has_lungs[:, None, None]
    label_map = jnp.where(lung_mask, lung_masks.LUNGS[0] + (side > 0), heart > 0.5)
    confidence = (probability * clean).sum((1, 2)) / jnp.maximum(clean.sum((1, 2)), 1)
    return LungSegmentation(
        lung_mask=lung_mask,
        label_map=label_map.astype(jnp.uint8),
        confidence=jnp.where(has_lungs, confidence, 0),
        has_lungs=has_lungs,
    )


def segment_or_skip(
    segmenter: ModelSpec | None, variables: Mapping[str, Any], images: UInt8[Array, "n s s"], settings: InferenceConfig
) -> LungSegmentation:
    """Segment the lungs, or return an empty segmentation if there is no segmenter.

    Args:
        segmenter: Network with the labels of `lung_masks.STRUCTURES`; None for a classifier that requires no lungs.
        variables: `{"segmenter": ...}`, its parameters and statistics; not read without a segmenter.
        images: Preprocessed radiographs.
        settings: See `segment`.

    Raises:
        ValueError: There is no segmenter, and `settings` requires a segmentation.
    """
    if segmenter is not None:
        return segment(segmenter, variables["segmenter"], images, settings)
    if settings.requires_segmentation:
        raise ValueError("without a segmenter, patches.mode has to be 'global' and patches.mask_lungs False")
    empty_mask = jnp.zeros(images.shape, bool)
    return LungSegmentation(
        lung_mask=empty_mask,
        label_map=empty_mask.astype(jnp.uint8),
        confidence=jnp.full(len(images), jnp.nan),
        has_lungs=jnp.ones(len(images), bool),
    )


@partial(jax.jit, static_argnames=("segmenter", "classifier", "settings"))
def predict(
    segmenter: ModelSpec | None,
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    images: UInt8[Array, "n s s"],
    keys: Key[Array, "n"],
    settings: InferenceConfig,
) -> Prediction:
    """Segment the lungs, vote on their class, and compute the saliency map (sections II-B to II-D).

    The prediction for a radiograph depends on its pixels and its key, not on the other radiographs of the batch.

    Args:
        segmenter: See `segment_or_skip`.
        classifier: Network with k classes; its size is that of a patch.
        variables: `{"segmenter": ..., "classifier": ...}`, parameters and statistics of both networks.
        images: Preprocessed radiographs; of 1024 pixels per side in the paper.
        keys: Random keys, one per radiograph (see `image_keys`).
        settings: Select the patches, their aggregation and the thresholds of the lung mask.
    """
    segmentation = segment_or_skip(segmenter, variables, images, settings)
    return predict_from_masks(classifier, variables["classifier"], images, segmentation, keys, settings)


def predict_from_masks(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    images: UInt8[Array, "n s s"],
    segmentation: LungSegmentation,
    keys: Key[Array, "n"],
    settings: InferenceConfig,
) -> Prediction:
    """Classify radiographs whose lungs are segmented; see `predict`. The variables are those of the classifier."""
    prepared = registry.precompute_kernels(variables)

    def aggregate_one(image: UInt8[Array, "s s"], predictions: PatchPredictions) -> Aggregate:
        return aggregate(classifier, prepared, image, predictions, settings)

    radiographs = SegmentedRadiograph(images, segmentation.lung_mask, segmentation.confidence, keys)
    aggregated = predict_each(classifier, prepared, radiographs, settings, aggregate_one)
    return to_prediction(images, segmentation, aggregated)


def predict_each(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    radiographs: SegmentedRadiograph,
    settings: InferenceConfig,
    aggregate_one: Callable[[UInt8[Array, "s s"], PatchPredictions], Any],
    max_images: int | None = None,
) -> Any:
    """Sample and classify the patches of n radiographs, and aggregate them per radiograph.

    On a CPU the radiographs are processed one after the other, so that intermediate arrays stay in the cache. On an
    accelerator the patches of all radiographs form one flat axis, of which n times `settings.patch_batch_size` are
    classified at once.

    Args:
        classifier: Network with k classes.
        variables: Its parameters and statistics, of `registry.precompute_kernels`.
        radiographs: With a first axis n.
        settings: Select the strategy and its parameters.
        aggregate_one: (image, `PatchPredictions`) -> arrays.
        max_images: Maximum number of radiographs whose patches form one batch, which bounds the memory of an
            accelerator; None for n.

    Returns:
        The outputs of `aggregate_one`, with a first axis n.
    """
    total = len(radiographs.image)
    if is_for_cpu():
        return lax.map(
            lambda radiograph: aggregate_one(
                radiograph.image, classify_image(classifier, variables, radiograph, settings)
            ),
            radiographs,
        )
    if max_images is None or total <= max_images:
        return _predict_batch(classifier, variables, radiographs, settings, aggregate_one)

    def run(rows: Int32[Array, "rows"]) -> Any:
        selected = jax.tree.map(lambda x: x[rows], radiographs)
        return _predict_batch(classifier, variables, selected, settings, aggregate_one)

    count = -(-total // max_images)
    rows = jnp.minimum(jnp.arange(count * max_images), total - 1).reshape(count, max_images)
    return batching.merge_batch(lax.map(run, rows), total)


def vote_each(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    radiographs: SegmentedRadiograph,
    settings: InferenceConfig,
    max_images: int | None = None,
) -> voting.VoteResult:
    """Return the votes of the patches of n radiographs, without their saliency maps.

    The arguments are those of `predict_each`; `variables` need not be of `registry.precompute_kernels`.
    """

    def count_votes(_: UInt8[Array, "s s"], predictions: PatchPredictions) -> voting.VoteResult:
        return voting.count(predictions.logits, settings.targets, settings.aggregation, predictions.valid)

    prepared = registry.precompute_kernels(variables)
    return predict_each(classifier, prepared, radiographs, settings, count_votes, max_images)


def _predict_batch(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    radiographs: SegmentedRadiograph,
    settings: InferenceConfig,
    aggregate_one: Callable[[UInt8[Array, "s s"], PatchPredictions], Any],
) -> Any:
    """Run `predict_each` with the patches of all radiographs along one flat axis."""
    total = len(radiographs.image)
    strategy = strategies.choose(settings.patch_mode)
    batched = settings._replace(patch_batch_size=total * settings.patch_batch_size)
    sampled = jax.vmap(lambda radiograph: strategy.sample(classifier, radiograph, settings))(radiographs)
    pixels = sampled.pixels.reshape(-1, *sampled.pixels.shape[2:])
    logits, features = strategy.classify(classifier, variables, pixels, batched)
    predictions = PatchPredictions(
        centers=sampled.centers,
        logits=logits.reshape(total, -1, logits.shape[-1]),
        features=features.reshape(total, -1, *features.shape[1:]),
        valid=sampled.valid,
    )
    return jax.vmap(aggregate_one)(radiographs.image, predictions)


def classify_image(
    classifier: ModelSpec, variables: Mapping[str, Any], radiograph: SegmentedRadiograph, settings: InferenceConfig
) -> PatchPredictions:
    """Sample the patches of one radiograph and classify them (section II-C).

    Args:
        classifier: Network with k classes.
        variables: Its parameters and statistics.
        radiograph: If its lung mask is empty, the patches contain nothing and the caller must not count them.
        settings: Selects the strategy and its parameters.
    """
    strategy = strategies.choose(settings.patch_mode)
    sampled = strategy.sample(classifier, radiograph, settings)
    logits, features = strategy.classify(classifier, variables, sampled.pixels, settings)
    return PatchPredictions(sampled.centers, logits.reshape(-1, logits.shape[-1]), features, sampled.valid)


def saliency_map(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    predictions: PatchPredictions,
    label: Int[Array, ""],
    settings: InferenceConfig,
) -> Float32[Array, "s s"]:
    """Compute the saliency map of a class in one radiograph (section II-D).

    Args:
        classifier: Network with k classes.
        variables: Its parameters and statistics.
        image: Preprocessed radiograph.
        predictions: Of `classify_image` with the same network, variables and settings.
        label: Index of the class.
        settings: Selects the strategy and its parameters.

    Returns:
        The map, in 0..1.
    """
    return strategies.choose(settings.patch_mode).saliency(classifier, variables, image, predictions, label, settings)


def receptive_mask(
    classifier: ModelSpec, radiograph: SegmentedRadiograph, settings: InferenceConfig
) -> Bool[Array, "s s"]:
    """Return the pixels that the classifier's head sees in `classify_image` with the same arguments."""
    strategy = strategies.choose(settings.patch_mode)
    sampled = strategy.sample(classifier, radiograph, settings)
    return strategy.receptive_mask(classifier, radiograph.image, sampled, settings)


def aggregate(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    predictions: PatchPredictions,
    settings: InferenceConfig,
) -> Aggregate:
    """Aggregate the patches of one radiograph.

    The saliency map is that of the winning class, or of `settings.saliency_class`.
    """
    strategy = strategies.choose(settings.patch_mode)
    vote = voting.count(predictions.logits, settings.targets, settings.aggregation, predictions.valid)
    label = vote.label if settings.saliency_class is None else jnp.asarray(settings.saliency_class, vote.label.dtype)
    embeddings = None
    if settings.with_embeddings:
        features = strategy.embed_patches(classifier, image, predictions)
        embeddings = PatchEmbeddings(features, predictions.centers, predictions.valid)

    def saliency_of(label: Int32[Array, ""]) -> Float32[Array, "s s"]:
        return strategy.saliency(classifier, variables, image, predictions, label, settings)

    num_classes = predictions.logits.shape[-1]
    return Aggregate(
        vote=vote,
        saliency=saliency_of(label),
        features=strategy.mean_features(classifier, image, predictions),
        patch_embeddings=embeddings,
        class_maps=lax.map(saliency_of, jnp.arange(num_classes)) if settings.with_class_maps else None,
    )


def to_prediction(images: UInt8[Array, "n s s"], segmentation: LungSegmentation, aggregated: Aggregate) -> Prediction:
    """Assemble the `Prediction` for radiographs from their lungs and the outputs of `aggregate`."""
    vote = aggregated.vote
    has_lungs = segmentation.has_lungs

    def zero_without_lungs(x: Shaped[Array, "n *rest"]) -> Shaped[Array, "n *rest"]:
        return jnp.where(has_lungs.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.zeros_like(x))

    return Prediction(
        votes=zero_without_lungs(vote.votes),
        probabilities=zero_without_lungs(vote.probabilities),
        label=jnp.where(has_lungs, vote.label, NO_CLASS),
        vote_fraction=zero_without_lungs(vote.vote_fraction),
        saliency=zero_without_lungs(aggregated.saliency),
        lung_mask=segmentation.lung_mask,
        label_map=segmentation.label_map,
        lung_confidence=segmentation.confidence,
        expected_entropy=zero_without_lungs(vote.expected_entropy),
        mutual_information=zero_without_lungs(vote.mutual_information),
        ood_statistics=ood.ood_statistics(
            images,
            segmentation.lung_mask,
            segmentation.label_map,
            segmentation.confidence,
            zero_without_lungs(aggregated.features),
        ),
        patch_embeddings=aggregated.patch_embeddings,
        class_maps=None if aggregated.class_maps is None else zero_without_lungs(aggregated.class_maps),
        num_patches=None if vote.num_patches is None else zero_without_lungs(vote.num_patches),
    )


def image_keys(seed: int, image_ids: UInt32[AnyArray, "n"]) -> Key[Array, "n"]:
    """Return one random key per radiograph: the seed folded with its id of `batch.hash_images`."""
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(image_ids)
