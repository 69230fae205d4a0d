"""Preparation of images for the networks: scaling, normalization, resizing and masking."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int32, Key, UInt8

from cxrjax.models import registry, spec
from cxrjax.runtime.arrays import AnyArray


class ChannelStatistics(NamedTuple):
    """Mean and standard deviation of levels in 0..1 by which a network's input is normalized.

    Attributes:
        mean: one number per channel of the network, or one for all.
        deviation: as many numbers.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


# By name; None leaves the levels in 0..1.
NORMALIZATIONS = {
    "none": None,
    # red, green, blue; torchvision's `transforms/_presets.py`
    "imagenet": ChannelStatistics(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)),
    # -1024..1024; torchxrayvision's `utils.normalize`
    "torchxrayvision": ChannelStatistics(mean=(0.5,), deviation=(1 / 2048,)),
}


class SegmentedRadiograph(NamedTuple):
    """A radiograph from which patches are sampled; for n radiographs, every field has a first axis n."""

    image: UInt8[Array, "s s"]
    lung_mask: Bool[Array, "s s"] | None  # may be None where the settings require no segmentation
    lung_confidence: Float[Array, ""] | None  # in 0..1, mean lung probability in the mask; None if `lung_mask` is None
    key: Key[Array, ""]  # random key that patches are drawn by


class PatchSample(NamedTuple):
    """Pixels of one radiograph that the classifier reads; see `strategies.PatchStrategy.sample`."""

    pixels: UInt8[Array, "images side side *c"]  # p patches, or for sliding windows one image, the radiograph
    centers: (
        Int32[Array, "p 2"] | Int32[Array, "1 2 2"]
    )  # (row, column) of the patches' centers; borders of the lungs' box
    valid: Bool[Array, "p"]  # which patches vote


class PatchPredictions(NamedTuple):
    """Outputs of the classifier for the p patches of one radiograph, for k classes."""

    centers: Int32[Array, "p 2"] | Int32[Array, "1 2 2"]  # see `PatchSample`
    logits: Float32[Array, "p k"]
    features: Float32[Array, "images h w c"]  # last feature maps of the `PatchSample.pixels`
    valid: Bool[Array, "p"]  # which patches vote


def to_float(pixels: UInt8[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """Convert gray levels to 0..1."""
    return pixels.astype(jnp.float32) / 255


def prepare(
    network: spec.ModelSpec, variables: Mapping[str, Any], levels: Float[Array, "n h w *c"]
) -> tuple[Mapping[str, Any], Float[Array, "n h w channels"]]:
    """Return variables and an input by which a network reads images, without repeating gray levels for each channel.

    All channels of a gray image are affine functions of its level. They are folded into the first convolution, which
    takes a third of the work of three channels, or two thirds if the functions have an offset: the input is then the
    level and a channel of ones, whose convolution is that of the offsets, up to the zero padding at the border.

    Args:
        network: Network that reads the images.
        variables: Its variables; gradients flow through those that are returned.
        levels: gray levels, or enhanced channels, in 0..1.

    Returns:
        Variables, and an input with 1 or 2 channels if they are folded, else with those of the network. The network's
        outputs for both equal those for the given variables and `normalize(levels, network)`.

    Raises:
        ValueError: See `normalize`.
    """
    if levels.ndim == 4 or network.in_channels == 1 or not registry.accepts_gray(network.module):
        return variables, normalize(levels, network)
    levels = levels[..., None]
    statistics = channel_statistics(network)
    if statistics is None:
        return registry.fold_gray(network.module, variables, jnp.ones((network.in_channels, 1))), levels
    mean = jnp.broadcast_to(jnp.array(statistics.mean), network.in_channels)
    deviation = jnp.broadcast_to(jnp.array(statistics.deviation), network.in_channels)
    middle = mean.mean()  # about it the offsets are small, so that their sum with the levels loses no precision
    weights = jnp.stack([1 / deviation, (middle - mean) / deviation], axis=1)  # [channels, 2]
    x = jnp.concatenate([levels - middle, jnp.ones_like(levels)], axis=-1)
    return registry.fold_gray(network.module, variables, weights), x


def normalize(levels: Float[Array, "n h w *c"], network: spec.ModelSpec) -> Float[Array, "n h w channels"]:
    """Normalize images for a network.

    Args:
        levels: gray levels, which are repeated for each channel, or enhanced channels, in 0..1.
        network: Network that reads them.

    Returns:
        The input of the network.

    Raises:
        ValueError: The number of channels is not the network's, or see `channel_statistics`.
    """
    statistics = channel_statistics(network)
    x = levels if levels.ndim == 4 else jnp.broadcast_to(levels[..., None], (*levels.shape, network.in_channels))
    if x.shape[-1] != network.in_channels:
        raise ValueError(f"the patches have {x.shape[-1]} channels, and the network reads {network.in_channels}")
    return x if statistics is None else (x - jnp.array(statistics.mean)) / jnp.array(statistics.deviation)


def channel_statistics(network: spec.ModelSpec) -> ChannelStatistics | None:
    """Return the statistics by which the input of a network is normalized; None if it reads levels in 0..1.

    Raises:
        ValueError: `network.normalization` is unknown, or is that of another number of channels.
    """
    if network.normalization not in NORMALIZATIONS:
        choices = ", ".join(NORMALIZATIONS)
        raise ValueError(f"no normalization called {network.normalization!r}; there are {choices}")
    statistics = NORMALIZATIONS[network.normalization]
    if statistics is not None and len(statistics.mean) not in (1, network.in_channels):
        raise ValueError(
            f"the normalization {network.normalization} has {len(statistics.mean)} channels, and the network reads "
            f"{network.in_channels}"
        )
    return statistics


def downsample(images: UInt8[AnyArray, "n s s *c"], size: int) -> UInt8[Array, "n {size} {size} *c"]:
    """Resize images to `size` pixels a side, antialiased."""
    small = jax.image.resize(images.astype(jnp.float32), (len(images), size, size, *images.shape[3:]), "linear")
    return jnp.round(small).astype(jnp.uint8)


def mask_lungs(radiograph: SegmentedRadiograph, settings: spec.InferenceConfig) -> UInt8[Array, "s s"]:
    """Return the image, all but the lungs set to 0 if `settings.mask_lungs`."""
    if not settings.mask_lungs:
        return jnp.asarray(radiograph.image)
    assert radiograph.lung_mask is not None
    return jnp.where(radiograph.lung_mask, radiograph.image, 0)
