"""The devices that a batch is shared between: one axis, over which everything is jitted."""

import math

import jax
from jax.sharding import AxisType, Mesh

AXIS = "data"


def build_mesh(batch_size: int) -> Mesh:
    """A mesh of as many devices as can take equal shares of a batch."""
    count = math.gcd(batch_size, jax.device_count())
    return jax.make_mesh((count,), (AXIS,), (AxisType.Auto,), devices=jax.devices()[:count])
