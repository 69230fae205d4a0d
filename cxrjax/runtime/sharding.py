"""Sharding of batches over the devices of one or several processes, along a one-dimensional mesh.

Every process has the same number of devices. It feeds its own share of a batch's rows, and receives the results of all
rows.
"""

import math
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from cxrjax.runtime.cores import count_cores

AXIS = "data"
MAX_CORES = 8  # of a CPU that become devices; each holds the features of a radiograph


def use_one_device_per_core() -> None:
    """Expose every CPU core as a JAX device; call it before a device is used, for work on independent rows.

    A single device of all cores waits for the slowest core at every layer. A number of devices that the user sets by
    JAX_NUM_CPU_DEVICES or in XLA_FLAGS stays.
    """
    set_by_user = jax.config.values["jax_num_cpu_devices"] >= 0 or "host_platform_device_count" in os.environ.get(
        "XLA_FLAGS", ""
    )
    if not set_by_user:
        jax.config.update("jax_num_cpu_devices", min(count_cores(), MAX_CORES))


class BatchSharding:
    """Shards batches of a fixed size evenly over the fewest devices that are as fast as all devices.

    A batch that does not divide evenly is padded by repeating its last row; the padding is removed from the results.

    Attributes:
        batch_size: rows of a batch.
        padded_size: rows of a batch with its padding.
        mesh: the devices, along the axis `AXIS`.
        replicated: sharding of arrays that are complete on every device.
        sharded: sharding of arrays along their first axis.
    """

    def __init__(self, batch_size: int, max_devices: int | None = None):
        """Choose the devices.

        Args:
            batch_size: rows of a batch, 1 or more.
            max_devices: maximum number of devices of each process; None for all.
        """
        process_rows = math.ceil(batch_size / jax.process_count())
        device_rows = math.ceil(process_rows / min(jax.local_device_count(), max_devices or jax.local_device_count()))
        devices_per_process = math.ceil(process_rows / device_rows)
        devices = [
            device
            for process in range(jax.process_count())
            for device in [device for device in jax.devices() if device.process_index == process][:devices_per_process]
        ]
        self.batch_size = batch_size
        self.padded_size = device_rows * len(devices)
        self.mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.sharded = NamedSharding(self.mesh, PartitionSpec(AXIS))
        begin = device_rows * devices_per_process * jax.process_index()
        end = begin + device_rows * devices_per_process
        self._rows = np.minimum(np.arange(begin, end), batch_size - 1)

    def compile(self, run: Callable[[Any, Any], Any]) -> jax.stages.Wrapped:
        """Jit a function that each device runs on its own rows.

        Args:
            run: (variables, arrays [rows, …]) -> arrays [rows, …]; its rows must be independent of each other.

        Returns:
            The function of replicated variables and of sharded arrays [padded_size, …].
        """
        rows = PartitionSpec(AXIS)
        in_specs = (PartitionSpec(), rows)
        return jax.jit(jax.shard_map(run, mesh=self.mesh, in_specs=in_specs, out_specs=rows, check_vma=False))

    def shard(self, arrays: Any) -> Any:
        """Shard host arrays [batch_size, …], which are equal in every process, over the devices."""
        return self.device_put(jax.tree.map(self.local_rows, arrays))

    def local_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of an array [batch_size, …] that this process feeds, with padding."""
        return rows if len(self._rows) == len(rows) == self.padded_size else rows[self._rows]

    def device_put(self, local_arrays: Any) -> Any:
        """Shard host arrays that hold, in every process, its own `local_rows`, over the devices."""

        def put(x: np.ndarray) -> jax.Array:
            return jax.make_array_from_process_local_data(self.sharded, x, (self.padded_size, *x.shape[1:]))

        return jax.tree.map(put, local_arrays)

    def unpad(self, x: jax.Array) -> jax.Array:
        """Remove the padding of a sharded array inside a jitted function: [padded_size, …] to [batch_size, …]."""
        return jax.lax.with_sharding_constraint(x[: self.batch_size], self.sharded)

    def replicate(self, tree: Any) -> Any:
        """Copy arrays, which are equal in every process, to every device."""
        if jax.process_count() == 1:
            return jax.device_put(tree, self.replicated)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(self.replicated, np.asarray(x)), tree)

    def replicate_constants(self, tree: Any) -> Any:
        """Place arrays, which are equal in every process and never modified or donated, on every device.

        The devices of a CPU share the memory of one copy: JAX copies no NumPy array whose memory is aligned, as that of
        its own arrays is.
        """
        if jax.process_count() == 1 and jax.default_backend() == "cpu":
            tree = jax.device_get(jax.device_put(tree, self.mesh.devices.flat[0]))
        return self.replicate(tree)

    def gather(self, results: Any) -> Any:
        """Copy sharded arrays to the host of every process, without padding: [batch_size, …]."""
        if jax.process_count() > 1:
            results = self._collect(results)
        return jax.tree.map(lambda x: x[: self.batch_size], jax.device_get(results))

    @cached_property
    def _collect(self) -> Callable[[Any], Any]:
        return jax.jit(lambda results: results, out_shardings=self.replicated)
