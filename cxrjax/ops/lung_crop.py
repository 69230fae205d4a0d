"""A radiograph cut down to its lungs, and a map of the cut laid back over the radiograph.

singhaxn/COVID-19_CXR_AI, `inference/segmentation_data.py` and `inference/classifier_common.py`. A box is int32 [2, 2]:
the first pixel and the one past the last, of the rows and of the columns.
"""

import jax.numpy as jnp
from jax import Array
from jax.image import scale_and_translate


def bounding_box(lungs: Array, margin: float) -> Array:
    """The smallest box round the lungs, widened on each of its four sides but not beyond the picture.

    Args:
        lungs: bool [H, W].
        margin: how far, as a share of the box's height or width; rounded down to whole pixels.

    Returns:
        The box; of an empty mask the whole picture.
    """

    def reach(hit: Array) -> Array:
        first, past = jnp.argmax(hit), hit.size - jnp.argmax(hit[::-1])
        wider = jnp.floor((past - first) * margin).astype(jnp.int32)
        return jnp.stack([jnp.maximum(first - wider, 0), jnp.minimum(past + wider, hit.size)])

    return jnp.stack([reach(lungs.any(1)), reach(lungs.any(0))]).astype(jnp.int32)


def box_or_full(lungs: Array, confidence: Array, margin: float, least: float) -> Array:
    """The box round the lungs where their confidence is above `least`, else the whole picture [H, W]."""
    whole = jnp.array([[0, side] for side in lungs.shape], jnp.int32)
    return jnp.where(confidence > least, bounding_box(lungs, margin), whole)


def crop_resize(image: Array, box: Array, size: int) -> Array:
    """What is in the box, each of its sides stretched to `size`: uint8 [H, W] -> uint8 [size, size]."""
    scale = size / (box[:, 1] - box[:, 0])
    return _resample(image, (size, size), scale, -box[:, 0] * scale)


def letterbox(square: Array, box: Array, size: int) -> Array:
    """A cut with the proportions of its box again, in the middle of a black square.

    Args:
        square: uint8 [S, S] or [S, S, C], of `cut`.
        box: what was cut.
        size: side of the result; that of the box's longer side.

    Returns:
        uint8 [size, size] or [size, size, C].
    """
    side = box[:, 1] - box[:, 0]
    filled = size * side / side.max()
    return _resample(square, (size, size, *square.shape[2:]), filled / square.shape[0], (size - filled) / 2)


def uncrop(seen: Array, box: Array, shape: tuple[int, int]) -> Array:
    """Undo `fit` and `cut`: what a map of the fitted cut says of each pixel of the radiograph.

    Args:
        seen: float [h, w], over the square that `fit` made.
        box: what was cut.
        shape: height and width of the radiograph.

    Returns:
        float [H, W]; 0 outside the box.
    """
    first, side = box[:, 0], box[:, 1] - box[:, 0]
    longer = side.max()
    laid = scale_and_translate(
        seen, shape, (0, 1), longer / jnp.array(seen.shape), first - (longer - side) / 2, "linear"
    )
    inside = [(jnp.arange(n) >= start) & (jnp.arange(n) < stop) for n, (start, stop) in zip(shape, box, strict=True)]
    return jnp.where(inside[0][:, None] & inside[1], laid, 0)


def _resample(image: Array, shape: tuple[int, ...], scale: Array, shift: Array) -> Array:
    """Place an image, rows and columns each by their scale and shift, antialiased, in black: uint8 -> uint8."""
    placed = scale_and_translate(image.astype(jnp.float32), shape, (0, 1), scale, shift, "linear")
    return jnp.round(placed).astype(jnp.uint8)
