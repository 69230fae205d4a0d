"""Apply trained networks: to files (`predict_files`), to anything as a model, and to arrays as pure functions."""

from typing import TYPE_CHECKING

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

if TYPE_CHECKING:  # the same names for type checkers
    from cxrjax.inference.functional import PipelineSpec as PipelineSpec
    from cxrjax.inference.functional import classify_patches as classify_patches
    from cxrjax.inference.functional import image_keys as image_keys
    from cxrjax.inference.functional import predict as predict
    from cxrjax.inference.functional import saliency_map as saliency_map
    from cxrjax.inference.functional import segment_lungs as segment_lungs

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "PipelineSpec": "cxrjax.inference.functional:PipelineSpec",
        "classify_patches": "cxrjax.inference.functional:classify_patches",
        "image_keys": "cxrjax.inference.functional:image_keys",
        "predict": "cxrjax.inference.functional:predict",
        "saliency_map": "cxrjax.inference.functional:saliency_map",
        "segment_lungs": "cxrjax.inference.functional:segment_lungs",
    },
)
