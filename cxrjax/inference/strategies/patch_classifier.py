"""Classification of square patches and their class activation maps, shared by the strategies that crop patches."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
from jax import Array, lax

from cxrjax.inference import inputs
from cxrjax.inference.inputs import PatchPredictions
from cxrjax.models import registry
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import batching, cam


def classify_patches(
    classifier: ModelSpec, variables: Mapping[str, Any], crops: Array, settings: InferenceConfig
) -> tuple[Array, Array]:
    """Classify patches in batches that bound the memory.

    Args:
        classifier: Network with K classes.
        variables: Its parameters and statistics.
        crops: Patches uint8 [N, side, side] or [N, side, side, 3].
        settings: `settings.patch_batch_size` patches are classified at once.

    Returns:
        Logits float32 [N, K] and last feature maps float32 [N, h, w, C].
    """

    def run(batch: Array) -> tuple[Array, Array]:
        folded, x = inputs.prepare(classifier, variables, inputs.to_float(batch))
        features = registry.extract_features(classifier.module, folded, x)
        return registry.apply_head(classifier.module, variables, features), features

    # Explicit batches: under `vmap`, `lax.map` with a batch size would classify the patches one by one.
    return batching.merge_batch(lax.map(run, batching.split_batch(crops, settings.patch_batch_size)), len(crops))


def activation_maps(
    classifier: ModelSpec, variables: Mapping[str, Any], predictions: PatchPredictions, label: Array
) -> tuple[Array, Array]:
    """Compute the class activation map of every patch, and its weight.

    Args:
        classifier: Network with K classes.
        variables: Its parameters and statistics.
        predictions: Of N patches, by the same network and variables.
        label: int32, index of the class.

    Returns:
        Maps float32 [N, h, w], at least 0, by CAM or, for a head that is not linear, by Grad-CAM; and the probability
        of the class in each patch, float32 [N].
    """
    kernel = registry.cam_kernel(classifier.module, variables)
    if kernel is None:
        head = partial(registry.apply_head, classifier.module, variables)
        activations = cam.grad_cam(head, predictions.features, label)
    else:
        activations = cam.class_activation_map(predictions.features, kernel, label)
    return activations, jax.nn.softmax(predictions.logits)[:, label]


def mean_features(classifier: ModelSpec, image: Array, predictions: PatchPredictions) -> Array:
    """Return the mean of the feature maps over patches and cells: float32 [C]."""
    return predictions.features.mean((0, 1, 2))


def embed_patches(classifier: ModelSpec, image: Array, predictions: PatchPredictions) -> Array:
    """Return the mean of the feature map over the cells of each patch: float32 [N, C]."""
    return predictions.features.mean((1, 2))
