"""What is known of lungs: the labels of a structure map, and how a segmentation of them is put right."""

import jax.numpy as jnp
from jax import Array, lax

# Label map of the SCR data base as Oh et al. order it (`segmentation/header.py`): background is 0.
STRUCTURES = ("background", "heart", "left lung", "right lung")
LUNGS = (2, 3)


def lung_union(structures: Array) -> Array:
    """Label map [..., H, W] -> bool [..., H, W], true in either lung."""
    return (structures == LUNGS[0]) | (structures == LUNGS[1])


def lung_probability(log_probabilities: Array) -> Array:
    """Log-probabilities [..., 4] of the STRUCTURES -> probability [...] of either lung."""
    return jnp.exp(log_probabilities[..., LUNGS[0]]) + jnp.exp(log_probabilities[..., LUNGS[1]])


def label_components(mask: Array, neighbors: int = 8) -> Array:
    """Number the connected components of a mask by the largest pixel index in each.

    Args:
        mask: bool [H, W].
        neighbors: 8, or 4 for components that touch along pixel edges alone.

    Returns:
        int32 [H, W]: 0 outside the mask; inside, 1 + the index, in reading order, of the part's last pixel.
    """
    start = jnp.where(mask, jnp.arange(1, mask.size + 1, dtype=jnp.int32).reshape(mask.shape), 0)

    def spread(state: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, _ = state
        if neighbors == 4:
            nearby = jnp.maximum(_window_maximum(labels, (3, 1)), _window_maximum(labels, (1, 3)))
        else:
            nearby = _window_maximum(labels, (3, 3))
        spread = jnp.where(mask, nearby, 0)
        # A label names a pixel of its own part, which may know of a farther one: jumping there halves the rounds.
        jumped = jnp.where(mask, spread.ravel()[jnp.maximum(spread - 1, 0)], 0)
        return jumped, (jumped != labels).any()

    return lax.while_loop(lambda state: state[1], spread, (start, mask.any()))[0]


def postprocess_mask(mask: Array, smallest_part: float) -> Array:
    """Keep the two largest components of a lung mask and fill their holes.

    Components are 8-connected, so the background between them is 4-connected, as in `scipy.ndimage.binary_fill_holes`.

    Args:
        mask: bool [H, W].
        smallest_part: parts below this share of the picture are dropped even if among the two.

    Returns:
        bool [H, W].

    Examples:
        >>> import cxrjax as cx
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[10:40, 5:25] = mask[10:40, 35:55] = mask[60:62, 60:62] = True
        >>> int(cx.ops.postprocess_mask(mask, 0.01).sum())  # without the smallest part
        1200
    """
    labels = label_components(mask)
    areas, smallest = _areas(labels), jnp.maximum(smallest_part * mask.size, 1)
    first = areas.argmax()
    second = areas.at[first].set(0).argmax()  # `lax.top_k` sorts them all
    lungs = ((labels == first) & (areas[first] >= smallest)) | ((labels == second) & (areas[second] >= smallest))
    # A hole is background that does not reach the border: of the padded background, whatever lacks the last pixel's
    # label.
    outside = label_components(jnp.pad(~lungs, 1, constant_values=True), neighbors=4)
    return outside[1:-1, 1:-1] != outside[-1, -1]


def largest_component(mask: Array) -> Array:
    """The largest connected part (8 neighbours) of a mask bool [H, W]; empty where the mask is."""
    labels = label_components(mask)
    return mask & (labels == _areas(labels).argmax())


def _window_maximum(labels: Array, window: tuple[int, int]) -> Array:
    """Return the maximum of the labels [H, W] in a window around each pixel."""
    return lax.reduce_window(labels, 0, lax.max, window, (1, 1), "SAME")


def _areas(labels: Array) -> Array:
    """Pixels of each part of `label_components`, int32 [H W + 1], by the number it has there."""
    return jnp.zeros(labels.size + 1, jnp.int32).at[labels.ravel()].add(1).at[0].set(0)
