"""Weights & Biases: its server, or with WANDB_MODE=offline files in the run directory."""

import os
import secrets
from collections.abc import Mapping

import numpy as np
import wandb  # pyright: ignore[reportMissingImports] -- optional dependency

from cxrjax.config import Config, schema
from cxrjax.training.tracking.base import TrackerStart

_FINISH_SECONDS = "600"  # for the upload at the end; the files stay in the run directory, for `wandb sync`


class WandbTracker:
    """Tracker of one run of Weights & Biases, which later starts of the training resume."""

    def __init__(self, start: TrackerStart):
        os.environ.setdefault("WANDB_FINISH_TIMEOUT", _FINISH_SECONDS)
        run_id = start.run_id
        if run_id is None:
            run_id = secrets.token_hex(8)
            start.save_run_id(run_id)
        self._run = wandb.init(
            project=start.config.tracking.project,
            name=start.workdir.resolve().name,
            id=run_id,
            resume="allow",
            dir=str(start.workdir),
            settings=wandb.Settings(console="off"),  # standard output stays as it is
        )

    def log_config(self, config: Config) -> None:
        self._run.config.update(schema.flatten(config.to_dict()), allow_val_change=True)

    def log_scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def log_image(self, name: str, rgb: np.ndarray, step: int) -> None:
        self._run.log({name: wandb.Image(rgb)}, step=step)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)
