"""Scores with intervals: functions of rows and arrays."""

from typing import TYPE_CHECKING

from cxrjax.runtime.lazy_imports import lazy_imports as _lazy_imports

if TYPE_CHECKING:  # the same names for type checkers
    from cxrjax.metrics.classification import dice as dice
    from cxrjax.metrics.hypothesis_tests import delong_test as delong_test
    from cxrjax.metrics.simple import auroc as auroc
    from cxrjax.metrics.simple import average_precision as average_precision
    from cxrjax.metrics.simple import bootstrap_ci as bootstrap_ci
    from cxrjax.metrics.simple import expected_calibration_error as expected_calibration_error
    from cxrjax.metrics.simple import mcnemar_test as mcnemar_test

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
