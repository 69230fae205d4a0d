"""A batch in slices, on a CPU: a few pictures go through layers together, and what these make lies in a core's cache.

A whole batch would go through memory at every layer. How many pictures are a slice depends on their size where the
layers are: few of many pixels, for the cache, and more where there are fewer, so that reading the kernels is worth it.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.models.layers.conv import Gray
from cxrjax.runtime.platform import is_for_cpu

PIXELS = 2500  # of a slice, about; as measured for ResNet18 on two x86-64 cores (benchmarks/RESULTS.md)


def map_microbatches(
    module: nn.Module, layers: Callable[[nn.Module, Any, bool], Any], x: Array | Gray, train: bool, side: int
) -> Any:
    """Layers, in slices where they are not training, for then no picture knows another.

    Args:
        module: whose layers they are.
        layers: (module, n pictures like x, train) -> arrays [n, …].
        x: float [N, H, W, C], or Grey.
        train: whether they are training.
        side: of the pictures where the layers are, in pixels.

    Returns:
        What the layers make of all, arrays [N, …].
    """
    pictures = x.levels if isinstance(x, Gray) else x
    total, most = len(pictures), max(1, PIXELS // max(1, side**2))  # none are left of a tiny picture
    if train or not is_for_cpu() or total <= most:
        return layers(module, x, train)

    def run(module: nn.Module, _: None, some: Array) -> tuple[None, Any]:
        return None, layers(module, x._replace(levels=some) if isinstance(x, Gray) else some, train)

    loop = nn.scan(run, variable_broadcast=True, split_rngs={})
    _, made = loop(module, None, split_batch(pictures, most))
    return merge_batch(made, total)


def split_batch(x: Array, most: int) -> Array:
    """Rows [N, …] in equal slices of at most so many, [count, each, …]; where N does not divide, zeros are the rest."""
    total = len(x)
    each = _share(total, most)
    count = -(-total // each)
    if count * each > total:
        x = jnp.pad(x, ((0, count * each - total), *[(0, 0)] * (x.ndim - 1)))
    return x.reshape(count, each, *x.shape[1:])


def merge_batch(slices: Any, total: int) -> Any:
    """What became of `split` of so many rows: arrays [count, each, …] -> [total, …]."""
    return jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:])[:total], slices)


def _share(total: int, most: int) -> int:
    """Pictures of a slice: as many as divide the total, if not far fewer than the most; else nearly equal shares."""
    whole = (n for n in range(most, most // 2, -1) if total % n == 0)
    return next(whole, -(-total // -(-total // most)))
