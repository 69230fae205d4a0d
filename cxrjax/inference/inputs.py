"""What the networks are shown of a radiograph, and where on it that lies (section II-C)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models import registry, spec
from cxrjax.models.layers.conv import Gray
from cxrjax.ops import contrast, lung_crop, patches

# Of red, green and blue in 0..1; torchvision's `transforms/_presets.py`.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PatchPredictions(NamedTuple):
    """What a classifier made of one radiograph: N looks at it, or the N windows of one (see `cxrjax.inference.dense`)."""

    places: Array  # int32, where they lie: of `draw_patches`, or the centres [N, 2] of windows
    logits: Array  # float32 [N, K]
    features: Array  # float32 [N, h, w, C], last feature maps; of windows [1, h, w, C], that of the whole radiograph
    counted: Array  # bool [N], which of them vote


def to_float(pixels: Array) -> Array:
    """Grey levels uint8 -> float32 in 0..1, of any shape."""
    return pixels.astype(jnp.float32) / 255


def normalize(levels: Array, network: spec.ModelSpec) -> Array | Gray:
    """What a network reads: float32 [B, H, W, channels], or the level that all are made of where it takes that.

    Args:
        levels: float in 0..1: grey levels [B, H, W], which every channel repeats, or made channels [B, H, W, channels].
        network: see Network.

    Raises:
        ValueError: not as many channels as it reads, no such way to normalise, or not three channels to do it for.
    """
    if network.normalise not in ("none", "imagenet"):
        raise ValueError(f"no way to normalise called {network.normalise!r}; there are none, imagenet")
    photographic = network.normalise == "imagenet"
    if photographic and network.channels != 3:
        raise ValueError(f"imagenet's mean and deviation are of 3 channels, and the network reads {network.channels}")
    mean, deviation = jnp.array(IMAGENET_MEAN), jnp.array(IMAGENET_DEVIATION)
    if levels.ndim == 3 and network.channels > 1 and registry.accepts_gray(network.module):
        if not photographic:
            return Gray(levels[..., None], jnp.ones(network.channels), None)
        middle = mean.mean()  # about which the shifts are small, and nothing is lost between them and the levels
        return Gray(levels[..., None] - middle, 1 / deviation, (middle - mean) / deviation)
    x = levels if levels.ndim == 4 else jnp.broadcast_to(levels[..., None], (*levels.shape, network.channels))
    if x.shape[-1] != network.channels:
        raise ValueError(f"patches of {x.shape[-1]} channels were made, and the network reads {network.channels}")
    return (x - mean) / deviation if photographic else x


def downsample(images: Array, size: int) -> Array:
    """A smaller form of radiographs: uint8 [B, S, S] or [B, S, S, C] -> [B, size, size] or so, antialiased."""
    small = jax.image.resize(images.astype(jnp.float32), (len(images), size, size, *images.shape[3:]), "linear")
    return jnp.round(small).astype(jnp.uint8)


def apply_mask(image: Array, lungs: Array | None, settings: spec.InferenceConfig) -> Array:
    """The radiograph uint8 [S, S] as the settings have it: all but the lungs bool [S, S] blackened, or as it is."""
    return jnp.where(lungs, image, 0) if settings.masked else image


def sample_patches(
    image: Array,
    lungs: Array | None,
    confidence: Array | None,
    key: Array,
    size: int,
    settings: spec.InferenceConfig,
    anywhere: Array | bool = False,
) -> tuple[Array, Array]:
    """What the classifier is shown of one radiograph (section II-C, and the paper's comparison of local with global).

    Args:
        image: uint8 [S, S].
        lungs: bool [S, S], or None where `settings` needs none.
        confidence: float in 0..1, of the lungs; or None beside lungs of None.
        key: random key.
        size: side of a patch, its context included.
        settings: see Settings; "dense" is learned from the patches of "local".
        anywhere: whether what "global" shows lies anywhere in the radiograph, by the key, as in training; else it lies
            in the middle.

    Returns:
        Where they lie, and the patches uint8 [N, size, size], or [N, size, size, 3] of "contrast". Where: of "local"
        and "dense", their centres int32 [N, 2]; of "global", the centre of what is shown; of "crop", a box
        int32 [1, 2, 2] (see `lung_crop`).

    Raises:
        ValueError: no such mode, or no such channels.
    """
    shown = apply_mask(image, lungs, settings)
    if settings.mode == "crop":
        box = lung_crop.box_or_full(lungs, confidence, settings.margin, settings.confidence)
        # The channels are made of the cut alone, at a size that is known to the compiler.
        square = contrast.enhance_channels(lung_crop.crop_resize(shown, box, len(image)), settings.channels)
        return box[None], lung_crop.letterbox(square, box, size)[None]
    shown = contrast.enhance_channels(shown, settings.channels)
    if settings.mode == "global":
        centre, window = _cut_window(shown, key, measure_window(len(image), settings), anywhere)
        return centre[None], downsample(window[None], size)
    if settings.mode not in ("local", "dense"):
        raise ValueError(f"no patches.mode called {settings.mode!r}; there are local, dense, global, crop")
    centres = patches.sample_patch_centers(key, lungs, settings.patch_count)
    return centres, patches.extract_patches(shown, centres, size)


def measure_window(size: int, settings: spec.InferenceConfig) -> int:
    """Return the side, in pixels, of what "global" shows of a radiograph of `size` pixels a side; at least 1."""
    return max(1, round(size * (1 - settings.center_crop)))


def patch_extent(classifier: spec.ModelSpec, image: Array, settings: spec.InferenceConfig) -> int:
    """Side, in pixels of the radiograph, of what the classifier sees at once; of "crop", the box says."""
    return measure_window(image.shape[0], settings) if settings.mode == "global" else classifier.size


def receptive_mask(classifier: spec.ModelSpec, image: Array, places: Array, settings: spec.InferenceConfig) -> Array:
    """The pixels that the classifier is shown: the radiograph [S, S] and places of `draw_patches` -> bool [S, S]."""
    side = patch_extent(classifier, image, settings)
    if settings.mode == "crop":
        return lung_crop.uncrop(jnp.ones((side, side)), places[0], image.shape) > 0
    return patches.paste(jnp.ones((len(places), side, side)), places, image.shape) > 0


def _cut_window(image: Array, key: Array, side: int, anywhere: Array | bool) -> tuple[Array, Array]:
    """Cut a square of `side` pixels out of an image [S, S] or [S, S, C], in the middle or anywhere.

    Returns:
        Its centre int32 [2], the pixel at (side // 2, side // 2) of it, and the square.
    """
    middle = (len(image) - side) // 2
    if anywhere is False or side == len(image):
        return jnp.full(2, middle + side // 2, jnp.int32), image[middle : middle + side, middle : middle + side]
    corner = jnp.where(anywhere, jax.random.randint(key, (2,), 0, len(image) - side + 1), middle)
    whole = image.shape[2:]
    return corner + side // 2, lax.dynamic_slice(image, [*corner, *[0] * len(whole)], (side, side, *whole))
