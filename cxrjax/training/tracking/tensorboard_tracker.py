"""TensorBoard's event files, in the run directory."""

import json
from collections.abc import Mapping

import numpy as np
from tensorboardX import SummaryWriter

from cxrjax.config import Config
from cxrjax.training.tracking.base import TrackerStart


class TensorBoardTracker:
    """Tracker that writes event files, for `tensorboard --logdir` on the run directory or on a folder of runs."""

    def __init__(self, start: TrackerStart):
        # TensorBoard does not show what a killed process has written after the step that this one starts from.
        # The suffix distinguishes the file from that of a start in the same second.
        suffix = f".{start.step}"
        self._writer = SummaryWriter(str(start.workdir), purge_step=start.step + 1, filename_suffix=suffix)

    def log_config(self, config: Config) -> None:
        lines = json.dumps(config.to_dict(), indent=2).splitlines()
        self._writer.add_text("config", "\n".join(f"    {line}" for line in lines))  # a code block of Markdown

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def log_image(self, name: str, rgb: np.ndarray, step: int) -> None:
        self._writer.add_image(name, rgb, step, dataformats="HWC")

    def close(self, finished: bool) -> None:
        del finished  # event files have no status
        self._writer.close()
