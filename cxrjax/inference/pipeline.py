"""The method of Oh et al. 2020 as one function: standardised radiographs in, findings with votes and maps out.

`diagnose` is pure and jitted once over a batch; nothing returns to the host between its stages.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.inference import dense, inputs, ood
from cxrjax.inference.inputs import PatchPredictions
from cxrjax.models import registry
from cxrjax.models.cpu import microbatch
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import cam, lung_crop, lung_masks, voting
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
    x = inputs.normalize(inputs.to_float(inputs.downsample(images, segmenter.size)), segmenter)
    log_probabilities = segmenter.module.apply(variables, x, train=False)
    probability = lung_masks.lung_probability(log_probabilities)  # [B, s, s]
    rough = probability > 0.5
    clean = jax.vmap(partial(lung_masks.postprocess_mask, smallest_part=settings.smallest_part))(rough)
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
        return _classify_together(classifier, variables, radiographs, settings, conclude)

    def run(rows: Array) -> Any:
        some = jax.tree.map(lambda x: x[rows], radiographs)
        return _classify_together(classifier, variables, some, settings, conclude)

    count = -(-total // together)
    rows = jnp.minimum(jnp.arange(count * together), total - 1).reshape(count, together)
    return microbatch.merge_batch(lax.map(run, rows), total)


def _classify_together(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    radiographs: tuple[Array, Array | None, Array | None, Array],
    settings: InferenceConfig,
    conclude: Callable[[Array, PatchPredictions], Any],
) -> Any:
    """`classify_each` with all patches in one batch."""
    images, lungs, confidence, keys = radiographs
    if settings.mode == "dense":
        run = partial(dense.classify_windows, classifier, variables, settings=settings)
        return jax.vmap(conclude)(images, jax.vmap(run)(images, lungs))
    draw = partial(inputs.sample_patches, size=classifier.side, settings=settings)
    places, crops = jax.vmap(draw)(images, lungs, confidence, keys)
    at_once = settings._replace(patch_chunk=len(images) * settings.patch_chunk)
    seen = classify_patches(classifier, variables, crops.reshape(-1, *crops.shape[2:]), at_once)
    logits, features = jax.tree.map(lambda x: x.reshape(*crops.shape[:2], *x.shape[1:]), seen)
    return jax.vmap(conclude)(images, PatchPredictions(places, logits, features, jnp.ones(crops.shape[:2], bool)))


def classify_image(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: Array,
    lungs: Array | None,
    confidence: Array | None,
    key: Array,
    settings: InferenceConfig,
) -> PatchPredictions:
    """Draw patches in the lungs of one radiograph and classify each (section II-C); or all windows, see `dense`.

    Args:
        classifier: see `diagnose`.
        variables: its parameters and statistics.
        image: uint8 [S, S].
        lungs: bool [S, S]; where empty, the patches show nothing and the caller must not count them. None will do
            where `settings` needs none.
        confidence: float in 0..1, of the lungs; or None beside lungs of None.
        key: the radiograph's random key.
        settings: see Settings.

    Returns:
        The Looks.
    """
    if settings.mode == "dense":
        return dense.classify_windows(classifier, variables, image, lungs, settings)
    places, crops = inputs.sample_patches(image, lungs, confidence, key, classifier.side, settings)
    logits, features = classify_patches(classifier, variables, crops, settings)
    return PatchPredictions(places, logits, features, jnp.ones(len(logits), bool))


def classify_patches(
    classifier: ModelSpec, variables: Mapping[str, Any], crops: Array, settings: InferenceConfig
) -> tuple[Array, Array]:
    """Classify patches of `inputs.draw_patches` [N, …]: logits float32 [N, K], last feature maps [N, h, w, C]."""

    def run(some: Array) -> tuple[Array, Array]:
        features = registry.extract_features(
            classifier.module, variables, inputs.normalize(inputs.to_float(some), classifier)
        )
        return registry.apply_head(classifier.module, variables, features), features

    # As real batches: `lax.map` would have it do them one by one, under `vmap`.
    return microbatch.merge_batch(lax.map(run, microbatch.split_batch(crops, settings.patch_chunk)), len(crops))


def saliency_map(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: Array,
    looks: PatchPredictions,
    finding: Array,
    settings: InferenceConfig,
) -> Array:
    """Where a class was seen in one radiograph (section II-D).

    Args:
        classifier: see `diagnose`.
        variables: its parameters and statistics.
        image: uint8 [S, S].
        looks: of `classify` with the same network, variables and settings.
        finding: int32, index of the class.
        settings: see Settings.

    Returns:
        The map float32 [S, S] in 0..1.
    """
    if settings.mode == "dense":
        return dense.window_saliency(classifier, variables, image, looks, finding, settings.scaling)
    kernel = registry.cam_kernel(classifier.module, variables)
    if kernel is None:
        head = partial(registry.apply_head, classifier.module, variables)
        activations = cam.grad_cam(head, looks.features, finding)
    else:
        activations = cam.class_activation_map(looks.features, kernel, finding)
    weights = jax.nn.softmax(looks.logits)[:, finding]
    if settings.mode == "crop":
        seen = weights[:, None, None] * cam.scale(activations, settings.scaling)
        return lung_crop.uncrop(seen[0], looks.places[0], image.shape)
    side = inputs.patch_extent(classifier, image, settings)
    return cam.probability_weighted_map(activations, weights, looks.places, side, image.shape, settings.scaling)


def receptive_mask(
    classifier: ModelSpec, image: Array, lungs: Array, confidence: Array, key: Array, settings: InferenceConfig
) -> Array:
    """The pixels [S, S] that are shown to the head in `classify`, whose arguments they are: bool [S, S]."""
    if settings.mode == "dense":
        return dense.receptive_mask(classifier, lungs)
    places, _ = inputs.sample_patches(image, lungs, confidence, key, classifier.side, settings)
    return inputs.receptive_mask(classifier, image, places, settings)


def aggregate(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: Array,
    looks: PatchPredictions,
    settings: InferenceConfig,
) -> tuple[voting.VoteResult, Array, Array]:
    """What the Looks at one radiograph uint8 [S, S] say: the vote, the map [S, S] and the mean features [C]."""
    vote = voting.count_votes(looks.logits, settings.voting_rule, looks.counted)
    shown = saliency_map(classifier, variables, image, looks, vote.finding, settings)
    mean = (
        dense.mean_features(classifier, len(image), looks)
        if settings.mode == "dense"
        else looks.features.mean((0, 1, 2))
    )
    return vote, shown, mean


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
