"""The interface of a tracker, and its arguments."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from cxrjax.config import Config


class Tracker(Protocol):
    """A program that records one training; any method may raise any error."""

    def log_config(self, config: Config) -> None:
        """Record the settings of the training."""
        ...

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers after a training step, by their names."""
        ...

    def log_image(self, name: str, rgb: np.ndarray, step: int) -> None:
        """Record an image after a training step: RGB uint8 [h, w, 3]."""
        ...

    def close(self, finished: bool) -> None:
        """Write what is pending; `finished` is False for a training that was stopped before its end."""
        ...


class TrackerStart(NamedTuple):
    """Arguments of a tracker: the training that it records."""

    config: Config
    workdir: Path  # the run directory; its name is that of the training
    step: int  # the training step that the process starts from
    run_id: str | None  # id that the tracker gave the training before; None for its first start
    save_run_id: Callable[[str], None]  # writes the id to trackers.json
