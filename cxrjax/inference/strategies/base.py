"""Functions that a patch strategy consists of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float32, Int, UInt8

from cxrjax.inference.inputs import PatchPredictions, PatchSample, SegmentedRadiograph
from cxrjax.models.spec import InferenceConfig, ModelSpec


class InputDescription(NamedTuple):
    """Phrases of a report on what a classifier reads."""

    pixels: str  # with their size, as "100 patches of 224 pixels with their centers in the lungs"
    voters: str  # what votes, as "100 patches"; "" where there is one prediction per radiograph
    map_unit: str  # what a saliency map is composed of, as "patches"


class PatchStrategy(NamedTuple):
    """Pure functions that define what the classifier reads of a radiograph and how its outputs are mapped back.

    All but `classify` take a single radiograph, and are mapped over a batch with `jax.vmap` or `jax.lax.map`.

    Fields:
        sample: (classifier, `SegmentedRadiograph`, settings) -> `PatchSample`.
        sample_training: Takes the arguments of `sample`, and `augmented`, whether the training example is augmented
            (bool, may be traced). Returns the `PatchSample` of one patch, where `settings.num_patches` is 1.
        classify: (classifier, variables, pixels of one or several radiographs along one flat axis, settings) -> logits
            and last feature maps.
        saliency: (classifier, variables, image, `PatchPredictions`, class index, settings) -> saliency map in 0..1.
        receptive_mask: (classifier, image, `PatchSample`, settings) -> the pixels that the classifier's head sees.
        mean_features: (classifier, image, `PatchPredictions`) -> the feature maps averaged over the votes.
        embed_patches: (classifier, image, `PatchPredictions`) -> the feature maps averaged over the cells of a patch.
        describe: (side of a patch in pixels, settings) -> `InputDescription`.
        instructions: How to make the classifier's input, for those who use its exported network without cxrjax.
    """

    sample: Callable[[ModelSpec, SegmentedRadiograph, InferenceConfig], PatchSample]
    sample_training: Callable[[ModelSpec, SegmentedRadiograph, InferenceConfig, Bool[Array, ""] | bool], PatchSample]
    classify: Callable[
        [ModelSpec, Mapping[str, Any], UInt8[Array, "images side side *c"], InferenceConfig],
        tuple[Float32[Array, "images *windows k"], Float32[Array, "images h w features"]],
    ]
    saliency: Callable[
        [ModelSpec, Mapping[str, Any], UInt8[Array, "s s"], PatchPredictions, Int[Array, ""], InferenceConfig],
        Float32[Array, "s s"],
    ]
    receptive_mask: Callable[[ModelSpec, UInt8[Array, "s s"], PatchSample, InferenceConfig], Bool[Array, "s s"]]
    mean_features: Callable[[ModelSpec, UInt8[Array, "s s"], PatchPredictions], Float32[Array, "c"]]
    embed_patches: Callable[[ModelSpec, UInt8[Array, "s s"], PatchPredictions], Float32[Array, "p c"]]
    describe: Callable[[int, InferenceConfig], InputDescription]
    instructions: str
