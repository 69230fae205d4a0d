"""Batch norm as the frameworks of the originals have it, and a hold on its statistics."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

# Share of the running statistics that a step keeps, and what is added to the variance.
_SETTINGS = {
    "pytorch": {"momentum": 0.9, "epsilon": 1e-5},
    "keras": {"momentum": 0.99, "epsilon": 1e-3},
    "classification_models": {"momentum": 0.99, "epsilon": 2e-5},
}

_held: ContextVar[Callable[[str], bool]] = ContextVar("held", default=lambda path: False)


class BatchNorm(nn.BatchNorm):
    """Batch norm over all axes but the last, by the batch's statistics in training and by the running ones after it.

    Attributes:
        train: whether it is training; where None, each call says so.
    """

    train: bool | None = None

    def __call__(self, x: Array, train: bool | None = None) -> Array:
        """float [..., C] -> [..., C]."""
        train = nn.merge_param("train", self.train, train)
        return super().__call__(x, use_running_average=not train or self.is_held())

    def is_held(self) -> bool:
        """Whether `hold` makes it, in training, what it is in use."""
        return _held.get()("/".join(self.path))


@contextmanager
def freeze_batch_stats(is_held: Callable[[str], bool]) -> Iterator[None]:
    """While networks are applied, let some batch norms use their running statistics in training, and not move them.

    So a frozen batch norm is the same function in training and in use, as Keras has it; in the PyTorch originals its
    statistics go on moving under frozen weights.

    Args:
        is_held: says of a norm's path, as "backbone/layer1_0/bn1", whether it is one of them.
    """
    before = _held.set(is_held)
    try:
        yield
    finally:
        _held.reset(before)


def batch_norm(
    train: bool | None, dtype: jnp.dtype, name: str | None, framework: str = "pytorch", use_scale: bool = True
) -> BatchNorm:
    """Batch norm with the settings of a framework."""
    return BatchNorm(train=train, dtype=dtype, name=name, use_scale=use_scale, **_SETTINGS[framework])
