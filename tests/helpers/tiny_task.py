"""A small task to train within seconds, without images."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cxrjax.models.layers import batch_norm
from cxrjax.training.task import Task, Validation


class Tiny(nn.Module):
    """A network with a parameter group to freeze and batch statistics."""

    @nn.compact
    def __call__(self, x, train):
        x = batch_norm.batch_norm(train, jnp.float32, "norm")(nn.Dense(4, name="stem")(x))
        return nn.Dense(2, name="head")(nn.relu(x))[:, 0]


def build_tiny(config, workdir):
    """Build a task of ten points; the validation loss uses the running statistics of batch norm."""
    x = jax.random.normal(jax.random.key(1), (10, 3))
    module = Tiny()

    def loss(params, batch_stats, batch, key):
        noisy = batch + 0.1 * jax.random.normal(key, batch.shape)
        variables = {"params": params, "batch_stats": batch_stats}
        y, new = module.apply(variables, noisy, train=True, mutable=["batch_stats"])
        return ((y - batch.sum(1)) ** 2).mean(), new["batch_stats"]

    def validate(variables):
        return Validation({"loss": float(((module.apply(variables, x, train=False) - x.sum(1)) ** 2).mean())})

    return Task(x, np.zeros(10, np.int32), lambda key: module.init(key, x, train=False), loss, validate)
