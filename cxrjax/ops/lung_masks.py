"""Lung masks: labels of a segmentation, connected components, and post-processing."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int32, Integer

from cxrjax.runtime.arrays import AnyArray
from cxrjax.runtime.platform import is_for_cpu

# Labels of the SCR database, in the order of Oh et al. (`segmentation/header.py`).
STRUCTURES = ("background", "heart", "left lung", "right lung")
LUNGS = (2, 3)

# Iterations between two checks whether labels have spread completely: an accelerator waits for the host at each check.
_SPREADS_PER_CHECK = 8


def lung_union(structures: Integer[AnyArray, "*batch h w"]) -> Bool[AnyArray, "*batch h w"]:
    """Return the mask of both lungs in a label map."""
    return (structures == LUNGS[0]) | (structures == LUNGS[1])


def lung_probability(log_probabilities: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    """Compute the probability of either lung from the log-probabilities of the STRUCTURES."""
    return jnp.exp(log_probabilities[..., LUNGS[0]]) + jnp.exp(log_probabilities[..., LUNGS[1]])


def label_components(mask: Bool[AnyArray, "h w"], neighbors: int = 8) -> Int32[Array, "h w"]:
    """Label the connected components of a mask by the largest pixel index in each.

    Args:
        mask: the mask.
        neighbors: 8, or 4 for components that are connected along pixel edges only.

    Returns:
        0 outside the mask; inside, 1 + the index, in reading order, of the component's last pixel.
    """
    mask = jnp.asarray(mask)
    start = jnp.where(mask, jnp.arange(1, mask.size + 1, dtype=jnp.int32).reshape(mask.shape), 0)

    def spread(labels: Int32[Array, "h w"]) -> Int32[Array, "h w"]:
        if neighbors == 4:
            nearby = jnp.maximum(_window_maximum(labels, (3, 1)), _window_maximum(labels, (1, 3)))
        else:
            nearby = _window_maximum(labels, (3, 3))
        largest = jnp.where(mask, nearby, 0)
        # A label is the index of a pixel of the same component, whose own label may already be larger: taking that one
        # halves the number of iterations.
        return jnp.where(mask, largest.ravel()[jnp.maximum(largest - 1, 0)], 0)

    def spread_and_check(
        state: tuple[Int32[Array, "h w"], Bool[Array, ""]],
    ) -> tuple[Int32[Array, "h w"], Bool[Array, ""]]:
        labels = state[0]
        for _ in range(1 if is_for_cpu() else _SPREADS_PER_CHECK):
            labels = spread(labels)
        return labels, (labels != state[0]).any()

    return lax.while_loop(lambda state: state[1], spread_and_check, (start, mask.any()))[0]


def postprocess_mask(
    mask: Bool[AnyArray, "h w"], min_component_area: Float[AnyArray, ""] | float
) -> Bool[Array, "h w"]:
    """Keep the two largest components of a lung mask and fill their holes.

    Components are 8-connected, so the background between them is 4-connected, as in `scipy.ndimage.binary_fill_holes`.

    Args:
        mask: the rough mask.
        min_component_area: smaller components are dropped even if they are among the two, as a share of the image.

    Returns:
        The clean mask.

    Examples:
        >>> import cxrjax as cx
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[10:40, 5:25] = mask[10:40, 35:55] = mask[60:62, 60:62] = True
        >>> int(cx.ops.postprocess_mask(mask, 0.01).sum())  # without the smallest part
        1200
    """
    labels = label_components(mask)
    areas = _areas(labels)
    min_area = jnp.maximum(min_component_area * mask.size, 1)
    largest = areas.argmax()
    second = areas.at[largest].set(0).argmax()  # `lax.top_k` would sort all areas
    lungs = ((labels == largest) & (areas[largest] >= min_area)) | ((labels == second) & (areas[second] >= min_area))
    # A hole is background that is not connected to the border: in the padded background, all pixels with another label
    # than the last pixel.
    outside = label_components(jnp.pad(~lungs, 1, constant_values=True), neighbors=4)
    return outside[1:-1, 1:-1] != outside[-1, -1]


def _window_maximum(labels: Int32[Array, "h w"], window: tuple[int, int]) -> Int32[Array, "h w"]:
    """Return the maximum of the labels in a window around each pixel."""
    return lax.reduce_window(labels, 0, lax.max, window, (1, 1), "SAME")


def _areas(labels: Int32[Array, "h w"]) -> Int32[Array, "h*w+1"]:
    """Count the pixels of each label of `label_components`, 0 for the background."""
    return jnp.zeros(labels.size + 1, jnp.int32).at[labels.ravel()].add(1).at[0].set(0)
