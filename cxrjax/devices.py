"""The devices that a batch is shared between: one axis, over which everything is jitted."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

AXIS = "data"


def build_mesh(batch_size: int) -> Mesh:
    """A mesh of as many devices as can take equal shares of a batch."""
    count = math.gcd(batch_size, jax.device_count())
    return jax.make_mesh((count,), (AXIS,), (AxisType.Auto,), devices=jax.devices()[:count])


def share(run: Callable[[Any, Any], Any], batch_size: int) -> Callable[[Any, Any], Any]:
    """Compile a program for batches of a size, each device taking its share of the radiographs.

    Args:
        run: (variables, arrays whose first axis is the batch's) -> arrays likewise; no radiograph may know another.
        batch_size: radiographs at once.
    """
    whole, part = PartitionSpec(), PartitionSpec(AXIS)
    mesh = build_mesh(batch_size)
    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(whole, part), out_specs=part, check_vma=False))
