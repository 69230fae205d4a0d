"""Batch norm as the frameworks of the originals have it."""

import flax.linen as nn
import jax.numpy as jnp

# Share of the running statistics that a step keeps, and what is added to the variance.
_SETTINGS = {
    "pytorch": {"momentum": 0.9, "epsilon": 1e-5},
    "keras": {"momentum": 0.99, "epsilon": 1e-3},
    "classification_models": {"momentum": 0.99, "epsilon": 2e-5},
}


def batch_norm(
    train: bool | None, dtype: jnp.dtype, name: str | None, framework: str = "pytorch", use_scale: bool = True
) -> nn.BatchNorm:
    """Batch norm over all axes but the last, by the batch's statistics in training and by the running ones after it.

    Where `train` is None, each call says which.
    """
    return nn.BatchNorm(
        None if train is None else not train, dtype=dtype, name=name, use_scale=use_scale, **_SETTINGS[framework]
    )
