"""Specifications of a network and of inference, built from a config once."""

from typing import NamedTuple

import flax.linen as nn

from cxrjax.models import initializers


class ModelSpec(NamedTuple):
    """A network and the images that it reads."""

    module: nn.Module
    patch_size: int  # pixels per side of the patch (for a segmenter: of the radiograph), without the context
    in_channels: int  # 1, or 3 if it was trained on color images: the gray level is then repeated
    normalization: str = "none"  # key of `inference.inputs.NORMALIZATIONS`: that which published weights expect
    context_pixels: int = 0  # border on each side of the patch that a classifier's backbone reads and its head does not
    initializer: initializers.Initializer = initializers.HE_NORMAL  # distribution of the random weights

    @property
    def input_size(self) -> int:
        """Side of the input in pixels, context included."""
        return self.patch_size + 2 * self.context_pixels

    @property
    def fingerprint(self) -> str:
        """Text that identifies the network and its input, the same in every process; initial weights do not matter."""
        return repr(self._replace(initializer=None))


class PatchMode(NamedTuple):
    """Facts about a value of `patches.mode`; `cxrjax.inference.strategies` has the functions."""

    draws_patches: bool = False  # several patches per radiograph, at random positions in the lungs
    requires_lungs: bool = True  # without lungs there is nothing to show to the classifier
    has_context: bool = False  # whether `patches.context_pixels` applies


PATCH_MODES = {
    "local": PatchMode(draws_patches=True, has_context=True),
    "dense": PatchMode(has_context=True),
    "global": PatchMode(requires_lungs=False),
    "lung_bbox": PatchMode(),
}


class InferenceConfig(NamedTuple):
    """Settings of inference; `models.from_config.inference_config` reads them from a config."""

    patch_mode: str  # key of PATCH_MODES: what the classifier reads of a radiograph
    mask_lungs: bool  # whether pixels outside the lungs are set to 0; patch centers lie in the lungs in either case
    num_patches: int  # N, patches per radiograph in the mode "local"; 1 in the others
    patch_batch_size: int  # patches classified at once: bounds the memory, does not change results
    aggregation: str  # of `voting.RULES`
    min_component_area: float  # smaller components of a lung mask are removed; fraction of the image
    min_lung_area: float  # a smaller lung mask counts as no lungs; fraction of the image
    channels: str  # "gray", or "enhanced" for three enhanced channels (see `contrast.enhance_channels`)
    bbox_margin: float  # in "lung_bbox": fraction of the lungs' bounding box that is added on each side
    min_lung_confidence: float  # in "lung_bbox": the whole radiograph is used unless the lung confidence is above this
    center_crop: float = 0.0  # in "global": fraction of the side that is cut off, so that the middle remains
    scaling: str = "peak"  # of each patch's saliency map, of `cam.SCALINGS`
    saliency_class: int | None = None  # index of the class that the saliency map shows; None for the predicted class
    with_embeddings: bool = False  # whether predictions have the embeddings of the patches
    with_class_maps: bool = False  # whether predictions have the saliency maps of all classes
    targets: str = "single"  # "single": one class per radiograph, softmax; "multi": findings, a sigmoid each
    thresholds: tuple[float, ...] = ()  # operating point of each finding, at which its probability becomes 0.5

    @property
    def requires_segmentation(self) -> bool:
        """Return whether a prediction requires lungs: patches are drawn in them, or the other pixels are masked."""
        return PATCH_MODES[self.patch_mode].requires_lungs or self.mask_lungs
