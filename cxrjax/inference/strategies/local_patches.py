"""Random patches whose centers are lung pixels (Oh et al. 2020, section II-C); `patches.mode="local"`."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int, UInt8

from cxrjax.inference import inputs
from cxrjax.inference.inputs import PatchPredictions, PatchSample, SegmentedRadiograph
from cxrjax.inference.strategies import patch_classifier
from cxrjax.inference.strategies.base import InputDescription, PatchStrategy
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import cam, contrast, patches


def sample(
    classifier: ModelSpec,
    radiograph: SegmentedRadiograph,
    settings: InferenceConfig,
    augmented: Bool[Array, ""] | bool = False,
) -> PatchSample:
    """Draw `settings.num_patches` lung pixels with replacement, and crop a patch around each, augmented or not."""
    pixels = contrast.enhance_channels(inputs.mask_lungs(radiograph, settings), settings.channels)
    assert radiograph.lung_mask is not None
    centers = patches.sample_patch_centers(radiograph.key, radiograph.lung_mask, settings.num_patches)
    crops = patches.extract_patches(pixels, centers, classifier.input_size)
    return PatchSample(crops, centers, jnp.ones(len(centers), bool))


def saliency(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    predictions: PatchPredictions,
    label: Int[Array, ""],
    settings: InferenceConfig,
) -> Float32[Array, "s s"]:
    """Compute the probability-weighted map of the patches (section II-D)."""
    activations, weights = patch_classifier.activation_maps(classifier, variables, predictions, label, settings)
    return cam.probability_weighted_map(
        activations, weights, predictions.centers, classifier.patch_size, image.shape, settings.scaling
    )


def receptive_mask(
    classifier: ModelSpec, image: UInt8[Array, "s s"], sampled: PatchSample, settings: InferenceConfig
) -> Bool[Array, "s s"]:
    """Return the pixels that the patches cover, without their context."""
    covered = jnp.ones((len(sampled.centers), classifier.patch_size, classifier.patch_size))
    return patches.paste(covered, sampled.centers, image.shape) > 0


def describe(patch_size: int, settings: InferenceConfig) -> InputDescription:
    """Return the phrases of a report; see `PatchStrategy.describe`."""
    voters = f"{settings.num_patches} patches"
    return InputDescription(
        pixels=f"{voters} of {patch_size} pixels with their centers in the lungs", voters=voters, map_unit="patches"
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
        "draw count pixels of the lungs uniformly, with replacement; crop a square of the classifier's size, which is "
        "that of the patches and context_pixels on each side, around each, with the pixel at (size / 2, size / 2) of "
        "the square and zeros beyond the border of the image"
    ),
)
