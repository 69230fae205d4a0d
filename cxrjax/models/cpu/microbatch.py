"""Microbatches on a CPU: a few images at a time run through several layers, whose results stay in a core's cache.

A whole batch would go through main memory at every layer. The size of a microbatch depends on the size of the feature
maps: few large maps fit in the cache, and many small ones make reading the kernels worthwhile.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.models.layers.conv import Gray
from cxrjax.runtime.platform import is_for_cpu

# Approximate pixels of the feature maps of a microbatch; measured for ResNet18 on two x86-64 cores
# (benchmarks/RESULTS.md).
PIXELS = 2500


def map_microbatches(
    module: nn.Module, layers: Callable[[nn.Module, Any, bool], Any], x: Array | Gray, train: bool, side: int
) -> Any:
    """Run layers in microbatches in inference on a CPU, and on the whole batch otherwise.

    In training the whole batch is needed, since batch norm computes statistics over it.

    Args:
        module: the module that the layers belong to.
        layers: (module, n images like x, train) -> arrays [n, …].
        x: float [N, H, W, C], or Gray.
        train: whether the layers are in training mode.
        side: side in pixels of the feature maps in these layers.

    Returns:
        The results of the layers for all images, arrays [N, …].
    """
    images = x.levels if isinstance(x, Gray) else x
    total = len(images)
    max_size = max(1, PIXELS // max(1, side**2))  # the side of a tiny image is rounded down to 0
    if train or not is_for_cpu() or total <= max_size:
        return layers(module, x, train)

    def run(module: nn.Module, _: None, microbatch: Array) -> tuple[None, Any]:
        return None, layers(module, x._replace(levels=microbatch) if isinstance(x, Gray) else microbatch, train)

    loop = nn.scan(run, variable_broadcast=True, split_rngs={})
    _, results = loop(module, None, split_batch(images, max_size))
    return merge_batch(results, total)


def split_batch(x: Array, max_size: int) -> Array:
    """Split rows [N, …] into equal microbatches of at most `max_size`: [count, size, …]; zeros fill up the last."""
    total = len(x)
    size = _microbatch_size(total, max_size)
    count = -(-total // size)
    if count * size > total:
        x = jnp.pad(x, ((0, count * size - total), *[(0, 0)] * (x.ndim - 1)))
    return x.reshape(count, size, *x.shape[1:])


def merge_batch(microbatches: Any, total: int) -> Any:
    """Undo `split_batch` of `total` rows: arrays [count, size, …] -> [total, …]."""
    return jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:])[:total], microbatches)


def _microbatch_size(total: int, max_size: int) -> int:
    """Return the largest divisor of the total in max_size / 2..max_size, else the size of nearly equal parts."""
    divisors = (n for n in range(max_size, max_size // 2, -1) if total % n == 0)
    return next(divisors, -(-total // -(-total // max_size)))
