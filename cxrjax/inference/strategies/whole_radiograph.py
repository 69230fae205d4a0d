"""The whole radiograph, or its middle, as the only patch (Oh et al. 2020, II-C: "global"); `patches.mode="global"`."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float32, Int, Int32, Key, UInt8

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
    """Cut a square out of the radiograph by `settings.center_crop`, and resize it to the classifier's input.

    The square is the middle of the radiograph; of an augmented example it is at a random position.
    """
    pixels = contrast.enhance_channels(inputs.mask_lungs(radiograph, settings), settings.channels)
    side = measure_window(len(pixels), settings)
    center, window = _cut_window(pixels, radiograph.key, side, anywhere=augmented)
    return PatchSample(inputs.downsample(window[None], classifier.input_size), center[None], jnp.ones(1, bool))


def saliency(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    predictions: PatchPredictions,
    label: Int[Array, ""],
    settings: InferenceConfig,
) -> Float32[Array, "s s"]:
    """Enlarge the class activation map, weighted by the probability, to the pixels that the classifier sees."""
    activations, weights = patch_classifier.activation_maps(classifier, variables, predictions, label, settings)
    side = measure_window(len(image), settings)
    return cam.probability_weighted_map(activations, weights, predictions.centers, side, image.shape, settings.scaling)


def receptive_mask(
    classifier: ModelSpec, image: UInt8[Array, "s s"], sampled: PatchSample, settings: InferenceConfig
) -> Bool[Array, "s s"]:
    """Return the pixels of the radiograph, or of its middle, that the classifier sees."""
    side = measure_window(len(image), settings)
    return patches.paste(jnp.ones((1, side, side)), sampled.centers, image.shape) > 0


def measure_window(size: int, settings: InferenceConfig) -> int:
    """Return the side, in pixels and at least 1, of the part of a radiograph that the classifier sees."""
    return max(1, round(size * (1 - settings.center_crop)))


def _cut_window(
    image: UInt8[Array, "s s *c"], key: Key[Array, ""], side: int, anywhere: Bool[Array, ""] | bool
) -> tuple[Int32[Array, "2"], UInt8[Array, "{side} {side} *c"]]:
    """Cut a square of `side` pixels out of an image, from the middle or at a random position.

    Returns:
        Its center, which is the pixel (side // 2, side // 2) of the square; and the square.
    """
    middle = (len(image) - side) // 2
    if anywhere is False or side == len(image):
        return jnp.full(2, middle + side // 2, jnp.int32), image[middle : middle + side, middle : middle + side]
    corner = jnp.where(anywhere, jax.random.randint(key, (2,), 0, len(image) - side + 1), middle)
    channels = image.shape[2:]
    start = [*corner, *[0] * len(channels)]
    return corner + side // 2, lax.dynamic_slice(image, start, (side, side, *channels))


def describe(patch_size: int, settings: InferenceConfig) -> InputDescription:
    """Return the phrases of a report; see `PatchStrategy.describe`."""
    if settings.center_crop:
        part = f"the middle of the radiograph, {1 - settings.center_crop:.2%} of its side,"
    else:
        part = "the whole radiograph"
    return InputDescription(pixels=f"{part} at {patch_size} pixels", voters="", map_unit="radiograph")


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
        "one patch: the radiograph, or its middle of round((1 - center_crop) x image size) pixels per side, resized to "
        "size as for the segmenter"
    ),
)
