"""Pure image operations in JAX: patches, votes, saliency maps, lung masks, augmentation."""

from typing import TYPE_CHECKING

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

if TYPE_CHECKING:  # the same names for type checkers
    from cxrjax.config.settings import AugmentationConfig as AugmentationConfig
    from cxrjax.ops.augmentation import augment_patch as augment_patch
    from cxrjax.ops.cam import class_activation_map as class_activation_map
    from cxrjax.ops.cam import grad_cam as grad_cam
    from cxrjax.ops.cam import probability_weighted_map as probability_weighted_map
    from cxrjax.ops.contrast import clahe as clahe
    from cxrjax.ops.lung_masks import postprocess_mask as postprocess_mask
    from cxrjax.ops.patches import extract_patches as extract_patches
    from cxrjax.ops.patches import sample_patch_centers as sample_patch_centers
    from cxrjax.ops.voting import count_findings as count_findings
    from cxrjax.ops.voting import count_votes as count_votes

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "AugmentationConfig": "cxrjax.config.settings:AugmentationConfig",
        "augment_patch": "cxrjax.ops.augmentation:augment_patch",
        "clahe": "cxrjax.ops.contrast:clahe",
        "class_activation_map": "cxrjax.ops.cam:class_activation_map",
        "count_findings": "cxrjax.ops.voting:count_findings",
        "count_votes": "cxrjax.ops.voting:count_votes",
        "extract_patches": "cxrjax.ops.patches:extract_patches",
        "grad_cam": "cxrjax.ops.cam:grad_cam",
        "postprocess_mask": "cxrjax.ops.lung_masks:postprocess_mask",
        "probability_weighted_map": "cxrjax.ops.cam:probability_weighted_map",
        "sample_patch_centers": "cxrjax.ops.patches:sample_patch_centers",
    },
)
