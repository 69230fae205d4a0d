"""Batch norm with the constants of PyTorch and Keras, and a context that freezes its statistics."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

# momentum: weight of the old running statistics in an update; epsilon: added to the variance.
_SETTINGS = {
    "pytorch": {"momentum": 0.9, "epsilon": 1e-5},
    "keras": {"momentum": 0.99, "epsilon": 1e-3},
    "classification_models": {"momentum": 0.99, "epsilon": 2e-5},
}

_is_frozen: ContextVar[Callable[[str], bool]] = ContextVar("is_frozen", default=lambda path: False)


class BatchNorm(nn.BatchNorm):
    """Batch norm over all axes but the last, by the batch's statistics in training and the running ones in inference.

    Attributes:
        train: whether the norm is in training mode; None if every call states it.
    """

    train: bool | None = None

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] train replaces use_running_average
        self, x: Array, train: bool | None = None
    ) -> Array:
        """Normalize each feature: float [..., C] -> [..., C]."""
        train = nn.merge_param("train", self.train, train)
        return super().__call__(x, use_running_average=not train or self.is_frozen())

    def is_frozen(self) -> bool:
        """Return whether `freeze_batch_stats` makes this norm use its running statistics in training."""
        return _is_frozen.get()("/".join(self.path))


@contextmanager
def freeze_batch_stats(is_frozen: Callable[[str], bool]) -> Iterator[None]:
    """Make some batch norms of the networks applied in this context use their running statistics in training.

    The running statistics of these norms do not change. A frozen batch norm is thus the same function in training and
    in inference, as in Keras; in the PyTorch originals its statistics continue to change under frozen weights.

    Args:
        is_frozen: path of a norm, such as "backbone/layer1_0/bn1" -> whether it is frozen.
    """
    token = _is_frozen.set(is_frozen)
    try:
        yield
    finally:
        _is_frozen.reset(token)


def batch_norm(
    train: bool | None, dtype: jnp.dtype, name: str | None, framework: str = "pytorch", use_scale: bool = True
) -> BatchNorm:
    """Create batch norm with the constants of a framework: "pytorch", "keras" or "classification_models"."""
    settings = _SETTINGS[framework]
    return BatchNorm(
        train=train,
        momentum=settings["momentum"],
        epsilon=settings["epsilon"],
        dtype=dtype,
        use_scale=use_scale,
        name=name,
    )
