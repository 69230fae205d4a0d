"""Training states on disk, by Orbax: the last, the best, and those kept for an ensemble.

A save is whole or it is not there.
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

from cxrjax.runtime.text import printable

KINDS = ("last", "best")
_REASON = 300  # characters of a library's reason


class UnreadableCheckpoint(ValueError):
    """A state on disk that cannot be restored; the message names it and says why."""


def snapshot(cycle: int) -> str:
    """The kind under which the network at the end of a cycle of the learning rate, counted from 1, is kept."""
    return f"snapshot_{cycle}"


@contextmanager
def _without_reports() -> Iterator[None]:
    """Keep Orbax's threads from printing a traceback each of an error that is raised in any case."""
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
    """The folder `checkpoints/` of a run; use as a context."""

    def __init__(self, folder: Path, clean: bool = False):
        """Open the folder.

        Args:
            folder: may not exist yet.
            clean: whether saves that a killed process left half-done are removed; only for the one that trains, since
                a save under way looks the same.
        """
        self._folder = folder.absolute()
        self._clean = clean
        self._managers: dict[str, ocp.CheckpointManager] = {}

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        for manager in self._managers.values():
            manager.close()

    def step(self, kind: str) -> int | None:
        """Training step of the state kept as "last", "best" or `snapshot(k)`; None where there is none."""
        return self._manager(kind).latest_step()

    def save(self, kind: str, step: int, state: Any) -> None:
        """Keep a pytree of arrays in place of the one before.

        A step that is there already was written by a run killed just after; training being exact, it is the same state.

        Raises:
            OSError: it cannot be written, for want of room for example. The one before is still there.
        """
        manager = self._manager(kind)
        if step in manager.all_steps():
            return
        try:
            with _without_reports():
                manager.save(step, args=ocp.args.StandardSave(state))
        except OSError:
            raise
        except Exception as error:  # TensorStore has no base of its own for what the system refuses
            text = str(error) or repr(error)
            reason = os.strerror(errno.ENOSPC).lower() if "RESOURCE_EXHAUSTED" in text else printable(text, _REASON)
            raise OSError(
                f"{self._folder / kind}: the state of step {step} cannot be saved ({reason}); what was saved before is "
                "whole"
            ) from error

    def restore(self, kind: str, like: Any = None, former_fields: Mapping[str, str] | None = None) -> Any:
        """Restore a state.

        Args:
            kind: "last", "best" or `snapshot(k)`.
            like: pytree with the shapes and types of the state; None for dictionaries of arrays on the host, as saved.
            former_fields: where `like` is a NamedTuple, the names of its fields in checkpoints of earlier versions, for
                those fields that were renamed; such a checkpoint is restored by these names.

        Raises:
            FileNotFoundError: there is none.
            UnreadableCheckpoint: its files are damaged, or it is the state of another network or version.
        """
        step = self.step(kind)
        if step is None:
            raise FileNotFoundError(f"{self._folder / kind}: there is no checkpoint here")
        manager = self._manager(kind)
        try:
            if like is None:
                like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), manager.item_metadata(step).tree)
            elif former_fields and set(former_fields.values()) & set(manager.item_metadata(step).tree):
                former_like = {former_fields.get(field, field): value for field, value in like._asdict().items()}
                state = manager.restore(step, args=ocp.args.StandardRestore(former_like))
                return type(like)(*(state[former_fields.get(field, field)] for field in like._fields))
            return manager.restore(step, args=ocp.args.StandardRestore(like))
        except Exception as error:  # Orbax and TensorStore have no base of their own for what damaged files raise
            raise UnreadableCheckpoint(
                f"{self._folder / kind / str(step)}: this checkpoint is damaged or of another network or version "
                f"({printable(str(error) or repr(error), _REASON)}); restore it, or train again in another folder"
            ) from error

    def _manager(self, kind: str) -> ocp.CheckpointManager:
        if kind not in self._managers:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=1, create=True, enable_async_checkpointing=False, cleanup_tmp_directories=self._clean
            )
            handler = ocp.StandardCheckpointHandler()
            self._managers[kind] = ocp.CheckpointManager(self._folder / kind, options=options, item_handlers=handler)
        return self._managers[kind]
