"""Where the radiographs of a training step come from: all of them held on the devices, or read as they are needed.

Either way a step sees the same: what `Order` says, in that order. Where only some of the examples are augmented, the
arrays are a dictionary, to which "augmented", bool [batch], is added.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cxrjax.data import dataset
from cxrjax.data.sampler import BatchSampler
from cxrjax.runtime.sharding import BatchSharding


class DeviceCachedLoader:
    """All radiographs on every device, which takes its own rows of a batch out as it begins a step."""

    def __init__(self, arrays: Any, order: BatchSampler, shares: BatchSharding):
        """Put them there.

        Args:
            arrays: of all radiographs [n, …], on the host.
            order: which of them each step sees.
            shares: how a batch is shared.
        """
        self.shares, self._arrays, self._order = shares, shares.replicate(arrays), order
        self.sharding = (shares.everywhere, shares.shared)

    def give(self, number: int) -> Any:
        """What step `number` is given, counted from 0."""
        chosen = self._order.chosen(number)
        rows = self.shares.spread(self._order.rows(number))
        return self._arrays, rows if chosen is None else (rows, self.shares.spread(chosen))

    def take(self, given: Any) -> Any:
        """Within the step: arrays [batch, …] of that."""
        arrays, order = given
        rows, *chosen = jax.tree.map(self.shares.trim, jax.tree.leaves(order))
        return _mark(jax.tree.map(lambda x: x[rows], arrays), *chosen)


class StreamingLoader:
    """Radiographs that threads read and prepare while the devices are at the epoch's steps before.

    What is held is some batches, however many radiographs there are.
    """

    def __init__(self, read: Callable[[int], Any], order: BatchSampler, shares: BatchSharding, readers: int):
        """Read nothing yet.

        Args:
            read: arrays of one radiograph, of its row; called by several threads at once.
            order: which of them each step sees.
            shares: how a batch is shared; every process reads its own rows.
            readers: threads.
        """
        self.shares, self._read, self._order, self._readers = shares, read, order, readers
        self.sharding = shares.shared
        self._next, self._ahead = -1, iter(())

    def give(self, number: int) -> Any:
        """What step `number` is given, counted from 0; in the order of the steps, or it begins anew."""
        if number != self._next or not number % self._order.steps:
            self._ahead = self._begin(number)
        self._next = number + 1
        return self.shares.put(next(self._ahead))

    def take(self, given: Any) -> Any:
        """Within the step: arrays [batch, …] of that."""
        return jax.tree.map(self.shares.trim, given)

    def _begin(self, number: int) -> Iterator[Any]:
        """Own shares of the batches of an epoch, from a step on."""
        epoch, within = divmod(number, self._order.steps)
        batches = [self.shares.own(rows) for rows in self._order.draw(epoch)[within:]]
        chosen = self._order.choose(epoch)
        marks = [None] * len(batches) if chosen is None else [self.shares.own(some) for some in chosen[within:]]
        each = len(batches[0])
        examples = dataset.read_ahead(self._read, np.concatenate(batches), self._readers, 2 * each)
        for mark in marks:
            yield _mark(jax.tree.map(lambda *one: np.stack(one), *(next(examples) for _ in range(each))), mark)


def _mark(arrays: Any, chosen: Any = None) -> Any:
    """Return the arrays of a batch with the mark of those that are augmented; None where all are."""
    return arrays if chosen is None else arrays | {"augmented": chosen}


Loader = DeviceCachedLoader | StreamingLoader


def make_loader(radiographs: Any, order: BatchSampler, shares: BatchSharding, readers: int) -> Loader:
    """The supply of what a task has for data: arrays, or a function that reads; see `task.Task`."""
    if callable(radiographs):
        return StreamingLoader(radiographs, order, shares, readers)
    return DeviceCachedLoader(radiographs, order, shares)
