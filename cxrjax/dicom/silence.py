"""Silence of the DICOM libraries, whose warnings and log messages quote values of a header."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("pydicom", "highdicom")
_lock = threading.RLock()  # filters of warnings and levels of loggers are those of the whole process


@contextmanager
def silence() -> Iterator[None]:
    """Suppress warnings and log messages of pydicom and highdicom; threads enter one after another."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = {name: logging.getLogger(name).level for name in _LOGGERS}
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
