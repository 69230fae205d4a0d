"""Batches of rows in equal microbatches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Shaped


def map_microbatches(function: Callable[[Array], Any], x: Shaped[Array, "n ..."], max_size: int) -> Any:
    """Apply a function to rows in a loop over microbatches of at most `max_size`; to all at once if they are as few.

    Args:
        function: rows [m, …] -> arrays [m, …], each row independently of the others.
        x: the rows.
        max_size: maximum number of rows per call, at least 1.

    Returns:
        The results for all rows, arrays [n, …].
    """
    if len(x) <= max_size:
        return function(x)
    return merge_batch(lax.map(function, split_batch(x, max_size)), len(x))


def split_batch(x: Shaped[Array, "n *row"], max_size: int) -> Shaped[Array, "count size *row"]:
    """Split rows into equal microbatches of at most `max_size`; zeros fill up the last."""
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
