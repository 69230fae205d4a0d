"""Classification of square patches and their class activation maps, shared by the strategies that crop patches."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from jax import lax
from jaxtyping import Array, Float32, Int, UInt8

from cxrjax.inference import inputs
from cxrjax.inference.inputs import PatchPredictions
from cxrjax.models import registry
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import batching, cam, voting


def classify_patches(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    crops: UInt8[Array, "p side side *c"],
    settings: InferenceConfig,
) -> tuple[Float32[Array, "p k"], Float32[Array, "p h w features"]]:
    """Classify patches in batches that bound the memory.

    Args:
        classifier: Network with k classes.
        variables: Its parameters and statistics.
        crops: Patches, of gray levels or enhanced channels.
        settings: `settings.patch_batch_size` patches are classified at once; `settings.thresholds` are applied.

    Returns:
        Logits and last feature maps.
    """

    def run(
        batch: UInt8[Array, "size side side *c"],
    ) -> tuple[Float32[Array, "size k"], Float32[Array, "size h w features"]]:
        folded, x = inputs.prepare(classifier, variables, inputs.to_float(batch))
        features = registry.extract_features(classifier.module, folded, x)
        logits = registry.apply_head(classifier.module, variables, features)
        return voting.apply_thresholds(logits, settings.thresholds), features

    # Explicit batches: under `vmap`, `lax.map` with a batch size would classify the patches one by one.
    return batching.merge_batch(lax.map(run, batching.split_batch(crops, settings.patch_batch_size)), len(crops))


def activation_maps(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    predictions: PatchPredictions,
    label: Int[Array, ""],
    settings: InferenceConfig,
) -> tuple[Float32[Array, "p h w"], Float32[Array, "p"]]:
    """Compute the class activation map of every patch, and its weight.

    Args:
        classifier: Network with k classes.
        variables: Its parameters and statistics.
        predictions: Of p patches, by the same network and variables.
        label: Index of the class.
        settings: `settings.targets` decides how logits become probabilities.

    Returns:
        Maps, at least 0, by CAM or, for a head that is not linear, by Grad-CAM; and the probability of the class in
        each patch.
    """
    kernel = registry.cam_kernel(classifier.module, variables)
    if kernel is None:
        head = partial(registry.apply_head, classifier.module, variables)
        activations = cam.grad_cam(head, predictions.features, label)
    else:
        activations = cam.class_activation_map(predictions.features, kernel, label)
    return activations, voting.patch_probabilities(predictions.logits, settings.targets)[:, label]


def mean_features(
    classifier: ModelSpec, image: UInt8[Array, "s s"], predictions: PatchPredictions
) -> Float32[Array, "c"]:
    """Return the mean of the feature maps over patches and cells."""
    return predictions.features.mean((0, 1, 2))


def embed_patches(
    classifier: ModelSpec, image: UInt8[Array, "s s"], predictions: PatchPredictions
) -> Float32[Array, "p c"]:
    """Return the mean of the feature map over the cells of each patch."""
    return predictions.features.mean((1, 2))
