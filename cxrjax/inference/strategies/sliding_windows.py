"""All sliding windows of the radiograph's feature map; `patches.mode="dense"`.

The backbone sees the whole radiograph once, and every window of its last feature map is a patch, as in OverFeat
(Sermanet et al. 2014). A window has as many cells as the feature map of a patch, and votes where a patch may be drawn:
where its center is a lung pixel. The windows are therefore the patches of "local" (Oh et al. 2020, section II-C) on a
grid of the backbone's stride instead of a random draw. Around a window lies the rest of the radiograph, where a single
patch has zeros; `patches.context_pixels` trains a network for that.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, UInt8

from cxrjax.inference import inputs
from cxrjax.inference.inputs import PatchPredictions, PatchSample, SegmentedRadiograph
from cxrjax.inference.strategies import local_patches
from cxrjax.inference.strategies.base import InputDescription, PatchStrategy
from cxrjax.models import registry
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import cam, contrast, patches, voting


class WindowGrid(NamedTuple):
    """Windows of a radiograph."""

    side: int  # side of a window, in cells
    num_per_side: int  # windows along a side of the radiograph
    stride: int  # pixels from one window to the next, which is also the side of a cell


def window_grid(classifier: ModelSpec, size: int) -> WindowGrid:
    """Return the windows of radiographs of `size` pixels per side.

    Raises:
        ValueError: The radiographs are smaller than a patch.
    """
    module = classifier.module
    channels = classifier.in_channels
    side = registry.feature_map_size(module, classifier.patch_size, channels)
    cells = registry.feature_map_size(module, size, channels)
    if cells < side:
        raise ValueError(f"radiographs of {size} pixels are smaller than a patch of {classifier.patch_size}")
    return WindowGrid(side, cells - side + 1, registry.output_stride(module, channels))


def window_centers(
    grid: WindowGrid, size: int, lung_mask: Bool[Array, "s s"]
) -> tuple[Int32[Array, "p 2"], Bool[Array, "p"]]:
    """Compute the centers of the windows, and which windows vote.

    Args:
        grid: Of `window_grid`, with p windows.
        size: Side of a patch, in pixels.
        lung_mask: The lungs.

    Returns:
        The centers (row, column), in reading order; and whether a center is a lung pixel. If no center is, as
        for lungs that are tiny or at the border, the single window that contains most of the lungs votes.
    """
    line = grid.stride * jnp.arange(grid.num_per_side, dtype=jnp.int32) + size // 2
    centers = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    valid = lung_mask[centers[:, 0], centers[:, 1]]
    cells = [grid.num_per_side + grid.side - 1] * 2
    lungs = jax.image.resize(lung_mask.astype(jnp.float32), cells, "linear")
    lung_fraction = patches.extract_windows(lungs, grid.side).mean((2, 3))
    fullest = jnp.arange(len(centers)) == lung_fraction.argmax()
    return centers, jnp.where(valid.any(), valid, fullest)


def sample(classifier: ModelSpec, radiograph: SegmentedRadiograph, settings: InferenceConfig) -> PatchSample:
    """Return the whole radiograph, as one image, and the windows that vote."""
    grid = window_grid(classifier, len(radiograph.image))
    assert radiograph.lung_mask is not None
    centers, valid = window_centers(grid, classifier.patch_size, radiograph.lung_mask)
    pixels = contrast.enhance_channels(inputs.mask_lungs(radiograph, settings), settings.channels)
    return PatchSample(pixels[None], centers, valid)


def classify(
    classifier: ModelSpec, variables: Mapping[str, Any], pixels: UInt8[Array, "n s s *c"], settings: InferenceConfig
) -> tuple[Float32[Array, "n p k"], Float32[Array, "n h w features"]]:
    """Classify every window of radiographs.

    Args:
        classifier: Network with k classes.
        variables: Its parameters and statistics.
        pixels: Gray levels of radiographs, or their enhanced channels.
        settings: `settings.thresholds` are applied.

    Returns:
        Logits of the windows in reading order, and last feature maps.
    """
    grid = window_grid(classifier, pixels.shape[1])
    folded, x = inputs.prepare(classifier, variables, inputs.to_float(pixels))
    features = registry.extract_features(classifier.module.clone(crop_border=0), folded, x)
    apply_head = partial(registry.apply_head, classifier.module, variables)
    if classifier.module.head.is_linear:  # the logits of a mean are the mean of the logits
        cells = apply_head(features.reshape(-1, 1, 1, features.shape[-1])).reshape(*features.shape[:3], -1)
        logits = jax.vmap(lambda cells: patches.extract_windows(cells, grid.side).mean((2, 3)))(cells)
    else:
        logits = jnp.moveaxis(_map_rows(apply_head, features, grid), 0, 1)
    logits = logits.reshape(len(pixels), grid.num_per_side**2, -1)
    return voting.apply_thresholds(logits, settings.thresholds), features


def saliency(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: UInt8[Array, "s s"],
    predictions: PatchPredictions,
    label: Int[Array, ""],
    settings: InferenceConfig,
) -> Float32[Array, "s s"]:
    """Compute the probability-weighted map (section II-D) cell by cell, and enlarge it once.

    For patches, in contrast, the map of each patch is enlarged before it is weighted.
    """
    grid = window_grid(classifier, len(image))
    features = predictions.features
    kernel = registry.cam_kernel(classifier.module, variables)
    if kernel is None:
        head = partial(registry.apply_head, classifier.module, variables)
        activations = _map_rows(lambda windows: cam.grad_cam(head, windows, label), features, grid)[:, 0]
    else:
        activations = patches.extract_windows(cam.class_activation_map(features, kernel, label)[0], grid.side)
    probabilities = voting.patch_probabilities(predictions.logits, settings.targets)
    weights = probabilities[:, label].reshape(grid.num_per_side, grid.num_per_side)
    valid = predictions.valid.reshape(weights.shape)
    cells = cam.probability_weighted_windows(activations, weights, valid, settings.scaling)
    scale = jnp.full(2, float(grid.stride))
    return jax.image.scale_and_translate(cells, image.shape, (0, 1), scale, jnp.zeros(2), "linear")


def receptive_mask(
    classifier: ModelSpec, image: UInt8[Array, "s s"], sampled: PatchSample, settings: InferenceConfig
) -> Bool[Array, "s s"]:
    """Return the pixels of the cells of the windows that vote."""
    grid = window_grid(classifier, len(image))
    cells = cam.count_windows(sampled.valid.reshape(grid.num_per_side, grid.num_per_side), grid.side) > 0
    line = jnp.minimum(jnp.arange(len(image)) // grid.stride, len(cells) - 1)
    return cells[line[:, None], line]


def mean_features(
    classifier: ModelSpec, image: UInt8[Array, "s s"], predictions: PatchPredictions
) -> Float32[Array, "c"]:
    """Return the mean of the feature map over the windows that vote."""
    grid = window_grid(classifier, len(image))
    weights = cam.count_windows(predictions.valid.reshape(grid.num_per_side, grid.num_per_side), grid.side)
    return jnp.einsum("hw,hwc->c", weights / weights.sum(), predictions.features[0], precision="highest")


def embed_patches(
    classifier: ModelSpec, image: UInt8[Array, "s s"], predictions: PatchPredictions
) -> Float32[Array, "p c"]:
    """Return the mean of the feature map over the cells of each window, in reading order."""
    side = window_grid(classifier, len(image)).side
    features = predictions.features[0]
    sums = lax.reduce_window(features, 0.0, lax.add, (side, side, 1), (1, 1, 1), "VALID")
    return sums.reshape(-1, features.shape[-1]) / side**2


def _map_rows(
    run: Callable[[Float[Array, "windows side side c"]], Float[Array, "windows ..."]],
    features: Float[Array, "n h w c"],
    grid: WindowGrid,
) -> Float[Array, "rows n columns ..."]:
    """Apply a function to all windows, one row of them at a time.

    Args:
        run: Windows -> one value or array for each.
        features: Last feature maps.
        grid: Of `window_grid`.

    Returns:
        The outputs of `run`, by row of windows, image and column.
    """

    def run_row(row: Int32[Array, ""]) -> Float[Array, "n columns ..."]:
        strips = lax.dynamic_slice_in_dim(features, row, grid.side, axis=1)
        windows = jax.vmap(lambda strip: patches.extract_windows(strip, grid.side)[0])(strips)
        outputs = run(windows.reshape(-1, *windows.shape[2:]))
        return outputs.reshape(len(features), grid.num_per_side, *outputs.shape[1:])

    return lax.map(run_row, jnp.arange(grid.num_per_side))


def describe(patch_size: int, settings: InferenceConfig) -> InputDescription:
    """Return the phrases of a report; see `PatchStrategy.describe`."""
    return InputDescription(
        pixels=f"all windows of {patch_size} pixels with their centers in the lungs, in one pass over the radiograph",
        voters="these windows",
        map_unit="windows",
    )


STRATEGY = PatchStrategy(
    sample=sample,
    sample_training=local_patches.sample,
    classify=classify,
    saliency=saliency,
    receptive_mask=receptive_mask,
    mean_features=mean_features,
    embed_patches=embed_patches,
    describe=describe,
    instructions=(
        "the backbone reads the whole radiograph once (in the StableHLO program; classifier.onnx reads patches); each "
        "window of its last feature map, with as many cells as a patch has, is a patch if its center is a lung pixel"
    ),
)
