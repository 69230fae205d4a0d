"""Predictions as DICOM objects, which a viewer shows beside the radiograph (requires cxrjax[dicom])."""

from typing import TYPE_CHECKING

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

if TYPE_CHECKING:  # the same names for type checkers
    from cxrjax.dicom.errors import DicomResultError as DicomResultError
    from cxrjax.dicom.results import build_results as build_results
    from cxrjax.dicom.results import check_installed as check_installed
    from cxrjax.dicom.results import encode as encode
    from cxrjax.dicom.silencing import silence as silence

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "DicomResultError": "cxrjax.dicom.errors:DicomResultError",
        "build_results": "cxrjax.dicom.results:build_results",
        "check_installed": "cxrjax.dicom.results:check_installed",
        "encode": "cxrjax.dicom.results:encode",
        "silence": "cxrjax.dicom.silencing:silence",
    },
)
