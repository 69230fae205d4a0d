"""Interface between the training loop and the two tasks of the paper, segmentation and classification.

`cxrjax.training.segmentation.build` and `cxrjax.training.classification.build` return the task of a config.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jax import Array


class Validation(NamedTuple):
    """Result of a validation."""

    metrics: Mapping[str, float]
    # {name: RGB uint8 [h, w, 3]}, some validation radiographs with what the network predicts for them, for trackers
    images: Mapping[str, np.ndarray] = MappingProxyType({})


class Task(NamedTuple):
    """Training data and pure functions of a task, for the training loop."""

    # The training split: a pytree of arrays [n, …], or a thread-safe function: row -> arrays of one radiograph
    data: Any
    # of each training radiograph, for sampling: int [n], its class, or zeros without classes; or bool [n, k], its
    # positive findings
    sampling_labels: np.ndarray
    init: Callable[[Array], Mapping[str, Any]]  # key -> {"params", "batch_stats"}
    # (params, batch_stats, arrays [batch, …], key) -> (loss, new batch_stats); jitted by the loop. Where only some
    # examples are augmented, the arrays include "augmented", bool [batch]
    loss: Callable[[Any, Any, Any, Array], tuple[Array, Any]]
    # variables -> result for the validation split; None where there is none
    validate: Callable[[Mapping[str, Any]], Validation] | None
    # float [n], by which each training radiograph is drawn, in place of `training.sampler`; None: as the sampler draws
    sampling_weights: np.ndarray | None = None
    # (random generator, rows) -> rows of their partners, see `BatchSampler`; None: rows are drawn one by one
    draw_partners: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None
    # {"params", "batch_stats"} of the remedies (`remedies.objective`), which are trained with the network's
    remedy_variables: Mapping[str, Any] = MappingProxyType({})
