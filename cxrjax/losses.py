"""What training minimises (Oh et al. 2020, sections II-B and II-C)."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from cxrjax import anatomy

STRUCTURES_KNOWN, LUNGS_KNOWN = 0, 1  # what a mask tells: heart and either lung, or only lung or not


def segmentation_loss(log_probabilities: Array, masks: Array, kinds: Array, background_weight: float) -> Array:
    """Weighted cross-entropy of a structure map (original `segmentation/train.py`), also from masks of the lungs alone.

    Where only the lungs are known, the probability of a pixel's truth is summed over the structures it may be: left and
    right lung inside the mask, heart and background outside.

    Args:
        log_probabilities: float [N, H, W, 4] of `anatomy.STRUCTURES`.
        masks: int [N, H, W]: structure labels, or 1 in the lungs and 0 elsewhere.
        kinds: int [N], STRUCTURES_KNOWN or LUNGS_KNOWN.
        background_weight: weight of a pixel outside all structures (0.5 in the original; the others weigh 1).

    Returns:
        float, the weighted mean over pixels.
    """
    exact = jnp.take_along_axis(log_probabilities, masks[..., None].astype(jnp.int32), axis=-1)[..., 0]
    inside = jnp.logaddexp(*(log_probabilities[..., lung] for lung in anatomy.LUNGS))
    outside = jnp.logaddexp(log_probabilities[..., 0], log_probabilities[..., 1])
    likelihood = jnp.where((kinds == LUNGS_KNOWN)[:, None, None], jnp.where(masks > 0, inside, outside), exact)
    weight = jnp.where(masks == 0, background_weight, 1.0)
    return -(weight * likelihood).sum() / weight.sum()


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean cross-entropy in nats: logits [N, K], labels int [N] -> float."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1).mean()


def l1_penalty(params: Any) -> Array:
    """Sum of the absolute values of all parameters (original `classification/train.py`)."""
    return sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(params))
