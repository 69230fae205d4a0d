"""Specifications of a network and of inference, built from a config once."""

from typing import NamedTuple

import flax.linen as nn

from cxrjax.models import initializers


class ModelSpec(NamedTuple):
    """A network and the images that it reads."""

    module: nn.Module
    patch_size: int  # pixels per side of the patch (for a segmenter: of the radiograph), without the context
    in_channels: int  # 1, or 3 if it was trained on color images: the gray level is then repeated
    normalization: str = "none"  # or "imagenet": by ImageNet's mean and standard deviation, as published weights expect
    context_pixels: int = 0  # border on each side of the patch that a classifier's backbone reads and its head does not
    initializer: initializers.Initializer = initializers.HE_NORMAL  # distribution of the random weights

    @property
    def input_size(self) -> int:
        """Side of the input in pixels, context included."""
        return self.patch_size + 2 * self.context_pixels


class PatchMode(NamedTuple):
    """Facts about a value of `patches.mode`; `cxrjax.inference.strategies` has the functions."""

    draws_patches: bool = False  # several patches per radiograph, at random positions in the lungs
    requires_lungs: bool = True  # without lungs there is nothing to show to the classifier
    has_context: bool = False  # whether `patches.context` applies


PATCH_MODES = {
    "local": PatchMode(draws_patches=True, has_context=True),
    "dense": PatchMode(has_context=True),
    "global": PatchMode(requires_lungs=False),
    "crop": PatchMode(),
}


class InferenceConfig(NamedTuple):
    """How radiographs are diagnosed; every value comes from the config, under the same name."""

    mode: str  # "local": patches of the lungs; "dense": all windows of one look at the whole, which are such patches;
    # or one that votes alone: "global", the radiograph, or "crop", the lungs
    masked: bool  # whether all but the lungs is blackened; the centres of patches lie in the lungs either way
    patch_count: int  # N, centres drawn in the lungs; 1 where the mode is not "local"
    patch_chunk: int  # patches classified at once: bounds the memory, changes no result
    voting_rule: str  # of `voting.RULES`
    smallest_part: float  # parts of a lung mask below this share of the picture are dropped
    smallest_lungs: float  # below this share of the picture there are no lungs
    channels: str  # what is shown of a radiograph: "grey", or "contrast" (see `contrast.make_channels`)
    margin: float  # of "crop": share of the lungs' box added on each side
    confidence: float  # of "crop": where that of the lungs is not above it, the whole radiograph is shown
    center_crop: float = 0.0  # of "global": share of the side that is cut off, so that the middle is shown
    scaling: str = "peak"  # of each patch's saliency map, of `cam.SCALINGS`

    @property
    def needs_lungs(self) -> bool:
        """Whether there is no finding without lungs: patches are drawn in them, or all else is blackened."""
        return PATCH_MODES[self.mode].requires_lungs or self.masked
