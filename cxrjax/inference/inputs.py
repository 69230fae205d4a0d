"""Preparation of images for the networks: scaling, normalization, resizing and masking."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.models import registry, spec

# Of red, green and blue in 0..1; torchvision's `transforms/_presets.py`.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class SegmentedRadiograph(NamedTuple):
    """A radiograph from which patches are sampled; for B radiographs, every field has a first axis B."""

    image: Array  # uint8 [S, S]
    lung_mask: Array | None  # bool [S, S]; may be None where the settings require no segmentation
    lung_confidence: Array | None  # float in 0..1, mean lung probability in the mask; None if `lung_mask` is None
    key: Array  # random key that patches are drawn by


class PatchSample(NamedTuple):
    """Pixels of one radiograph that the classifier reads; see `strategies.PatchStrategy.sample`."""

    pixels: Array  # uint8 [P, side, side] or [P, side, side, 3]: N patches, or for sliding windows the radiograph
    centers: Array  # int32 [N, 2], (row, column) of the patches' centers; of the lungs' box its borders [1, 2, 2]
    valid: Array  # bool [N], which patches vote


class PatchPredictions(NamedTuple):
    """Outputs of the classifier for N patches of one radiograph, for K classes."""

    centers: Array  # int32, see `PatchSample`
    logits: Array  # float32 [N, K]
    features: Array  # float32 [N, h, w, C], last feature maps; for sliding windows [1, h, w, C], of the radiograph
    valid: Array  # bool [N], which patches vote


def to_float(pixels: Array) -> Array:
    """Convert gray levels uint8 of any shape to float32 in 0..1."""
    return pixels.astype(jnp.float32) / 255


def prepare(network: spec.ModelSpec, variables: Mapping[str, Any], levels: Array) -> tuple[Mapping[str, Any], Array]:
    """Return variables and an input by which a network reads images, without repeating gray levels for each channel.

    All channels of a gray image are affine functions of its level. They are folded into the first convolution, which
    takes a third of the work of three channels, or two thirds if the functions have an offset: the input is then the
    level and a channel of ones, whose convolution is that of the offsets, up to the zero padding at the border.

    Args:
        network: Network that reads the images.
        variables: Its variables; gradients flow through those that are returned.
        levels: float in 0..1: gray levels [B, H, W], or enhanced channels [B, H, W, channels].

    Returns:
        Variables, and an input float32 [B, H, W, channels], with 1 or 2 channels if they are folded. The network's
        outputs for both equal those for the given variables and `normalize(levels, network)`.

    Raises:
        ValueError: See `normalize`.
    """
    if levels.ndim == 4 or network.in_channels == 1 or not registry.accepts_gray(network.module):
        return variables, normalize(levels, network)
    levels = levels[..., None]
    if not _is_photographic(network):
        return registry.fold_gray(network.module, variables, jnp.ones((network.in_channels, 1))), levels
    mean = jnp.array(IMAGENET_MEAN)
    deviation = jnp.array(IMAGENET_DEVIATION)
    middle = mean.mean()  # about it the offsets are small, so that their sum with the levels loses no precision
    weights = jnp.stack([1 / deviation, (middle - mean) / deviation], axis=1)  # [channels, 2]
    x = jnp.concatenate([levels - middle, jnp.ones_like(levels)], axis=-1)
    return registry.fold_gray(network.module, variables, weights), x


def normalize(levels: Array, network: spec.ModelSpec) -> Array:
    """Normalize images for a network.

    Args:
        levels: float in 0..1: gray levels [B, H, W], which are repeated for each channel, or enhanced channels
            [B, H, W, channels].
        network: Network that reads them.

    Returns:
        float32 [B, H, W, channels].

    Raises:
        ValueError: The number of channels is not the network's, `network.normalization` is unknown, or it is
            "imagenet" and the network does not read three channels.
    """
    photographic = _is_photographic(network)
    x = levels if levels.ndim == 4 else jnp.broadcast_to(levels[..., None], (*levels.shape, network.in_channels))
    if x.shape[-1] != network.in_channels:
        raise ValueError(f"the patches have {x.shape[-1]} channels, and the network reads {network.in_channels}")
    return (x - jnp.array(IMAGENET_MEAN)) / jnp.array(IMAGENET_DEVIATION) if photographic else x


def _is_photographic(network: spec.ModelSpec) -> bool:
    """Return whether a network reads images normalized by ImageNet's mean and deviation.

    Raises:
        ValueError: See `normalize`.
    """
    if network.normalization not in ("none", "imagenet"):
        raise ValueError(f"no normalization called {network.normalization!r}; there are none, imagenet")
    photographic = network.normalization == "imagenet"
    if photographic and network.in_channels != 3:
        raise ValueError(f"the normalization imagenet has 3 channels, and the network reads {network.in_channels}")
    return photographic


def downsample(images: Array, size: int) -> Array:
    """Resize images uint8 [B, S, S] or [B, S, S, C] to `size` pixels a side, antialiased."""
    small = jax.image.resize(images.astype(jnp.float32), (len(images), size, size, *images.shape[3:]), "linear")
    return jnp.round(small).astype(jnp.uint8)


def mask_lungs(radiograph: SegmentedRadiograph, settings: spec.InferenceConfig) -> Array:
    """Return the image uint8 [S, S], all but the lungs set to 0 if `settings.mask_lungs`."""
    if not settings.mask_lungs:
        return radiograph.image
    assert radiograph.lung_mask is not None
    return jnp.where(radiograph.lung_mask, radiograph.image, 0)
