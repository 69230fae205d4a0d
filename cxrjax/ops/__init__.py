"""Pure image operations in JAX: patches, votes, saliency maps, lung masks, augmentation."""

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "AugmentationConfig": "cxrjax.config.settings:AugmentationConfig",
        "augment_patch": "cxrjax.ops.augmentation:augment_patch",
        "clahe": "cxrjax.ops.contrast:clahe",
        "class_activation_map": "cxrjax.ops.cam:class_activation_map",
        "count_votes": "cxrjax.ops.voting:count_votes",
        "extract_patches": "cxrjax.ops.patches:extract_patches",
        "grad_cam": "cxrjax.ops.cam:grad_cam",
        "postprocess_mask": "cxrjax.ops.lung_masks:postprocess_mask",
        "probability_weighted_map": "cxrjax.ops.cam:probability_weighted_map",
        "sample_patch_centers": "cxrjax.ops.patches:sample_patch_centers",
    },
)
