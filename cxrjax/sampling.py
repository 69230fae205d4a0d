"""Which radiographs each step of a training sees; validation and test know none of this, and see each once."""

import math
from collections.abc import Sequence

import numpy as np

SAMPLINGS = ("shuffled", "balanced", "oversampled")


class Order:
    """The rows of every step, by its number: a function of the seed alone, so that a run can be gone on with."""

    def __init__(
        self,
        groups: np.ndarray,
        batch_size: int,
        sampling: str,
        seed: int,
        extra: int = 0,
        minority: Sequence[int] = (),
    ):
        """Lay the order down.

        Args:
            groups: int [n], the class of each training radiograph.
            batch_size: radiographs a step; an epoch's last step is filled up from the epoch's beginning.
            sampling: "shuffled": an epoch visits each once; "balanced": n draws with replacement, every class equally
                likely; "oversampled": each once, and those of the minority `extra` times more.
            seed: of the run.
            extra: see `sampling` (5 in the original, hieu2695 `baseline_oversampling.py`).
            minority: classes that are oversampled; where empty, the smallest.

        Raises:
            ValueError: no such sampling.
        """
        if sampling not in SAMPLINGS:
            raise ValueError(f"no sampling called {sampling!r}; there are {', '.join(SAMPLINGS)}")
        classes, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
        self._visits = np.arange(len(groups))
        self._chances = 1 / (len(classes) * counts[inverse]) if sampling == "balanced" else None
        if sampling == "oversampled":
            rare = np.flatnonzero(np.isin(groups, list(minority) or [classes[counts.argmin()]]))
            self._visits = np.concatenate([self._visits, np.tile(rare, extra)])
        self._seed, self._batch_size = seed, batch_size
        self.steps = math.ceil(len(self._visits) / batch_size)  # of an epoch
        self._epoch, self._rows = -1, np.empty(0)

    def rows(self, step: int) -> np.ndarray:
        """int32 [batch] of step number `step`, counted from 0 over the whole training."""
        epoch, within = divmod(step, self.steps)
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self.draw(epoch)
        return self._rows[within]

    def draw(self, epoch: int) -> np.ndarray:
        """int32 [steps, batch] of an epoch, counted from 0."""
        rng = np.random.default_rng([self._seed, epoch])
        if self._chances is None:
            order = rng.permutation(self._visits)
        else:
            order = rng.choice(self._visits, len(self._visits), p=self._chances)
        return np.resize(order, (self.steps, self._batch_size)).astype(np.int32)
