"""Dense voting: the backbone sees the whole radiograph once, and each window of its last feature map is a patch.

As networks slide over pictures since OverFeat (Sermanet et al. 2014). A window has as many cells as the feature map
of a patch, and votes where a patch may be drawn: where its centre is a lung pixel. So the windows are the patches of
"local" (Oh et al. 2020, section II-C) on a grid of the backbone's stride in place of a random draw, each with the
rest of the radiograph around it where a patch alone has zeros: a network is trained for that by `patches.context`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.inference import inputs
from cxrjax.inference.inputs import PatchPredictions
from cxrjax.models import registry
from cxrjax.models.spec import InferenceConfig, ModelSpec
from cxrjax.ops import cam, contrast, patches


class WindowGrid(NamedTuple):
    """The windows of a radiograph."""

    side: int  # cells a side of a window
    count: int  # windows a side of the radiograph
    stride: int  # pixels from one to the next, and side of a cell


def window_grid(classifier: ModelSpec, size: int) -> WindowGrid:
    """The windows of radiographs of `size` pixels a side.

    Raises:
        ValueError: they are smaller than a patch.
    """
    module, channels = classifier.module, classifier.channels
    side, cells = (registry.feature_map_size(module, pixels, channels) for pixels in (classifier.size, size))
    if cells < side:
        raise ValueError(f"radiographs of {size} pixels are smaller than a patch of {classifier.size}")
    return WindowGrid(side, cells - side + 1, registry.output_stride(module, channels))


def window_centers(grid: WindowGrid, size: int, lungs: Array) -> tuple[Array, Array]:
    """Where the windows lie, and which of them vote.

    Args:
        grid: of `lay`, with N windows.
        size: side of a patch, in pixels.
        lungs: bool [S, S].

    Returns:
        Their centres int32 [N, 2], in reading order; and bool [N], whether that is a lung pixel. Where none is, as of
        lungs that are tiny or at the border, the one window that holds most of them votes.
    """
    line = grid.stride * jnp.arange(grid.count, dtype=jnp.int32) + size // 2
    centres = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    counted = lungs[centres[:, 0], centres[:, 1]]
    cells = [grid.count + grid.side - 1] * 2
    share = patches.cut_windows(jax.image.resize(lungs.astype(jnp.float32), cells, "linear"), grid.side).mean((2, 3))
    fullest = jnp.arange(len(centres)) == share.argmax()
    return centres, jnp.where(counted.any(), counted, fullest)


def classify_windows(
    classifier: ModelSpec, variables: Mapping[str, Any], image: Array, lungs: Array, settings: InferenceConfig
) -> PatchPredictions:
    """Classify every window of one radiograph.

    Args:
        classifier: see `pipeline.diagnose`.
        variables: its parameters and statistics.
        image: uint8 [S, S].
        lungs: bool [S, S]; where empty, the caller must not count the vote.
        settings: see Settings.

    Returns:
        The Looks.
    """
    grid = window_grid(classifier, len(image))
    shown = contrast.enhance_channels(inputs.apply_mask(image, lungs, settings), settings.channels)
    x = inputs.normalize(inputs.to_float(shown[None]), classifier)
    features = registry.extract_features(classifier.module.clone(margin=0), variables, x)  # [1, h, w, C]
    decide = partial(registry.apply_head, classifier.module, variables)
    if classifier.module.head.is_linear:  # the logits of a mean are the mean of the cells' logits
        cells = decide(features.reshape(-1, 1, 1, features.shape[-1])).reshape(*features.shape[1:3], -1)
        logits = patches.cut_windows(cells, grid.side).mean((2, 3))
    else:
        logits = _by_row(decide, features[0], grid)
    centres, counted = window_centers(grid, classifier.size, lungs)
    return PatchPredictions(centres, logits.reshape(len(centres), -1), features, counted)


def window_saliency(
    classifier: ModelSpec,
    variables: Mapping[str, Any],
    image: Array,
    looks: PatchPredictions,
    finding: Array,
    scaling: str = "peak",
) -> Array:
    """Where a class was seen: the probability-weighted map (section II-D), taken by cells and enlarged once.

    Of patches it is the patches' maps that are enlarged, before they are weighted.

    Args:
        classifier: see `pipeline.diagnose`.
        variables: its parameters and statistics.
        image: uint8 [S, S].
        looks: of `classify`.
        finding: int32, index of the class.
        scaling: of each window's map, by its cells; see `cam.scale`.

    Returns:
        The map float32 [S, S] in 0..1.
    """
    grid, features = window_grid(classifier, len(image)), looks.features
    kernel = registry.cam_kernel(classifier.module, variables)
    if kernel is None:
        head = partial(registry.apply_head, classifier.module, variables)
        activations = _by_row(lambda windows: cam.grad_cam(head, windows, finding), features[0], grid)
    else:
        activations = patches.cut_windows(cam.class_activation_map(features, kernel, finding)[0], grid.side)
    weights = jax.nn.softmax(looks.logits)[:, finding].reshape(grid.count, grid.count)
    cells = cam.probability_weighted_windows(activations, weights, looks.counted.reshape(weights.shape), scaling)
    scale, shift = jnp.full(2, float(grid.stride)), jnp.zeros(2)
    return jax.image.scale_and_translate(cells, image.shape, (0, 1), scale, shift, "linear")


def receptive_mask(classifier: ModelSpec, lungs: Array) -> Array:
    """The pixels of the cells of the windows that vote: bool [S, S] -> bool [S, S]."""
    grid = window_grid(classifier, len(lungs))
    _, counted = window_centers(grid, classifier.size, lungs)
    cells = cam.count_windows(counted.reshape(grid.count, grid.count), grid.side) > 0
    line = jnp.minimum(jnp.arange(len(lungs)) // grid.stride, len(cells) - 1)
    return cells[line[:, None], line]


def mean_features(classifier: ModelSpec, size: int, looks: PatchPredictions) -> Array:
    """The mean features float32 [C] of the windows that vote, in radiographs of `size` pixels."""
    grid = window_grid(classifier, size)
    weights = cam.count_windows(looks.counted.reshape(grid.count, grid.count), grid.side)
    return jnp.einsum("hw,hwc->c", weights / weights.sum(), looks.features[0], precision="highest")


def _by_row(run: Callable[[Array], Array], features: Array, grid: WindowGrid) -> Array:
    """Run on all windows, a row of them at once: features [h, w, C], windows [m, side, side, C] -> [n, m, ...]."""

    def one(row: Array) -> Array:
        strip = lax.dynamic_slice_in_dim(features, row, grid.side)
        return run(patches.cut_windows(strip, grid.side)[0])

    return lax.map(one, jnp.arange(grid.count))
