"""Multi-process runs: every process runs the same program on its share of each batch; only the first writes files.

All processes must see the same run directory, and must take the same decisions: from settings, from results of
`sharding.BatchSharding.gather`, or through `broadcast_bool`. Otherwise some wait for a collective operation that the
others never enter.
"""

import sys
from collections.abc import Callable
from typing import TypeVar

import numpy as np

# JAX is imported where it is used, so that a command line is checked before that.

_T = TypeVar("_T")


def initialize(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Join a multi-process run; call it before anything uses a device.

    Args:
        coordinator: HOST:PORT of the first process; if None, JAX detects all three arguments on clusters that it knows
            (Slurm, Open MPI, Cloud TPU, Kubernetes), or reads JAX_COORDINATOR_ADDRESS.
        processes: number of processes.
        process: index of this process, from 0.

    Raises:
        ValueError: JAX does not find a cluster, or cannot reach it.
    """
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # it would handle SIGTERM instead of `runtime.signals`
    try:
        jax.distributed.initialize(coordinator, processes, process)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the processes cannot be connected: {error}") from None


def is_primary() -> bool:
    """Return whether this is the first or the only process, without initializing a device."""
    jax = sys.modules.get("jax")  # a process without it has joined no run
    return jax is None or not jax.distributed.is_initialized() or jax.process_index() == 0


def primary_first(work: Callable[[], _T]) -> _T:
    """Run a function that writes files in the first process, and then in the others, which find the files.

    Args:
        work: the function; each process returns its own result.
    """
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
        return work()
    try:
        if is_primary():
            return work()
    finally:  # if the first process raises, the others go on and raise the same
        multihost_utils.sync_global_devices("first")
    return work()


def broadcast_bool(decision: bool) -> bool:
    """Return the first process's decision, for decisions that depend on a clock."""
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
        return decision
    return bool(multihost_utils.broadcast_one_to_all(np.bool_(decision)))


def any_process(decision: bool) -> bool:
    """Return whether the decision is true in any process."""
    import jax
    from jax.experimental import multihost_utils

    if jax.process_count() == 1:
        return decision
    return bool(np.any(multihost_utils.process_allgather(np.bool_(decision))))
