"""Where a finding was seen: class activation maps of patches, and the map of the radiograph they add up to.

Oh et al. 2020, section II-D; original `classification/visualize_cnn.py`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.ops import patches
from cxrjax.runtime.platform import is_for_cpu

SCALINGS = ("peak", "range")
_ROUNDING = 1e-5  # a share of a map's highest value: less is not told from none, once a map is enlarged in float32


def class_activation_map(features: Array, kernel: Array, finding: Array) -> Array:
    """CAM (Zhou et al. 2016) of one class, from the forward pass alone, its negative part cut off.

    For a network that ends in a global mean and a linear layer this is h w times `grad_cam`, hence the same map.

    Args:
        features: float [N, h, w, C], the last feature maps.
        kernel: float [C, K], of the linear layer.
        finding: index of the class; or indices [M] of several.

    Returns:
        float [N, h, w], at least 0; or of several [N, h, w, M].

    Examples:
        >>> import cxrjax as cx
        >>> features = np.ones((1, 7, 7, 2), np.float32)
        >>> kernel = np.array([[1.0, -1.0], [2.0, 1.0]], np.float32)
        >>> cx.ops.class_activation_map(features, kernel, 0).shape
        (1, 7, 7)
    """
    return jax.nn.relu(jnp.matmul(features, kernel[:, finding], precision="highest"))


def grad_cam(head: Callable[[Array], Array], features: Array, finding: Array) -> Array:
    """Grad-CAM (Selvaraju et al. 2017) of one class, for any head.

    Args:
        head: feature maps [N, h, w, C] -> logits [N, K], each patch on its own.
        features: float [N, h, w, C].
        finding: index of the class whose logit, and no other, is differentiated.

    Returns:
        float [N, h, w], at least 0.

    Examples:
        >>> import cxrjax as cx
        >>> features = np.ones((2, 7, 7, 3), np.float32)
        >>> cx.ops.grad_cam(lambda f: f.mean((1, 2)), features, 1).shape
        (2, 7, 7)
    """
    gradient = jax.grad(lambda f: head(f)[:, finding].sum())(features)
    return jax.nn.relu((features * gradient.mean((1, 2), keepdims=True)).sum(-1))


def scale(activations: Array, scaling: str = "peak", size: int | None = None) -> Array:
    """Return maps of patches, each scaled so that its highest value is 1.

    "peak" divides by the highest value, so that a map that is positive everywhere keeps a floor above 0. "range" takes
    the lowest value for 0, as Oh et al.'s maps do: their `gradcam` package scales each enlarged map from its lowest
    value to its highest. A map that is even, for which that package divides by 0, is then 0.

    Args:
        activations: float [..., h, w], at least 0.
        scaling: of SCALINGS.
        size: side of the maps once they are enlarged linearly, whose lowest and highest value count for "range"; None
            for those of the maps as they are.

    Returns:
        float [..., h, w], in 0..1; of "range" and a size, in 0..1 once they are enlarged. Zeros stay zeros.

    Raises:
        ValueError: there is no such scaling.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"no saliency.scaling called {scaling!r}; there are {', '.join(SCALINGS)}")
    seen = activations
    if scaling == "range" and size is not None:
        seen = jax.image.resize(activations, (*activations.shape[:-2], size, size), "linear")
    highest = seen.max((-2, -1), keepdims=True)
    lowest = seen.min((-2, -1), keepdims=True) if scaling == "range" else jnp.zeros_like(highest)
    span = highest - lowest
    uneven = span > _ROUNDING * highest
    return jnp.where(uneven, (activations - lowest) / jnp.where(uneven, span, 1), 0)


def probability_weighted_map(
    activations: Array, probabilities: Array, centres: Array, size: int, shape: tuple, scaling: str = "peak"
) -> Array:
    """The probability-weighted map: map(x) = sum_k p_k CAM_k(x) / count(x) over the patches k that cover x.

    Args:
        activations: float [N, h, w], a patch each, at least 0.
        probabilities: float [N], of the class shown, in each patch.
        centres: int [N, 2], of the patches.
        size: side of a patch, in pixels.
        shape: height and width of the radiograph.
        scaling: of each patch's map; see `scale`.

    Returns:
        float32 [H, W] in 0..1; 0 where no patch lies.

    Examples:
        >>> import cxrjax as cx
        >>> activations = np.ones((1, 7, 7), np.float32)
        >>> saliency = cx.ops.probability_weighted_map(activations, np.array([0.8]), np.array([[32, 32]]), 28, (64, 64))
        >>> saliency.shape, round(float(saliency.max()), 4)
        ((64, 64), 0.8)
    """
    scaled = scale(activations, scaling, size)
    if not is_for_cpu():
        return _weigh_by_products(scaled * probabilities[:, None, None], centres, size, shape)
    full = jax.image.resize(scaled, (len(activations), size, size), "linear")
    total = patches.paste(full * probabilities[:, None, None], centres, shape)
    count = patches.paste(jnp.ones_like(full), centres, shape)
    return total / jnp.maximum(count, 1)


def _weigh_by_products(maps: Array, centres: Array, size: int, shape: tuple[int, int]) -> Array:
    """Enlarge maps [N, h, w], lay them where their patches lie, and average: by matrix products, and no loop.

    Enlarging is linear along either axis, and so is laying down: each patch adds `rows @ map @ columns.T`, where rows
    and columns say what a pixel of the radiograph takes of each cell of the map.
    """
    parts = []
    for axis in range(2):
        cells = maps.shape[1 + axis]
        weights = jax.image.resize(jnp.eye(cells), (size, cells), "linear")
        pixel = jnp.arange(shape[axis]) - centres[:, axis, None] + size // 2  # within each patch, [N, H]
        inside = (pixel >= 0) & (pixel < size)
        parts.append((inside, jnp.where(inside[..., None], weights[jnp.clip(pixel, 0, size - 1)], 0)))
    (in_rows, rows), (in_columns, columns) = parts
    placed = jnp.einsum("nrh,nhw->nrw", rows, maps, precision="highest")
    total = jnp.einsum("nrw,ncw->rc", placed, columns, precision="highest")
    covered = [part.astype(jnp.bfloat16) for part in (in_rows, in_columns)]  # 0 and 1, which bfloat16 has exactly
    count = jnp.einsum("nr,nc->rc", *covered, preferred_element_type=jnp.float32)
    return total / jnp.maximum(count, 1)


def probability_weighted_windows(
    activations: Array, probabilities: Array, counted: Array, scaling: str = "peak"
) -> Array:
    """The probability-weighted map of windows of one feature map, cell by cell: see `weigh_by_probability`.

    Args:
        activations: float [n, m, side, side], a window each, at least 0.
        probabilities: float [n, m], of the class shown, in each window.
        counted: bool [n, m], which windows are shown.
        scaling: of each window's map, by its cells; see `scale`.

    Returns:
        float32 [n + side - 1, m + side - 1] in 0..1; 0 where no window that is shown lies.
    """
    weights = (probabilities * counted)[..., None, None]
    total = patches.add_windows(scale(activations, scaling) * weights)
    return total / jnp.maximum(count_windows(counted, activations.shape[-1]), 1)


def count_windows(counted: Array, side: int) -> Array:
    """How many of the windows bool [n, m], of `side` cells a side, lie over each cell: float32 [h, w]."""
    shape = (*counted.shape, side, side)
    return patches.add_windows(jnp.broadcast_to(counted[..., None, None], shape).astype(jnp.float32))
