"""Training states on disk, by Orbax: the last one and the best one. A save is whole or it is not there."""

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

KINDS = ("last", "best")


class Checkpoints:
    """The folder `checkpoints/` of a run; use as a context."""

    def __init__(self, folder: Path):
        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True, enable_async_checkpointing=False)
        self._managers = {kind: ocp.CheckpointManager(folder.absolute() / kind, options=options) for kind in KINDS}

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        for manager in self._managers.values():
            manager.close()

    def step(self, kind: str) -> int | None:
        """Training step of the state kept as "last" or "best"; None where there is none."""
        return self._managers[kind].latest_step()

    def save(self, kind: str, step: int, state: Any) -> None:
        """Keep a pytree of arrays in place of the one before.

        A step that is there already was written by a run killed just after; training being exact, it is the same state.
        """
        if step not in self._managers[kind].all_steps():
            self._managers[kind].save(step, args=ocp.args.StandardSave(state))

    def restore(self, kind: str, like: Any) -> Any:
        """The state kept, in the shapes and types of `like`.

        Raises:
            FileNotFoundError: there is none.
        """
        step = self.step(kind)
        if step is None:
            raise FileNotFoundError(f"{self._managers[kind].directory}: there is no checkpoint here")
        return self._managers[kind].restore(step, args=ocp.args.StandardRestore(like))
