"""Checkpoints of the training state, by Orbax: the last, the best, and the snapshots of an ensemble.

A save is atomic: it is complete, or it does not exist.
"""

import errno
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.text import printable

TAGS = ("last", "best")
_MAX_REASON = 300  # characters of the message of a library's exception


class CheckpointError(CxrjaxError, ValueError):
    """A checkpoint that cannot be restored; the message has its path and the reason."""


def snapshot_tag(cycle: int) -> str:
    """Return the tag of the checkpoint at the end of a cycle of the learning rate, counted from 1."""
    return f"snapshot_{cycle}"


@contextmanager
def _silence_orbax_threads() -> Iterator[None]:
    """Prevent Orbax's threads from printing a traceback of an error that is raised in any case."""
    logger = logging.getLogger("absl")
    was_disabled = logger.disabled
    former_hook = threading.excepthook
    logger.disabled = True
    threading.excepthook = lambda _: None
    try:
        yield
    finally:
        logger.disabled = was_disabled
        threading.excepthook = former_hook


class Checkpoints:
    """Folder `checkpoints/` of a run, as a context manager."""

    def __init__(self, folder: Path, clean: bool = False):
        """Open the folder.

        Args:
            folder: may not exist yet.
            clean: whether to remove incomplete saves of a killed process; only for the process that trains, since a
                save in progress looks the same.
        """
        self._folder = folder.absolute()
        self._clean = clean
        self._managers: dict[str, ocp.CheckpointManager] = {}

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        for manager in self._managers.values():
            manager.close()

    def step(self, tag: str) -> int | None:
        """Return the training step of the checkpoint "last", "best" or `snapshot_tag(k)`; None where there is none."""
        return self._manager(tag).latest_step()

    def save(self, tag: str, step: int, state: Any) -> None:
        """Save a pytree of arrays in place of the previous checkpoint of a tag.

        A checkpoint of the same step was written by a run that was killed just after; as training is deterministic, it
        has the same state and is not written again.

        Raises:
            OSError: it cannot be written, for example because the disk is full. The previous one still exists.
        """
        manager = self._manager(tag)
        if step in manager.all_steps():
            return
        try:
            with _silence_orbax_threads():
                manager.save(step, args=ocp.args.StandardSave(state))
        except OSError:
            raise
        except Exception as error:  # TensorStore raises no OSError for system errors
            text = str(error) or repr(error)
            reason = os.strerror(errno.ENOSPC).lower() if "RESOURCE_EXHAUSTED" in text else printable(text, _MAX_REASON)
            raise OSError(
                f"{self._folder / tag}: the state of step {step} cannot be saved ({reason}); what was saved before is "
                "whole"
            ) from error

    def restore(self, tag: str, like: Any = None, former_fields: Mapping[str, str] | None = None) -> Any:
        """Load a checkpoint.

        Args:
            tag: "last", "best" or `snapshot_tag(k)`.
            like: pytree with the shapes and types to restore; None restores dictionaries of host arrays as saved.
            former_fields: where `like` is a NamedTuple, the names of its fields in checkpoints of earlier versions, for
                those fields that were renamed; such a checkpoint is restored by these names.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            CheckpointError: its files are damaged, or it has the state of another network or version.
        """
        step = self.step(tag)
        if step is None:
            raise FileNotFoundError(f"{self._folder / tag}: there is no checkpoint here")
        manager = self._manager(tag)
        try:
            if like is None:
                like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), manager.item_metadata(step).tree)
            elif former_fields and set(former_fields.values()) & set(manager.item_metadata(step).tree):
                former_like = {former_fields.get(field, field): value for field, value in like._asdict().items()}
                state = manager.restore(step, args=ocp.args.StandardRestore(former_like))
                return type(like)(*(state[former_fields.get(field, field)] for field in like._fields))
            return manager.restore(step, args=ocp.args.StandardRestore(like))
        except Exception as error:  # Orbax and TensorStore raise no common class for damaged files
            raise CheckpointError(
                f"{self._folder / tag / str(step)}: this checkpoint is damaged or of another network or version "
                f"({printable(str(error) or repr(error), _MAX_REASON)}); restore it, or train again in another folder"
            ) from error

    def _manager(self, tag: str) -> ocp.CheckpointManager:
        if tag not in self._managers:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=1, create=True, enable_async_checkpointing=False, cleanup_tmp_directories=self._clean
            )
            handler = ocp.StandardCheckpointHandler()
            self._managers[tag] = ocp.CheckpointManager(self._folder / tag, options=options, item_handlers=handler)
        return self._managers[tag]
