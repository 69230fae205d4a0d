"""What training minimises (Oh et al. 2020, sections II-B and II-C)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cxrjax.data import batch
from cxrjax.ops import lung_masks


def segmentation_loss(log_probabilities: Array, masks: Array, kinds: Array, background_weight: float) -> Array:
    """Weighted cross-entropy of a structure map (original `segmentation/train.py`), also from masks of the lungs alone.

    Where only the lungs are known, the probability of a pixel's truth is summed over the structures it may be: left and
    right lung inside the mask, heart and background outside.

    Args:
        log_probabilities: float [N, H, W, 4] of `lung_masks.STRUCTURES`.
        masks: int [N, H, W]: structure labels, or 1 in the lungs and 0 elsewhere.
        kinds: int [N], cohort.STRUCTURES_KNOWN or cohort.LUNGS_KNOWN.
        background_weight: weight of a pixel outside all structures (0.5 in the original; the others weigh 1).

    Returns:
        float, the weighted mean over pixels.
    """
    # A sum of one number and zeros, and no gather, whose gradient a GPU would scatter by atomic sums.
    labels = jnp.arange(log_probabilities.shape[-1])
    exact = jnp.where(masks[..., None].astype(jnp.int32) == labels, log_probabilities, 0).sum(-1)
    inside = jnp.logaddexp(*(log_probabilities[..., lung] for lung in lung_masks.LUNGS))
    outside = jnp.logaddexp(log_probabilities[..., 0], log_probabilities[..., 1])
    likelihood = jnp.where((kinds == batch.LUNGS_KNOWN)[:, None, None], jnp.where(masks > 0, inside, outside), exact)
    weight = jnp.where(masks == 0, background_weight, 1.0)
    return -(weight * likelihood).sum() / weight.sum()


def cross_entropy(logits: Array, labels: Array, weights: Array, gamma: float = 0.0, alpha: float = 1.0) -> Array:
    """Class-weighted cross-entropy and its focal form (Lin et al. 2017; original hieu2695 `Helper.py`), in nats.

    Args:
        logits: float [N, K].
        labels: int [N].
        weights: float [K], of each class; ones weigh all alike.
        gamma: how much less a sure and right answer of probability p counts, (1 - p)^gamma; 0 is plain cross-entropy.
        alpha: multiplies the whole.

    Returns:
        float, the mean over the examples weighted by their classes, as PyTorch's `CrossEntropyLoss(weight=…)`.
    """
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)[:, 0]
    # p of just 1 would have a power of 0 differentiated; there the loss is 0 whatever the power.
    doubt = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(log_p.dtype).tiny) ** gamma if gamma else 1.0
    weight = weights[labels]
    # A batch of classes that weigh nothing has no loss.
    return -alpha * (weight * doubt * log_p).sum() / jnp.maximum(weight.sum(), jnp.finfo(weight.dtype).tiny)


def weigh_classes(labels: np.ndarray, count: int, wanted: Sequence[float | str]) -> Array:
    """What each class weighs in the loss: float32 [count].

    Args:
        labels: int [n], of the training radiographs.
        count: K, how many classes there are.
        wanted: () for ones; ("inverse",) for n / (K n_k), scikit-learn's "balanced"; or K numbers.

    Raises:
        ValueError: neither of these, or "inverse" with a class of which there is no radiograph.
    """
    if not len(wanted):
        return jnp.ones(count)
    if tuple(wanted) == ("inverse",):
        numbers = np.bincount(labels, minlength=count)
        if not numbers.all():
            raise ValueError("training.class_weights=('inverse',) needs a training radiograph of every class")
        return jnp.asarray(len(labels) / (count * numbers), jnp.float32)
    if len(wanted) != count or any(isinstance(weight, str) for weight in wanted):
        raise ValueError(f"training.class_weights={tuple(wanted)!r} is not (), ('inverse',) or {count} numbers")
    return jnp.asarray(wanted, jnp.float32)


def penalty(params: Any, l1: float, l2: float, l2_vectors: bool = True) -> Array:
    """The price of large parameters: float.

    Args:
        params: pytree of all parameters.
        l1: weight of the sum of their absolute values (original `classification/train.py`).
        l2: weight of the sum of their squares, not halved, as in Keras (original manastahir `src/models.py`).
        l2_vectors: whether that sum is of biases and batch norms too, or of matrices and kernels alone (Keras's
            `kernel_regularizer`).
    """
    leaves = jax.tree.leaves(params)
    squared = [leaf for leaf in leaves if l2_vectors or leaf.ndim > 1]
    lasso = l1 * sum(jnp.abs(leaf).sum() for leaf in leaves) if l1 else 0.0
    return lasso + (l2 * sum(jnp.square(leaf).sum() for leaf in squared) if l2 else 0.0)
