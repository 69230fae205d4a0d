"""Computation of any number of images in batches of a fixed size."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from cxrjax.data import batch
from cxrjax.runtime.progress import progress_bar

# Images uint8 [B, S, S] and their ids uint32 [B] -> a function that fetches the results to the host.
Program = Callable[[np.ndarray, np.ndarray], Callable[[], Any]]


class BatchRunner:
    """A function of batches, compiled once per batch size. Threads may share it."""

    def __init__(self, build: Callable[[int], Program]):
        """Initialize the runner; nothing is compiled yet.

        Args:
            build: returns the program for a batch size.
        """
        self._build = build
        self._programs: dict[int, Program] = {}
        self._lock = threading.Lock()
        self._max_pending = 0 if jax.default_backend() == "cpu" else 1

    def run(self, images: np.ndarray, image_ids: np.ndarray, batch_size: int) -> Iterator[Any]:
        """Yield the results of images one by one, in order: pytrees of NumPy arrays without the batch axis.

        Args:
            images: uint8 [n, S, S].
            image_ids: uint32 [n].
            batch_size: images per batch.
        """
        disable = True if len(images) <= batch_size else None  # None draws it on terminals
        with progress_bar(total=len(images), desc="predicting", unit="radiograph", leave=None, disable=disable) as bar:
            for count, results in self._iter_batches(images, image_ids, batch_size):
                for i in range(count):
                    yield jax.tree.map(lambda x, i=i: x[i], results)
                bar.update(count)

    def _iter_batches(self, images: np.ndarray, image_ids: np.ndarray, batch_size: int) -> Iterator[tuple[int, Any]]:
        """Yield for each batch the number of images without padding, and the results on the host.

        On an accelerator the next batch is dispatched before the results of a batch are fetched, so that the
        accelerator does not wait for the host. Only one thread builds, dispatches or fetches at a time.
        """
        pending: list[tuple[int, Callable[[], Any]]] = []
        for rows, count in batch.padded_batches(len(images), batch_size):
            with self._lock:
                pending.append((count, self._program(batch_size)(images[rows], image_ids[rows])))
            if len(pending) > self._max_pending:
                yield self._fetch(*pending.pop(0))
        for count, fetch in pending:
            yield self._fetch(count, fetch)

    def _program(self, batch_size: int) -> Program:
        if batch_size not in self._programs:
            self._programs[batch_size] = self._build(batch_size)
        return self._programs[batch_size]

    def _fetch(self, count: int, fetch: Callable[[], Any]) -> tuple[int, Any]:
        with self._lock:  # on a CPU, this is where the program runs
            return count, fetch()
