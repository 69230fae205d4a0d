"""Scores with intervals: functions of rows and arrays."""

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

__getattr__, __dir__, __all__ = _lazy_imports(
    __name__,
    {
        "auroc": "cxrjax.metrics.simple:auroc",
        "average_precision": "cxrjax.metrics.simple:average_precision",
        "bootstrap_ci": "cxrjax.metrics.simple:bootstrap_ci",
        "delong_test": "cxrjax.metrics.hypothesis_tests:delong_test",
        "dice": "cxrjax.metrics.classification:dice",
        "expected_calibration_error": "cxrjax.metrics.simple:expected_calibration_error",
        "mcnemar_test": "cxrjax.metrics.simple:mcnemar_test",
    },
)
