"""Which radiographs each step of a training sees; validation and test know none of this, and see each once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SAMPLINGS = ("shuffled", "balanced", "oversampled")


class Mixture(NamedTuple):
    """Which examples of a training are augmented; the others are shown as they are in validation."""

    copies: bool = False  # the copies of "oversampled" alone; hieu2695 `baseline_oversampling.py`
    share: float = 1.0  # of those, drawn for each example
    unfreeze_epoch: int = 0  # epochs after which `unfreeze_factor` multiplies that share; 0: never
    unfreeze_factor: float = 1.0  # 0.8 in the original, hieu2695 `resnet34_cs_full.py`

    @property
    def is_partial(self) -> bool:
        """Whether any example is ever shown as it is."""
        return self.copies or self.share < 1 or (self.unfreeze_epoch > 0 and self.unfreeze_factor < 1)

    def share_in(self, epoch: int) -> float:
        """Return the share that is augmented in an epoch, counted from 0."""
        unfrozen = 0 < self.unfreeze_epoch <= epoch
        return self.share * self.unfreeze_factor if unfrozen else self.share


AUGMENT_ALL = Mixture()


class BatchSampler:
    """The rows of every step, by its number: a function of the seed alone, so that a run can be gone on with."""

    def __init__(
        self,
        groups: np.ndarray,
        batch_size: int,
        sampling: str,
        seed: int,
        extra: int = 0,
        minority: Sequence[int] = (),
        mixture: Mixture = AUGMENT_ALL,
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
            mixture: which examples are augmented.

        Raises:
            ValueError: no such sampling, or the copies are to be augmented of a sampling that makes none.
        """
        if sampling not in SAMPLINGS:
            raise ValueError(f"no sampling called {sampling!r}; there are {', '.join(SAMPLINGS)}")
        if mixture.copies and sampling != "oversampled":
            raise ValueError(
                f"training.augment=copies needs training.sampling=oversampled, and it is {sampling}; set "
                "training.augment=all"
            )
        classes, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
        self._visits = np.arange(len(groups))
        self._chances = 1 / (len(classes) * counts[inverse]) if sampling == "balanced" else None
        if sampling == "oversampled":
            rare = np.flatnonzero(np.isin(groups, list(minority) or [classes[counts.argmin()]]))
            self._visits = np.concatenate([self._visits, np.tile(rare, extra)])
        self._count, self._mixture = len(groups), mixture
        self._seed, self._batch_size = seed, batch_size
        self.steps = math.ceil(len(self._visits) / batch_size)  # of an epoch
        self._epoch = -1
        self._rows = np.empty(0)
        self._chosen: np.ndarray | None = None

    def rows(self, step: int) -> np.ndarray:
        """int32 [batch] of step number `step`, counted from 0 over the whole training."""
        within = self._turn_to(step)
        return self._rows[within]

    def chosen(self, step: int) -> np.ndarray | None:
        """Return which examples of a step, counted likewise, are augmented: bool [batch]; None where all are."""
        within = self._turn_to(step)
        return None if self._chosen is None else self._chosen[within]

    def draw(self, epoch: int) -> np.ndarray:
        """int32 [steps, batch] of an epoch, counted from 0."""
        return self._visits[self._order(epoch)].astype(np.int32)

    def choose(self, epoch: int) -> np.ndarray | None:
        """Return which examples of an epoch, counted from 0, are augmented: bool [steps, batch]; None where all are."""
        if not self._mixture.is_partial:
            return None
        order = self._order(epoch)
        # A stream of its own, so that the order is that of a training that augments all.
        rng = np.random.default_rng([self._seed, epoch, 1])
        chosen = rng.random(order.shape) < self._mixture.share_in(epoch)
        return chosen & (order >= self._count) if self._mixture.copies else chosen

    def _turn_to(self, step: int) -> int:
        """Draw the epoch of a step, unless it is the one drawn last, and return the step's place in it."""
        epoch, within = divmod(step, self.steps)
        if epoch != self._epoch:
            self._epoch = epoch
            self._rows = self.draw(epoch)
            self._chosen = self.choose(epoch)
        return within

    def _order(self, epoch: int) -> np.ndarray:
        """Return the visits of an epoch in their order: int [steps, batch], from `_count` on those of copies."""
        rng = np.random.default_rng([self._seed, epoch])
        if self._chances is None:
            order = rng.permutation(len(self._visits))
        else:
            order = rng.choice(len(self._visits), len(self._visits), p=self._chances)
        return np.resize(order, (self.steps, self._batch_size))
