"""Crop of a radiograph to the bounding box of its lungs, and the inverse for saliency maps.

singhaxn/COVID-19_CXR_AI, `inference/segmentation_data.py` and `inference/classifier_common.py`. A box is int32 [2, 2]:
(start, stop) of the rows and (start, stop) of the columns.
"""

import jax.numpy as jnp
from jax import Array
from jax.image import scale_and_translate


def bounding_box(lungs: Array, margin: float) -> Array:
    """Compute the bounding box of the lungs, widened on all four sides but not beyond the image.

    Args:
        lungs: bool [H, W].
        margin: widening on each side as a share of the box's height or width, rounded down to whole pixels.

    Returns:
        The box; the full image if the mask is empty.
    """

    def extent(has_lung: Array) -> Array:
        start = jnp.argmax(has_lung)
        stop = has_lung.size - jnp.argmax(has_lung[::-1])
        widening = jnp.floor((stop - start) * margin).astype(jnp.int32)
        return jnp.stack([jnp.maximum(start - widening, 0), jnp.minimum(stop + widening, has_lung.size)])

    return jnp.stack([extent(lungs.any(1)), extent(lungs.any(0))]).astype(jnp.int32)


def box_or_full(lungs: Array, confidence: Array, margin: float, min_confidence: float) -> Array:
    """Return the bounding box of the lungs if their confidence is above `min_confidence`, else that of the full image.

    Args:
        lungs: bool [H, W].
        confidence: float scalar in 0..1.
        margin: see `bounding_box`.
        min_confidence: threshold in 0..1.
    """
    full = jnp.array([[0, side] for side in lungs.shape], jnp.int32)
    return jnp.where(confidence > min_confidence, bounding_box(lungs, margin), full)


def crop_resize(image: Array, box: Array, size: int) -> Array:
    """Crop a box and stretch each of its sides to `size`: uint8 [H, W] -> uint8 [size, size]."""
    scale = size / (box[:, 1] - box[:, 0])
    return _resample(image, (size, size), scale, -box[:, 0] * scale)


def letterbox(square: Array, box: Array, size: int) -> Array:
    """Restore the aspect ratio of a crop and center it in a black square.

    Args:
        square: uint8 [S, S] or [S, S, C], result of `crop_resize`.
        box: box of the crop.
        size: side of the result, to which the longer side of the box is scaled.

    Returns:
        uint8 [size, size] or [size, size, C].
    """
    sides = box[:, 1] - box[:, 0]
    scaled_sides = size * sides / sides.max()
    shape = (size, size, *square.shape[2:])
    return _resample(square, shape, scaled_sides / square.shape[0], (size - scaled_sides) / 2)


def uncrop(letterboxed: Array, box: Array, shape: tuple[int, ...]) -> Array:
    """Map a saliency map of a letterboxed crop back to the radiograph (inverse of `crop_resize` and `letterbox`).

    Args:
        letterboxed: float [h, w], a map over the square returned by `letterbox`.
        box: box of the crop.
        shape: height and width of the radiograph.

    Returns:
        float [H, W]; 0 outside the box.
    """
    start = box[:, 0]
    sides = box[:, 1] - start
    longer = sides.max()
    scale = longer / jnp.array(letterboxed.shape)
    offset = start - (longer - sides) / 2
    resampled = scale_and_translate(letterboxed, shape, (0, 1), scale, offset, "linear")
    rows = jnp.arange(shape[0])
    columns = jnp.arange(shape[1])
    in_rows = (rows >= box[0, 0]) & (rows < box[0, 1])
    in_columns = (columns >= box[1, 0]) & (columns < box[1, 1])
    return jnp.where(in_rows[:, None] & in_columns, resampled, 0)


def _resample(image: Array, shape: tuple[int, ...], scale: Array, shift: Array) -> Array:
    """Scale and shift an image along rows and columns, antialiased, with zeros outside: uint8 -> uint8 of `shape`."""
    resampled = scale_and_translate(image.astype(jnp.float32), shape, (0, 1), scale, shift, "linear")
    return jnp.round(resampled).astype(jnp.uint8)
