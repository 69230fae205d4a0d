"""The devices that a batch is shared between: one axis, over which everything is jitted, of one process or of several.

Every process has as many devices. It feeds its own share of a batch's rows, and gets the results of all.
"""

import math
import os
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"
MOST_CORES = 8  # of a CPU that are devices of their own; each holds the networks and a radiograph's features


def use_one_device_per_core() -> None:
    """Have each core of the CPU be a device, before any is used, for work whose rows do not know one another.

    A device that is all cores waits for the slowest of them at every layer. Where the user says how many devices a CPU
    is, by JAX_NUM_CPU_DEVICES or in XLA_FLAGS, it stays so.
    """
    said = jax.config.jax_num_cpu_devices >= 0 or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not said:
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


class BatchSharding:
    """How batches of a size are shared: equally, by the fewest devices that are done as soon as all would be.

    Where a size does not divide, the batch is filled up with its last row; what comes of that is cut off again.
    """

    def __init__(self, batch_size: int, most: int | None = None):
        """Share batches of that many rows, 1 or more, between all devices or at most so many of each process."""
        own = math.ceil(batch_size / jax.process_count())  # rows of a process
        each = math.ceil(own / min(jax.local_device_count(), most or jax.local_device_count()))
        count = math.ceil(own / each)
        chosen = [
            device
            for process in range(jax.process_count())
            for device in [device for device in jax.devices() if device.process_index == process][:count]
        ]
        self.batch_size, self.padded_size = batch_size, each * len(chosen)
        self.mesh = Mesh(np.array(chosen), (AXIS,), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.sharded = NamedSharding(self.mesh, PartitionSpec(AXIS))
        begin = each * count * jax.process_index()
        self._rows = np.minimum(np.arange(begin, begin + each * count), batch_size - 1)

    def compile(self, run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Compile a program, each device running it on its own rows.

        Args:
            run: (variables, arrays whose first axis is the batch's) -> arrays likewise; no row may know another.

        Returns:
            The same of variables everywhere and of arrays that are spread.
        """
        whole, part = PartitionSpec(), PartitionSpec(AXIS)
        return jax.jit(jax.shard_map(run, mesh=self.mesh, in_specs=(whole, part), out_specs=part, check_vma=False))

    def shard(self, arrays: Any) -> Any:
        """Arrays of the host [batch_size, …], the same in every process, on the devices, each with its rows."""
        return self.device_put(jax.tree.map(self.local_rows, arrays))

    def local_rows(self, rows: np.ndarray) -> np.ndarray:
        """Of an array [batch_size, …] what this process feeds: its share, filled up."""
        return rows if len(self._rows) == len(rows) == self.padded_size else rows[self._rows]

    def device_put(self, own: Any) -> Any:
        """Arrays of the host, in every process those of its `own` rows, on the devices."""

        def place(x: np.ndarray) -> jax.Array:
            return jax.make_array_from_process_local_data(self.sharded, x, (self.padded_size, *x.shape[1:]))

        return jax.tree.map(place, own)

    def unpad(self, x: jax.Array) -> jax.Array:
        """Within a program over the devices: an array that is spread, without what filled it up, [batch_size, …]."""
        return jax.lax.with_sharding_constraint(x[: self.batch_size], self.sharded)

    def replicate(self, tree: Any) -> Any:
        """Arrays, the same in every process, whole on every device."""
        if jax.process_count() == 1:
            return jax.device_put(tree, self.replicated)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self.replicated, np.asarray(x)), tree)

    def gather(self, results: Any) -> Any:
        """Arrays that are spread, back on the host of every process: [batch_size, …]."""
        if jax.process_count() > 1:
            results = self._collect(results)
        return jax.tree.map(lambda x: x[: self.batch_size], jax.device_get(results))

    @cached_property
    def _collect(self) -> Callable[[Any], Any]:
        return jax.jit(lambda results: results, out_shardings=self.replicated)
