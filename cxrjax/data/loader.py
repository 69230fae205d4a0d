"""Batches for the training step: from arrays cached on the devices, or read from disk as they are needed.

Both loaders deliver the same batches, in the order of a `BatchSampler`. Where only some of the examples are augmented,
the batch is a dictionary with an additional entry "augmented", bool [batch].
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cxrjax.data import dataset
from cxrjax.data.sampler import BatchSampler
from cxrjax.runtime.sharding import BatchSharding


class DeviceCachedLoader:
    """Loader of radiographs that are cached on every device; each device gathers its rows of a batch in the step."""

    def __init__(self, arrays: Any, sampler: BatchSampler, batch_sharding: BatchSharding):
        """Copy the arrays to the devices.

        Args:
            arrays: pytree of host arrays [n, …], one row per radiograph.
            sampler: chooses the rows of each step.
            batch_sharding: sharding of a batch over the devices.
        """
        self.batch_sharding = batch_sharding
        self.input_shardings = (batch_sharding.replicated, batch_sharding.sharded)
        self._arrays = batch_sharding.replicate(arrays)
        self._sampler = sampler

    def next_batch(self, number: int) -> Any:
        """Return the device arrays for step `number`, counted from 0."""
        rows = self.batch_sharding.shard(self._sampler.rows(number))
        augmented = self._sampler.augmented(number)
        if augmented is None:
            return self._arrays, rows
        return self._arrays, (rows, self.batch_sharding.shard(augmented))

    def unpack(self, inputs: Any) -> Any:
        """Select the batch from the arrays of `next_batch`, inside the jitted step: arrays [batch, …]."""
        arrays, indices = inputs
        rows, *augmented = jax.tree.map(self.batch_sharding.unpad, jax.tree.leaves(indices))
        return _with_augmented(jax.tree.map(lambda x: x[rows], arrays), *augmented)


class StreamingLoader:
    """Loader of radiographs that threads read and preprocess ahead, while the devices run earlier steps.

    Memory use is that of a few batches, independent of the number of radiographs.
    """

    def __init__(
        self, read: Callable[[int], Any], sampler: BatchSampler, batch_sharding: BatchSharding, num_threads: int
    ):
        """Set the loader up; reading starts with the first batch.

        Args:
            read: row -> arrays of one radiograph; called by several threads at once.
            sampler: chooses the rows of each step.
            batch_sharding: sharding of a batch over the devices; every process reads its own rows.
            num_threads: number of reading threads.
        """
        self.batch_sharding = batch_sharding
        self.input_shardings = batch_sharding.sharded
        self._read = read
        self._sampler = sampler
        self._num_threads = num_threads
        self._next_step = -1
        self._batches: Iterator[Any] = iter(())

    def next_batch(self, number: int) -> Any:
        """Return the device arrays for step `number`, counted from 0.

        Steps are expected in order; any other step, and the first of an epoch, starts the reading again from there.
        """
        if number != self._next_step or not number % self._sampler.steps_per_epoch:
            self._batches = self._read_epoch(number)
        self._next_step = number + 1
        return self.batch_sharding.device_put(next(self._batches))

    def unpack(self, inputs: Any) -> Any:
        """Remove the padding from the arrays of `next_batch`, inside the jitted step: arrays [batch, …]."""
        return jax.tree.map(self.batch_sharding.unpad, inputs)

    def _read_epoch(self, number: int) -> Iterator[Any]:
        """Yield this process's rows of the batches of an epoch, from step `number` to the end of its epoch."""
        epoch, step_in_epoch = divmod(number, self._sampler.steps_per_epoch)
        batches = [self.batch_sharding.local_rows(rows) for rows in self._sampler.epoch_rows(epoch)[step_in_epoch:]]
        flags = self._sampler.epoch_augmented(epoch)
        if flags is None:
            augmented = [None] * len(batches)
        else:
            augmented = [self.batch_sharding.local_rows(step_flags) for step_flags in flags[step_in_epoch:]]
        local_size = len(batches[0])
        examples = dataset.read_rows(self._read, np.concatenate(batches).tolist(), self._num_threads, 2 * local_size)
        for batch_flags in augmented:
            rows = [next(examples) for _ in range(local_size)]
            yield _with_augmented(jax.tree.map(lambda *leaves: np.stack(leaves), *rows), batch_flags)


def _with_augmented(arrays: Any, augmented: Any = None) -> Any:
    """Return the arrays of a batch with its "augmented" flags added; unchanged for None, where all are augmented."""
    return arrays if augmented is None else arrays | {"augmented": augmented}


Loader = DeviceCachedLoader | StreamingLoader


def make_loader(data: Any, sampler: BatchSampler, batch_sharding: BatchSharding, num_threads: int) -> Loader:
    """Return the loader for the data of a `Task`: a pytree of arrays, or a function that reads one row."""
    if callable(data):
        return StreamingLoader(data, sampler, batch_sharding, num_threads)
    return DeviceCachedLoader(data, sampler, batch_sharding)
