"""Silence of the DICOM libraries, whose warnings and log messages quote values of a header."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_logger = logging.getLogger("highdicom")  # `cxrjax.io.decoding` silences that of pydicom for good
_lock = threading.RLock()  # filters of warnings and levels of loggers are those of the whole process


@contextmanager
def silence() -> Iterator[None]:
    """Suppress warnings of pydicom and log messages of highdicom; threads enter one after another."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = _logger.level
        _logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            _logger.setLevel(level)
