"""Saliency maps: class activation maps of patches and their combination into a map of the radiograph.

Oh et al. 2020, section II-D; original `classification/visualize_cnn.py`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int

from cxrjax.ops import patches
from cxrjax.runtime.arrays import AnyArray
from cxrjax.runtime.platform import is_for_cpu

SCALINGS = ("peak", "range")
_ROUNDING = 1e-5  # range below which a map enlarged in float32 counts as constant, as a share of its highest value


def class_activation_map(
    features: Float[AnyArray, "p h w c"], kernel: Float[AnyArray, "c k"], class_index: Int[AnyArray, "*m"] | int
) -> Float[Array, "p h w *m"]:
    """Compute the CAM (Zhou et al. 2016) of a class from the forward pass, with negative values set to 0.

    For a network that ends in global average pooling and a linear layer this is h w times `grad_cam`, and thus the same
    map after scaling.

    Args:
        features: the last feature maps.
        kernel: the kernel of the linear layer.
        class_index: index of the class, or indices of several classes.

    Returns:
        Maps, at least 0.

    Examples:
        >>> import cxrjax as cx
        >>> features = np.ones((1, 7, 7, 2), np.float32)
        >>> kernel = np.array([[1.0, -1.0], [2.0, 1.0]], np.float32)
        >>> cx.ops.class_activation_map(features, kernel, 0).shape
        (1, 7, 7)
    """
    return jax.nn.relu(jnp.matmul(features, kernel[:, class_index], precision="highest"))


def grad_cam(
    head: Callable[[Float[Array, "p h w c"]], Float[Array, "p k"]],
    features: Float[AnyArray, "p h w c"],
    class_index: Int[AnyArray, ""] | int,
) -> Float[Array, "p h w"]:
    """Compute Grad-CAM (Selvaraju et al. 2017) of a class, for any head.

    Args:
        head: feature maps -> logits, computed for each patch independently.
        features: the last feature maps.
        class_index: index of the class whose logit is differentiated.

    Returns:
        Maps, at least 0.

    Examples:
        >>> import cxrjax as cx
        >>> features = np.ones((2, 7, 7, 3), np.float32)
        >>> cx.ops.grad_cam(lambda f: f.mean((1, 2)), features, 1).shape
        (2, 7, 7)
    """
    gradient = jax.grad(lambda f: head(f)[:, class_index].sum())(features)
    return jax.nn.relu((features * gradient.mean((1, 2), keepdims=True)).sum(-1))


def rescale(
    activations: Float[AnyArray, "*batch h w"], scaling: str = "peak", size: int | None = None
) -> Float[Array, "*batch h w"]:
    """Scale the map of each patch so that its highest value is 1.

    "peak" divides by the highest value, so that a map that is positive everywhere keeps a minimum above 0. "range" maps
    the lowest value to 0, as the original does: the `gradcam` package used by Oh et al. scales each enlarged map from
    its lowest value to its highest. A constant map, for which that package divides by 0, becomes 0.

    Args:
        activations: maps, at least 0.
        scaling: one of SCALINGS.
        size: side of the linearly enlarged maps, whose lowest and highest values count for "range"; None to take those
            of the maps themselves.

    Returns:
        Maps in 0..1; with "range" and a size, in 0..1 after enlarging. Maps of zeros stay zero.

    Raises:
        ValueError: there is no such scaling.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"no saliency.scaling called {scaling!r}; there are {', '.join(SCALINGS)}")
    enlarged = activations
    if scaling == "range" and size is not None:
        enlarged = jax.image.resize(activations, (*activations.shape[:-2], size, size), "linear")
    highest = enlarged.max((-2, -1), keepdims=True)
    lowest = enlarged.min((-2, -1), keepdims=True) if scaling == "range" else jnp.zeros_like(highest)
    span = highest - lowest
    varies = span > _ROUNDING * highest
    return jnp.where(varies, (activations - lowest) / jnp.where(varies, span, 1), 0)


def probability_weighted_map(
    activations: Float[AnyArray, "p h w"],
    probabilities: Float[AnyArray, "p"],
    centers: Int[AnyArray, "p 2"],
    size: int,
    shape: tuple[int, ...],
    scaling: str = "peak",
) -> Float[Array, "{shape[0]} {shape[1]}"]:
    """Combine the maps of patches: map(x) = sum_k p_k CAM_k(x) / count(x) over the patches k that cover pixel x.

    Args:
        activations: the map of each patch, at least 0.
        probabilities: probability of the class in each patch.
        centers: (row, column) of the center of each patch.
        size: side of a patch in pixels.
        shape: height and width of the radiograph.
        scaling: scaling of each patch's map; see `rescale`.

    Returns:
        The map of the radiograph in 0..1; 0 where there is no patch.

    Examples:
        >>> import cxrjax as cx
        >>> activations = np.ones((1, 7, 7), np.float32)
        >>> saliency = cx.ops.probability_weighted_map(activations, np.array([0.8]), np.array([[32, 32]]), 28, (64, 64))
        >>> saliency.shape, round(float(saliency.max()), 4)
        ((64, 64), 0.8)
    """
    scaled = rescale(activations, scaling, size)
    if not is_for_cpu():
        return _average_by_matmul(scaled * probabilities[:, None, None], centers, size, shape)
    enlarged = jax.image.resize(scaled, (len(activations), size, size), "linear")
    total = patches.paste(enlarged * probabilities[:, None, None], centers, shape)
    count = patches.paste(jnp.ones_like(enlarged), centers, shape)
    return total / jnp.maximum(count, 1)


def _average_by_matmul(
    maps: Float[Array, "p h w"], centers: Int[AnyArray, "p 2"], size: int, shape: tuple[int, ...]
) -> Float[Array, "{shape[0]} {shape[1]}"]:
    """Enlarge maps, paste them at their patches and average them, by matrix products instead of a loop.

    Enlarging and pasting are linear along each axis: each patch adds `rows @ map @ columns.T`, where `rows` and
    `columns` are the weights of the cells of the map in the pixels of the radiograph.
    """
    masks = []
    weights = []
    for axis in range(2):
        cells = maps.shape[1 + axis]
        resize = jax.image.resize(jnp.eye(cells), (size, cells), "linear")  # [size, cells]
        pixel = jnp.arange(shape[axis]) - centers[:, axis, None] + size // 2  # position within each patch, [p, H]
        inside = (pixel >= 0) & (pixel < size)
        masks.append(inside.astype(jnp.bfloat16))  # bfloat16 represents 0 and 1 exactly
        weights.append(jnp.where(inside[..., None], resize[jnp.clip(pixel, 0, size - 1)], 0))  # [p, H, cells]
    rows, columns = weights
    resized_rows = jnp.einsum("prh,phw->prw", rows, maps, precision="highest")
    total = jnp.einsum("prw,pcw->rc", resized_rows, columns, precision="highest")
    count = jnp.einsum("pr,pc->rc", *masks, preferred_element_type=jnp.float32)
    return total / jnp.maximum(count, 1)


def probability_weighted_windows(
    activations: Float[AnyArray, "rows columns side side"],
    probabilities: Float[AnyArray, "rows columns"],
    valid: Bool[AnyArray, "rows columns"],
    scaling: str = "peak",
) -> Float[Array, "rows+side-1 columns+side-1"]:
    """Combine the maps of the windows of one feature map, cell by cell, as `probability_weighted_map`.

    Args:
        activations: the map of each window, at least 0.
        probabilities: probability of the class in each window.
        valid: windows that count.
        scaling: scaling of each window's map, by its cells; see `rescale`.

    Returns:
        The map of the cells in 0..1; 0 where there is no valid window.
    """
    weights = (probabilities * valid)[..., None, None]
    total = patches.add_windows(rescale(activations, scaling) * weights)
    return total / jnp.maximum(count_windows(valid, activations.shape[-1]), 1)


def count_windows(valid: Bool[AnyArray, "rows columns"], side: int) -> Float32[Array, "rows+{side}-1 columns+{side}-1"]:
    """Count the valid windows, of `side` x `side` cells, that cover each cell."""
    shape = (*valid.shape, side, side)
    return patches.add_windows(jnp.broadcast_to(valid[..., None, None], shape).astype(jnp.float32))
