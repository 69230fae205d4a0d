"""Order of the training examples: the rows of each step, and which of them are augmented.

Validation and test do not use it; they process each radiograph once.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

SAMPLERS = ("shuffle", "balanced", "oversample")


class AugmentedSubset(NamedTuple):
    """Subset of the training examples that is augmented; the others are presented as in validation."""

    copies_only: bool = False  # only the copies of "oversample"; hieu2695 `baseline_oversampling.py`
    probability: float = 1.0  # probability of each of those examples to be augmented
    unfreeze_epoch: int = 0  # number of epochs after which `unfreeze_scale` multiplies the probability; 0: never
    unfreeze_scale: float = 1.0  # 0.8 in the original, hieu2695 `resnet34_cs_full.py`

    @property
    def is_partial(self) -> bool:
        """Return whether any example can be left without augmentation."""
        return self.copies_only or self.probability < 1 or (self.unfreeze_epoch > 0 and self.unfreeze_scale < 1)

    def probability_in(self, epoch: int) -> float:
        """Return the probability of augmentation in an epoch, counted from 0."""
        unfrozen = 0 < self.unfreeze_epoch <= epoch
        return self.probability * self.unfreeze_scale if unfrozen else self.probability


AUGMENT_ALL = AugmentedSubset()


def _balance(labels: np.ndarray) -> np.ndarray:
    """Return the probability of each radiograph, with which every class or finding is equally likely; float64 [n]."""
    if labels.ndim == 1:
        classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return 1 / (len(classes) * counts[inverse])
    groups = np.concatenate([labels, ~labels.any(1, keepdims=True)], axis=1)
    groups = groups[:, groups.any(0)]
    return (groups / groups.sum(0)).mean(1)


def _find_minority(labels: np.ndarray, minority_classes: Sequence[int]) -> np.ndarray:
    """Return the rows of the minority classes or findings; of the smallest one that occurs if none are named."""
    if labels.ndim == 1:
        classes, counts = np.unique(labels, return_counts=True)
        return np.flatnonzero(np.isin(labels, list(minority_classes) or [classes[counts.argmin()]]))
    counts = labels.sum(0)
    smallest = int(np.where(counts > 0, counts, len(labels) + 1).argmin())
    return np.flatnonzero(labels[:, list(minority_classes) or [smallest]].any(1))


class BatchSampler:
    """Rows of each training step, as a function of the seed and the step number alone, so that a run can be resumed."""

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        sampler: str,
        seed: int,
        oversample_factor: int = 0,
        minority_classes: Sequence[int] = (),
        augmented_subset: AugmentedSubset = AUGMENT_ALL,
        probabilities: np.ndarray | None = None,
        draw_partners: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None,
    ):
        """Prepare the sampling.

        Args:
            labels: int [n], the class of each training radiograph; or bool [n, k], its positive findings.
            batch_size: radiographs per step; an epoch's last step is filled up from the epoch's beginning.
            sampler: "shuffle": an epoch visits each radiograph once; "balanced": n draws with replacement, every
                class equally likely (every finding, with a radiograph that has it, and as likely as one of them a
                radiograph without any); "oversample": each radiograph once, and those of the minority classes
                `oversample_factor` times more.
            seed: seed of the run.
            oversample_factor: number of additional copies, see `sampler` (5 in the original, hieu2695
                `baseline_oversampling.py`).
            minority_classes: classes or findings that are oversampled; the smallest if empty.
            augmented_subset: the examples that are augmented.
            probabilities: float [n] of sum 1, by which an epoch draws n radiographs with replacement; None: as
                `sampler` draws.
            draw_partners: (random generator, int [m] rows) -> int [m], rows of their partners. Every second radiograph
                is then the partner of the one before it; None: radiographs are drawn one by one.

        Raises:
            ValueError: `sampler` is unknown, only copies are to be augmented and `sampler` makes none, or pairs do not
                fit into a batch.
        """
        if sampler not in SAMPLERS:
            raise ValueError(f"no sampler called {sampler!r}; there are {', '.join(SAMPLERS)}")
        if augmented_subset.copies_only and sampler != "oversample":
            raise ValueError(
                f"training.augment=copies needs training.sampler=oversample, and it is {sampler}; set "
                "training.augment=all"
            )
        if draw_partners and batch_size % 2:
            raise ValueError(f"pairs need an even training.batch_size, and it is {batch_size}")
        self._draw_partners = draw_partners
        self._visits = np.arange(len(labels))
        if probabilities is None and sampler == "balanced":
            probabilities = _balance(labels)
        self._probabilities = probabilities
        if sampler == "oversample":
            minority_rows = _find_minority(labels, minority_classes)
            self._visits = np.concatenate([self._visits, np.tile(minority_rows, oversample_factor)])
        self.num_examples = len(labels)
        self._augmented_subset = augmented_subset
        self._seed = seed
        self._batch_size = batch_size
        self.steps_per_epoch = math.ceil(len(self._visits) / batch_size)
        self._epoch = -1  # the epoch of the two arrays below
        self._rows = np.empty(0)
        self._augmented: np.ndarray | None = None

    def rows(self, step: int) -> np.ndarray:
        """Return the rows int32 [batch] of a step, counted from 0 over the whole training."""
        step_in_epoch = self._load_epoch(step)
        return self._rows[step_in_epoch]

    def augmented(self, step: int) -> np.ndarray | None:
        """Return which examples of a step are augmented: bool [batch]; None where all are.

        Args:
            step: counted from 0 over the whole training.
        """
        step_in_epoch = self._load_epoch(step)
        return None if self._augmented is None else self._augmented[step_in_epoch]

    def epoch_rows(self, epoch: int) -> np.ndarray:
        """Return the rows int32 [steps, batch] of an epoch, counted from 0."""
        return self._visits[self._order(epoch)].astype(np.int32)

    def epoch_augmented(self, epoch: int) -> np.ndarray | None:
        """Return which examples of an epoch, counted from 0, are augmented: bool [steps, batch]; None where all are."""
        if not self._augmented_subset.is_partial:
            return None
        order = self._order(epoch)
        # A separate random stream, so that the order is the same as that of a training that augments all.
        rng = np.random.default_rng([self._seed, epoch, 1])
        augmented = rng.random(order.shape) < self._augmented_subset.probability_in(epoch)
        return augmented & (order >= self.num_examples) if self._augmented_subset.copies_only else augmented

    def _load_epoch(self, step: int) -> int:
        """Draw the epoch of a step, unless it is the current one, and return the step's index within the epoch."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._rows = self.epoch_rows(epoch)
            self._augmented = self.epoch_augmented(epoch)
        return step_in_epoch

    def _order(self, epoch: int) -> np.ndarray:
        """Return the visits of an epoch in order: int [steps, batch]; indices from `_count` on are copies."""
        rng = np.random.default_rng([self._seed, epoch])
        if self._probabilities is None:
            order = rng.permutation(len(self._visits))
        else:
            order = rng.choice(len(self._visits), len(self._visits), p=self._probabilities)
        batches = np.resize(order, (self.steps_per_epoch, self._batch_size))
        if self._draw_partners:
            batches[:, 1::2] = self._draw_partners(rng, batches[:, ::2].ravel()).reshape(len(batches), -1)
        return batches
