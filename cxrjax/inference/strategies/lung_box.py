"""The bounding box of the lungs as the only patch (singhaxn/COVID-19_CXR_AI); `patches.mode="lung_bbox"`."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int, UInt8

from cxrjax.inference import inputs
from cxrjax.inference.inputs import PatchPredictions, PatchSample, SegmentedRadiograph
from cxrjax.inference.strategies import patch_classifier
from cxrjax.inference.strategies.base import InputDescription, PatchStrategy
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import cam, contrast, lung_crop


def sample(
    classifier: ModelSpec,
    radiograph: SegmentedRadiograph,
    settings: InferenceConfig,
    augmented: Bool[Array, ""] | bool = False,
) -> PatchSample:
    """Crop the box of the lungs, or the full image below `settings.min_lung_confidence`, augmented or not.

    Returns:
        The crop in the middle of a black square of the classifier's size, with its proportions; in place of a center,
        the box (see `lung_crop`).
    """
    masked = inputs.mask_lungs(radiograph, settings)
    assert radiograph.lung_mask is not None and radiograph.lung_confidence is not None
    box = lung_crop.box_or_full(
        radiograph.lung_mask, radiograph.lung_confidence, settings.bbox_margin, settings.min_lung_confidence
    )
    # Channels are computed from the box alone, resized to a size that is known at compile time.
    square = contrast.enhance_channels(lung_crop.crop_resize(masked, box, len(masked)), settings.channels)
    return PatchSample(lung_crop.letterbox(square, box, classifier.input_size)[None], box[None], jnp.ones(1, bool))


def saliency(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    predictions: PatchPredictions,
    label: Int[Array, ""],
    settings: InferenceConfig,
) -> Float32[Array, "s s"]:
    """Map the class activation map, weighted by the probability, back to the box; zero outside it."""
    activations, weights = patch_classifier.activation_maps(classifier, variables, predictions, label, settings)
    weighted = weights[:, None, None] * cam.rescale(activations, settings.scaling)
    return lung_crop.uncrop(weighted[0], predictions.centers[0], image.shape)


def receptive_mask(
    classifier: ModelSpec, image: UInt8[Array, "s s"], sampled: PatchSample, settings: InferenceConfig
) -> Bool[Array, "s s"]:
    """Return the pixels of the box."""
    covered = jnp.ones((classifier.patch_size, classifier.patch_size))
    return lung_crop.uncrop(covered, sampled.centers[0], image.shape) > 0


def describe(patch_size: int, settings: InferenceConfig) -> InputDescription:
    """Return the phrases of a report; see `PatchStrategy.describe`."""
    return InputDescription(
        pixels=f"the box of the lungs at {patch_size} pixels (the whole radiograph where they are not certain)",
        voters="",
        map_unit="lungs' box",
    )


STRATEGY = PatchStrategy(
    sample=sample,
    sample_training=sample,
    classify=patch_classifier.classify_patches,
    saliency=saliency,
    receptive_mask=receptive_mask,
    mean_features=patch_classifier.mean_features,
    embed_patches=patch_classifier.embed_patches,
    describe=describe,
    instructions=(
        "one patch: the bounding box of the lungs, with bbox_margin of its sides added on each side, resized to the "
        "radiograph's size, and then, with its proportions, into the middle of a black square of size pixels; the "
        "whole radiograph if the mean lung probability in the mask is not above min_lung_confidence"
    ),
)
