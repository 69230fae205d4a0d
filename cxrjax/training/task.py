"""The two trainings of the paper, each a tuple of pure functions; nothing else differs between them.

A task of the config's `task` comes from `cxrjax.training.segmentation.build` or `cxrjax.training.classification.build`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax import Array


class Task(NamedTuple):
    """What the one training loop needs to know."""

    # The training split: a pytree of arrays [n, …], or a function that reads one radiograph's, of its row; any thread
    # may call it
    data: Any
    groups: np.ndarray  # int [n], the class of each training radiograph, for sampling; zeros where there is none
    init: Callable[[Array], Mapping[str, Any]]  # key -> {"params", "batch_stats"}
    # (params, batch_stats, arrays [batch, …], key) -> (loss, new batch_stats); jitted by the loop. Where only some
    # examples are augmented, "augmented", bool [batch], is among the arrays
    loss: Callable[[Any, Any, Any, Array], tuple[Array, Any]]
    validate: Callable[[Mapping[str, Any]], dict[str, float]]  # variables -> scores of the validation split
