"""Loss functions of the trainings (Oh et al. 2020, sections II-B and II-C)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int, Integer

from cxrjax.data import batch
from cxrjax.io import findings
from cxrjax.ops import lung_masks
from cxrjax.runtime.arrays import AnyArray

# Where the heart may lie, as fractions of the width and height of the bounding box of both lungs; ours. Generous, since
# it only has to leave out arms, shoulders and the outer halves of the lungs.
HEART_COLUMNS = (0.15, 0.85)
HEART_TOP = 0.25


def segmentation_loss(
    log_probabilities: Float[AnyArray, "n h w 4"],
    masks: Integer[AnyArray, "n h w"],
    mask_types: Int[AnyArray, "n"],
    background_weight: float,
) -> Float[Array, ""]:
    """Compute the weighted cross-entropy of a label map (original `segmentation/train.py`).

    Masks of the lungs alone are supported too: for these, the probability of a pixel's ground truth is summed over the
    structures that it may be: left and right lung inside the mask, heart and background outside. Where the mask
    includes the part of the lungs behind the heart, it says nothing about the heart: in the region where the heart may
    lie, only lungs and background are weighed against each other, given that a pixel is not heart, so that the heart is
    learned from the radiographs that annotate it. Elsewhere no pixel is heart.

    Args:
        log_probabilities: of `lung_masks.STRUCTURES`.
        masks: structure labels, or 1 in the lungs and 0 elsewhere.
        mask_types: types of the masks, see `cxrjax.data.batch`.
        background_weight: weight of a pixel outside all structures (0.5 in the original; the others weigh 1).

    Returns:
        The weighted mean over pixels.
    """
    # The sum of one number and zeros, since the gradient of a gather would be a scatter by atomic sums on a GPU.
    labels = jnp.arange(log_probabilities.shape[-1])
    exact = jnp.where(masks[..., None].astype(jnp.int32) == labels, log_probabilities, 0).sum(-1)
    background = log_probabilities[..., 0]  # slices, since moving the axis would copy the map
    heart = log_probabilities[..., 1]
    lungs = jnp.logaddexp(log_probabilities[..., lung_masks.LUNGS[0]], log_probabilities[..., lung_masks.LUNGS[1]])
    likelihood = jnp.where(masks > 0, lungs, jnp.logaddexp(background, heart))
    with_heart = (mask_types == batch.LUNGS_WITH_HEART_KNOWN)[:, None, None]
    likelihood = jnp.where(with_heart, _without_heart(background, heart, lungs, masks > 0), likelihood)
    structures_known = (mask_types == batch.STRUCTURES_KNOWN)[:, None, None]
    likelihood = jnp.where(structures_known, exact, likelihood)
    weight = jnp.where(masks == 0, background_weight, 1.0)
    return -(weight * likelihood).sum() / weight.sum()


def _without_heart(
    background: Float[AnyArray, "n h w"],
    heart: Float[AnyArray, "n h w"],
    lungs: Float[Array, "n h w"],
    masks: Bool[AnyArray, "n h w"],
) -> Float[Array, "n h w"]:
    """Compute the log-likelihood of masks with the part of the lungs behind the heart, which leaves the heart open."""
    likelihood = jnp.where(masks, lungs, background)
    given_no_heart = likelihood - jnp.logaddexp(background, lungs)
    # The weight is a constant: with a gradient, calling a pixel heart would be a way out of deciding.
    no_heart = lax.stop_gradient(-jnp.expm1(heart))
    return jnp.where(heart_region(masks), no_heart * given_no_heart, likelihood)


def heart_region(masks: Bool[AnyArray, "n h w"]) -> Bool[Array, "n h w"]:
    """Return where the heart may lie: the lower middle of the bounding box of both lungs, and below it.

    It is empty for an empty mask.
    """
    masks = jnp.asarray(masks)
    left, right = _extent(masks.any(1))
    top, bottom = _extent(masks.any(2))
    columns = (jnp.arange(masks.shape[2]) + 0.5 - left) / (right - left)
    rows = (jnp.arange(masks.shape[1]) + 0.5 - top) / (bottom - top)
    inside = (columns >= HEART_COLUMNS[0]) & (columns <= HEART_COLUMNS[1])
    return (rows >= HEART_TOP)[:, :, None] & inside[:, None, :] & masks.any((1, 2), keepdims=True)


def _extent(occupied: Bool[Array, "n length"]) -> tuple[Int[Array, "n 1"], Int[Array, "n 1"]]:
    """Return the first index that is occupied, and the index after the last."""
    first = occupied.argmax(1)
    end = occupied.shape[1] - occupied[:, ::-1].argmax(1)
    return first[:, None], end[:, None]


def cross_entropy(
    logits: Float[AnyArray, "n k"],
    labels: Int[AnyArray, "n"],
    weights: Float[AnyArray, "k"],
    gamma: float = 0.0,
    alpha: float = 1.0,
) -> Float[Array, ""]:
    """Compute the class-weighted cross-entropy or its focal form, in nats.

    The focal form is that of Lin et al. 2017 (original hieu2695 `Helper.py`).

    Args:
        logits: logits of each example.
        labels: index of the class of each example.
        weights: weight of each class; ones for equal weights.
        gamma: focusing parameter: an example whose class has the probability p is weighted by (1 - p)^gamma; 0 for
            plain cross-entropy.
        alpha: factor of the whole loss.

    Returns:
        The mean over the examples weighted by their classes, as PyTorch's `CrossEntropyLoss(weight=…)`.
    """
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)[:, 0]
    # For p = 1 the gradient of 0 ** gamma would not be finite; the loss is 0 there for any gamma.
    focus = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(log_p.dtype).tiny) ** gamma if gamma else 1.0
    weight = weights[labels]
    # The loss of a batch whose classes all have the weight 0 is 0.
    return -alpha * (weight * focus * log_p).sum() / jnp.maximum(weight.sum(), jnp.finfo(weight.dtype).tiny)


def weigh_classes(
    labels: Int[np.ndarray, "n"], count: int, class_weights: Sequence[float | str]
) -> Float32[Array, "{count}"]:
    """Return the weight of each class in the loss.

    Args:
        labels: index of the class of each training radiograph.
        count: number of classes.
        class_weights: () for ones; ("inverse",) for n / (count n_k) of the n_k radiographs of class k, scikit-learn's
            "balanced"; or one number per class.

    Raises:
        ValueError: `class_weights` is neither of these, or it is "inverse" and a class has no radiograph.
    """
    if tuple(class_weights) == ("inverse",):
        counts = np.bincount(labels, minlength=count)
        if not counts.all():
            raise ValueError("training.class_weights=('inverse',) needs a training radiograph of every class")
        return jnp.asarray(len(labels) / (count * counts), jnp.float32)
    return _given_weights(class_weights, count)


def binary_cross_entropy(
    logits: Float[AnyArray, "n k"],
    targets: Float[AnyArray, "n k"],
    positive_weights: Float[AnyArray, "k"],
    gamma: float = 0.0,
    alpha: float = 1.0,
) -> Float[Array, ""]:
    """Compute the cross-entropy of several findings, or its focal form (Lin et al. 2017), in nats.

    Args:
        logits: logits of each example and finding.
        targets: 0..1; entries that are -1 (uncertain) or NaN (unknown) are left out, see `cxrjax.io.findings`.
        positive_weights: weight of positive entries of each finding; negative ones weigh 1.
        gamma: focusing parameter: an entry whose value has the probability p is weighted by (1 - p)^gamma; 0 for plain
            cross-entropy.
        alpha: factor of the whole loss.

    Returns:
        The mean over the known entries, as PyTorch's `BCEWithLogitsLoss(pos_weight=…)`; 0 if there is none.
    """
    known = jnp.asarray(targets) >= 0
    positive = jnp.where(known, targets, 0)
    log_yes = jax.nn.log_sigmoid(logits)
    log_no = jax.nn.log_sigmoid(-logits)
    tiny = jnp.finfo(log_yes.dtype).tiny
    focus_yes = jnp.maximum(jnp.exp(log_no), tiny) ** gamma if gamma else 1.0
    focus_no = jnp.maximum(jnp.exp(log_yes), tiny) ** gamma if gamma else 1.0
    log_likelihood = positive_weights * positive * focus_yes * log_yes + (1 - positive) * focus_no * log_no
    return -alpha * (known * log_likelihood).sum() / jnp.maximum(known.sum(), 1)


def weigh_findings(
    targets: Float[np.ndarray, "n k"], names: Sequence[str], class_weights: Sequence[float | str]
) -> Float32[Array, "k"]:
    """Return the weight of positive entries of each finding in the loss; negative ones weigh 1.

    Args:
        targets: 0..1 of each training radiograph, or negative or NaN where it is not known.
        names: names of the k findings.
        class_weights: () for ones; ("inverse",) for the number of negative over that of positive radiographs; or one
            number per finding.

    Raises:
        ValueError: `class_weights` is neither of these, or it is "inverse" and a finding is never positive.
    """
    if tuple(class_weights) == ("inverse",):
        positive = findings.is_present(targets).sum(0)
        negative = findings.is_absent(targets).sum(0)
        if not positive.all():
            name = names[int(np.flatnonzero(positive == 0)[0])]
            raise ValueError(f"training.class_weights=('inverse',) needs a training radiograph with {name}")
        return jnp.asarray(negative / positive, jnp.float32)
    return _given_weights(class_weights, len(names))


def _given_weights(class_weights: Sequence[float | str], count: int) -> Float32[Array, "{count}"]:
    """Return the weights that are given as numbers, ones for ().

    Raises:
        ValueError: they are not that many numbers.
    """
    if not len(class_weights):
        return jnp.ones(count)
    if len(class_weights) != count or any(isinstance(weight, str) for weight in class_weights):
        raise ValueError(f"training.class_weights={tuple(class_weights)!r} is not (), ('inverse',) or {count} numbers")
    return jnp.asarray(class_weights, jnp.float32)


def penalty(params: Any, l1: float, l2: float, l2_vectors: bool = True) -> Float[Array, ""] | float:
    """Compute the L1 and L2 regularization terms of the loss.

    Args:
        params: pytree of all parameters.
        l1: weight of the sum of the absolute values (original `classification/train.py`).
        l2: weight of the sum of the squares, not halved, as in Keras (original manastahir `src/models.py`).
        l2_vectors: whether the sum of squares includes biases and batch norms, or matrices and kernels only (Keras's
            `kernel_regularizer`).
    """
    leaves = jax.tree.leaves(params)
    l2_leaves = [leaf for leaf in leaves if l2_vectors or leaf.ndim > 1]
    l1_term = l1 * sum(jnp.abs(leaf).sum() for leaf in leaves) if l1 else 0.0
    return l1_term + (l2 * sum(jnp.square(leaf).sum() for leaf in l2_leaves) if l2 else 0.0)
