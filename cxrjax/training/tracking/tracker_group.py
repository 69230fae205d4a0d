"""The trackers of a training behind one interface; a tracker that fails is dropped, without effect on the training."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.config import Config
from cxrjax.io import json_file
from cxrjax.runs import run_dir, run_log
from cxrjax.runtime import atomic_files, multihost
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.text import printable
from cxrjax.training.tracking.base import Tracker, TrackerStart

_MAX_REASON = 300  # characters of the error of a tracker that are printed
_REMEDY = "remove it, and the training gets a new id at its trackers"


def _open_tensorboard(start: TrackerStart) -> Tracker:
    from cxrjax.training.tracking.tensorboard_tracker import TensorBoardTracker

    return TensorBoardTracker(start)


def _open_mlflow(start: TrackerStart) -> Tracker:
    from cxrjax.training.tracking.mlflow_tracker import MLflowTracker

    return MLflowTracker(start)


def _open_wandb(start: TrackerStart) -> Tracker:
    from cxrjax.training.tracking.wandb_tracker import WandbTracker

    return WandbTracker(start)


TRACKERS: dict[str, Callable[[TrackerStart], Tracker]] = {
    "tensorboard": _open_tensorboard,
    "mlflow": _open_mlflow,
    "wandb": _open_wandb,
}
_OPTIONAL = ("mlflow", "wandb")  # trackers whose package is installed by the extra of the same name


class MissingTrackerError(CxrjaxError):
    """The package of a tracker is not installed."""


def check(config: Config) -> None:
    """Check that the trackers of a config exist and are installed.

    Raises:
        ValueError: there is no tracker of this name.
        MissingTrackerError: its package is not installed.
    """
    for name in config.tracking.trackers:
        if name not in TRACKERS:
            raise ValueError(
                f"no tracker called {printable(name)!r} in tracking.trackers; there are {', '.join(TRACKERS)}"
            )
        if name in _OPTIONAL and not _is_installed(name):
            raise MissingTrackerError(
                f"tracking.trackers={name}: {name} is not installed; pip install 'cxrjax[{name}]'"
            )


def _is_installed(package: str) -> bool:
    """Return whether a package is installed; a mere folder of its name, where its files are written, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


class TrackerGroup:
    """The open trackers of a training."""

    def __init__(self, config: Config, workdir: Path, step: int):
        """Open the trackers of a config, in the first process; one that cannot be opened is dropped with a warning.

        Args:
            config: config of the training, of which `check` was called.
            workdir: the run directory.
            step: the training step that the process starts from.
        """
        self._workdir = workdir
        self._sends_images = config.tracking.send_images
        self._trackers: dict[str, Tracker] = {}
        run_ids = _read_run_ids(workdir)
        for name in config.tracking.trackers if multihost.is_primary() else ():
            start = TrackerStart(
                config=config,
                workdir=workdir,
                step=step,
                run_id=run_ids.get(name),
                save_run_id=partial(_save_run_id, workdir, name),
            )
            try:
                self._trackers[name] = TRACKERS[name](start)
            except Exception as error:
                self._warn(name, error)
        self._for_each(lambda tracker: tracker.log_config(config))

    def log_epoch(self, record: Mapping[str, float], images: Mapping[str, np.ndarray]) -> None:
        """Log the metrics of an epoch, and images of its validation.

        Args:
            record: line of metrics.jsonl.
            images: {name: RGB uint8 [h, w, 3]}; only TensorBoard gets them without `tracking.send_images`.
        """
        step = int(record["step"])
        self._for_each(lambda tracker: tracker.log_scalars(record, step))
        recipients = tuple(self._trackers) if self._sends_images else ("tensorboard",)
        for name, rgb in images.items():
            self._for_each(partial(_log_image, name=name, rgb=rgb, step=step), recipients)

    def close(self, finished: bool) -> None:
        """Close the trackers; `finished` is False for a training that was stopped before its end."""
        self._for_each(lambda tracker: tracker.close(finished))
        self._trackers.clear()

    def _for_each(self, call: Callable[[Tracker], None], names: tuple[str, ...] | None = None) -> None:
        """Call a function with each tracker, or with those of the given names, and drop those that fail."""
        for name in tuple(self._trackers) if names is None else names:
            if name not in self._trackers:
                continue
            try:
                call(self._trackers[name])
            except Exception as error:  # a tracker's package raises errors of many kinds, also for a lost server
                del self._trackers[name]
                self._warn(name, error)

    def _warn(self, name: str, error: Exception) -> None:
        reason = printable(str(error).strip().partition("\n")[0] or type(error).__name__, _MAX_REASON)
        run_log.announce(
            self._workdir,
            f"{name} failed ({reason}); the training continues without it, and metrics.jsonl has every epoch",
        )


def _log_image(tracker: Tracker, name: str, rgb: np.ndarray, step: int) -> None:
    tracker.log_image(name, rgb, step)


@contextmanager
def open_trackers(config: Config, workdir: Path, step: int) -> Iterator[TrackerGroup]:
    """Open the trackers of a config for a training, and close them at its end; see `TrackerGroup`."""
    group = TrackerGroup(config, workdir, step)
    finished = False
    try:
        yield group
        finished = True
    finally:
        group.close(finished)


def _read_run_ids(workdir: Path) -> dict[str, Any]:
    """Return the ids of a training by the name of the tracker.

    Raises:
        DamagedFileError: trackers.json is damaged.
    """
    path = workdir / run_dir.TRACKERS
    run_ids = json_file.read(path, _REMEDY) if path.exists() else {}
    if not all(isinstance(run_id, str) for run_id in run_ids.values()):
        raise json_file.DamagedFileError(path, "an id is no text", _REMEDY)
    return run_ids


def _save_run_id(workdir: Path, name: str, run_id: str) -> None:
    run_ids = _read_run_ids(workdir) | {name: run_id}
    atomic_files.atomic_write(workdir / run_dir.TRACKERS, (json.dumps(run_ids, indent=2) + "\n").encode())
