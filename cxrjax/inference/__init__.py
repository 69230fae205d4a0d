"""Apply trained networks: to files (`predict_files`), to anything as a model, and to arrays as pure functions."""

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

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
