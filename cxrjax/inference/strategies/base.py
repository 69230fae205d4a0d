"""Functions that a patch strategy consists of."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax import Array

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
    S is the side of a radiograph in pixels, N the number of votes, K the number of classes.

    Fields:
        sample: (classifier, `SegmentedRadiograph`, settings) -> `PatchSample`.
        sample_training: Takes the arguments of `sample`, and `augmented`, whether the training example is augmented
            (bool, may be traced). Returns the `PatchSample` of one patch, where `settings.num_patches` is 1.
        classify: (classifier, variables, pixels [P, ...] of one or several radiographs along one flat axis, settings)
            -> logits float32 [P, ..., K] and last feature maps float32 [P, h, w, C].
        saliency: (classifier, variables, image uint8 [S, S], `PatchPredictions`, class index, settings) -> saliency
            map float32 [S, S] in 0..1.
        receptive_mask: (classifier, image uint8 [S, S], `PatchSample`, settings) -> bool [S, S], the pixels that the
            classifier's head sees.
        mean_features: (classifier, image uint8 [S, S], `PatchPredictions`) -> float32 [C], the feature maps averaged
            over the votes.
        embed_patches: (classifier, image uint8 [S, S], `PatchPredictions`) -> float32 [N, C], the feature maps averaged
            over the cells of each patch.
        describe: (side of a patch in pixels, settings) -> `InputDescription`.
        instructions: How to make the classifier's input, for those who use its exported network without cxrjax.
    """

    sample: Callable[[ModelSpec, SegmentedRadiograph, InferenceConfig], PatchSample]
    sample_training: Callable[[ModelSpec, SegmentedRadiograph, InferenceConfig, Array | bool], PatchSample]
    classify: Callable[[ModelSpec, Mapping[str, Any], Array, InferenceConfig], tuple[Array, Array]]
    saliency: Callable[[ModelSpec, Mapping[str, Any], Array, PatchPredictions, Array, InferenceConfig], Array]
    receptive_mask: Callable[[ModelSpec, Array, PatchSample, InferenceConfig], Array]
    mean_features: Callable[[ModelSpec, Array, PatchPredictions], Array]
    embed_patches: Callable[[ModelSpec, Array, PatchPredictions], Array]
    describe: Callable[[int, InferenceConfig], InputDescription]
    instructions: str
