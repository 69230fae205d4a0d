"""Crop of a radiograph to the bounding box of its lungs, and the inverse for saliency maps.

singhaxn/COVID-19_CXR_AI, `inference/segmentation_data.py` and `inference/classifier_common.py`. A box is
(start, stop) of the rows and (start, stop) of the columns.
"""

import jax.numpy as jnp
from jax.image import scale_and_translate
from jaxtyping import Array, Bool, Float, Int, Int32, UInt8

from cxrjax.runtime.arrays import AnyArray


def bounding_box(lungs: Bool[AnyArray, "h w"], margin: float) -> Int32[Array, "2 2"]:
    """Compute the bounding box of the lungs, widened on all four sides but not beyond the image.

    Args:
        lungs: the lung mask.
        margin: widening on each side as a share of the box's height or width, rounded down to whole pixels.

    Returns:
        The box; the full image if the mask is empty.
    """

    def extent(has_lung: Bool[Array, "side"]) -> Int32[Array, "2"]:
        start = jnp.argmax(has_lung)
        stop = has_lung.size - jnp.argmax(has_lung[::-1])
        widening = jnp.floor((stop - start) * margin).astype(jnp.int32)
        return jnp.stack([jnp.maximum(start - widening, 0), jnp.minimum(stop + widening, has_lung.size)])

    lungs = jnp.asarray(lungs)
    return jnp.stack([extent(lungs.any(1)), extent(lungs.any(0))]).astype(jnp.int32)


def box_or_full(
    lungs: Bool[AnyArray, "h w"], confidence: Float[AnyArray, ""] | float, margin: float, min_confidence: float
) -> Int32[Array, "2 2"]:
    """Return the bounding box of the lungs if their confidence is above `min_confidence`, else that of the full image.

    Args:
        lungs: the lung mask.
        confidence: in 0..1.
        margin: see `bounding_box`.
        min_confidence: threshold in 0..1.
    """
    full = jnp.array([[0, side] for side in lungs.shape], jnp.int32)
    return jnp.where(confidence > min_confidence, bounding_box(lungs, margin), full)


def crop_resize(image: UInt8[AnyArray, "h w"], box: Int[AnyArray, "2 2"], size: int) -> UInt8[Array, "{size} {size}"]:
    """Crop a box and stretch each of its sides to `size` pixels."""
    box = jnp.asarray(box)
    scale = size / (box[:, 1] - box[:, 0])
    return _resample(image, (size, size), scale, -box[:, 0] * scale)


def letterbox(
    square: UInt8[AnyArray, "s s *c"], box: Int[AnyArray, "2 2"], size: int
) -> UInt8[Array, "{size} {size} *c"]:
    """Restore the aspect ratio of a crop and center it in a black square.

    Args:
        square: result of `crop_resize`.
        box: box of the crop.
        size: side of the result, to which the longer side of the box is scaled.

    Returns:
        The square.
    """
    box = jnp.asarray(box)
    sides = box[:, 1] - box[:, 0]
    scaled_sides = size * sides / sides.max()
    shape = (size, size, *square.shape[2:])
    return _resample(square, shape, scaled_sides / square.shape[0], (size - scaled_sides) / 2)


def uncrop(
    letterboxed: Float[AnyArray, "h w"], box: Int[AnyArray, "2 2"], shape: tuple[int, ...]
) -> Float[Array, "{shape[0]} {shape[1]}"]:
    """Map a saliency map of a letterboxed crop back to the radiograph (inverse of `crop_resize` and `letterbox`).

    Args:
        letterboxed: a map over the square returned by `letterbox`.
        box: box of the crop.
        shape: height and width of the radiograph.

    Returns:
        The map of the radiograph; 0 outside the box.
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


def _resample(
    image: UInt8[AnyArray, "h w *c"], shape: tuple[int, ...], scale: Float[Array, "2"], shift: Float[Array, "2"]
) -> UInt8[Array, "{shape[0]} {shape[1]} *c"]:
    """Scale and shift an image along rows and columns, antialiased, with zeros outside."""
    resampled = scale_and_translate(image.astype(jnp.float32), shape, (0, 1), scale, shift, "linear")
    return jnp.round(resampled).astype(jnp.uint8)
