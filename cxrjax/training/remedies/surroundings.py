"""Surroundings of the lungs from another radiograph of the batch.

Borders, letters, markers and shoulders then say nothing of the label, and still look as they do in a radiograph. The
"mixed-rand" of Xiao et al. 2021, "Noise or signal: the role of image backgrounds in object recognition", with the box
of the lungs as foreground.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key, UInt8

_MARGIN = 0.04  # fraction of the side that is added to the lungs' box on each side; ours


def swap(
    key: Key[Array, ""], images: UInt8[Array, "n s s"], lung_masks: Bool[Array, "n s s"], probability: float
) -> UInt8[Array, "n s s"]:
    """Replace all outside the lungs' box by the same pixels of another radiograph, drawn at random.

    Args:
        key: random key.
        images: radiographs of a batch.
        lung_masks: their lungs; a radiograph without lungs is not changed.
        probability: of each radiograph to be changed.
    """
    order_key, choice_key = jax.random.split(key)
    donors = jax.random.permutation(order_key, len(images))
    changed = jax.random.uniform(choice_key, (len(images),)) < probability
    inside = jax.vmap(lung_box)(lung_masks) | ~changed[:, None, None] | ~lung_masks.any((1, 2))[:, None, None]
    return jnp.where(inside, images, images[donors])


def lung_box(lung_mask: Bool[Array, "s s"]) -> Bool[Array, "s s"]:
    """Return the bounding box of the lungs with a margin, as a mask; empty without lungs."""
    margin = round(_MARGIN * lung_mask.shape[0])

    def extent(occupied: Bool[Array, "s"]) -> Bool[Array, "s"]:
        positions = jnp.arange(len(occupied))
        first = jnp.argmax(occupied)
        last = len(occupied) - 1 - jnp.argmax(occupied[::-1])
        return (positions >= first - margin) & (positions <= last + margin) & occupied.any()

    return extent(lung_mask.any(1))[:, None] & extent(lung_mask.any(0))[None, :]
