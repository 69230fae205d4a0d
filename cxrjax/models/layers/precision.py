"""Precision of products and sums."""

import jax.numpy as jnp
from jax import Array, lax


def float32_precision(dtype: jnp.dtype) -> lax.Precision | None:
    """Return the precision at which products of float32 are float32 on every platform.

    By default an NVIDIA GPU rounds factors to TF32, and a TPU to bfloat16. For other types the result is None, the
    default precision.
    """
    return lax.Precision.HIGHEST if dtype == jnp.float32 else None


def accumulator_dtype(x: Array) -> jnp.dtype:
    """Return the type of sums over images: at least float32, since sums in bfloat16 lose the last terms."""
    return jnp.promote_types(x.dtype, jnp.float32)
