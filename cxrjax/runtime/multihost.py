"""Several processes at one work: all do the same and feed the devices their share of it, the first alone writes.

The run directory is one that all of them see. What a process decides is to be the same on all: from settings, from
what `sharding.Shares.gather` gives, or by `agree`; else some wait for a collective that others never come to.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

_T = TypeVar("_T")


def initialize(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Become one of several processes, before anything has used a device.

    Args:
        coordinator: HOST:PORT, where the first process is to be reached; None: JAX finds it, and the other two, where
            it knows the cluster (Slurm, Open MPI, Cloud TPU, Kubernetes), or in JAX_COORDINATOR_ADDRESS.
        processes: how many they are.
        process: which one this is, from 0.

    Raises:
        ValueError: JAX does not find a cluster, or cannot reach it.
    """
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM away from `runtime.signals`
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the processes cannot be brought together: {error}") from None


def is_primary() -> bool:
    """Whether this is the first process, or the only one; nothing is asked of a device."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def primary_first(work: Callable[[], _T]) -> _T:
    """Do a work that leaves files behind in the first process, and only then in the others, who find them there."""
    if jax.process_count() == 1:
        return work()
    try:
        if is_primary():
            return work()
    finally:  # what the first process raises, the others raise for themselves
        multihost_utils.sync_global_devices("first")
    return work()


def broadcast_bool(decision: bool) -> bool:
    """The first process's decision on something that clocks decide; of one process, its own."""
    if jax.process_count() == 1:
        return decision
    return bool(multihost_utils.broadcast_one_to_all(np.bool_(decision)))


def any_process(decision: bool) -> bool:
    """Return whether any process decided so; of one process, its own decision."""
    if jax.process_count() == 1:
        return decision
    return bool(np.any(multihost_utils.process_allgather(np.bool_(decision))))
