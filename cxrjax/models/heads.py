"""Heads: from the last feature map of a backbone to logits. Any head goes with any backbone, at any input size."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from cxrjax.models import initializers
from cxrjax.models.cpu.conv2d import exact
from cxrjax.models.layers.batch_norm import batch_norm

ACTIVATIONS = {"relu": nn.relu, "gelu": partial(nn.gelu, approximate=False), "swish": nn.swish}


class Head(nn.Module):
    """The mean of the feature map in each cell of a grid, then linear layers.

    Attributes:
        num_classes: findings to tell apart.
        hidden: features, and share of them dropped in training, of each layer before the last.
        grid: cells a side; 1 is the global mean.
        activation: of the hidden layers, a key of ACTIVATIONS.
        norm: whether the hidden layers have batch norm (as Keras has it) before their activation.
        dtype: of the hidden layers' computation; the mean and the last layer are float32, as are all parameters.
    """

    num_classes: int
    hidden: Sequence[tuple[int, float]] = ()
    grid: int = 1
    activation: str = "relu"
    norm: bool = False
    dtype: jnp.dtype = jnp.float32

    @property
    def is_linear(self) -> bool:
        """Whether it is a global mean and one linear layer, so that class activation maps need no gradient."""
        return self.grid == 1 and not self.hidden

    @nn.compact
    def __call__(self, features: Array, train: bool) -> Array:
        """float [N, h, w, C] -> logits float32 [N, num_classes]."""
        x = mean_in_grid(features.astype(jnp.float32), self.grid)  # [N, grid, grid, C]
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # channels first, the order of PyTorch's weights
        initializer = initializers.current()
        for i, (width, dropout) in enumerate(self.hidden):
            x = nn.Dense(
                width,
                dtype=self.dtype,
                precision=exact(self.dtype),
                kernel_init=initializer.linear,
                bias_init=initializer.linear_bias(x.shape[-1]),
                name=f"linear_{i}",
            )(x)
            if self.norm:
                x = batch_norm(train, self.dtype, f"norm_{i}", "keras")(x)
            x = nn.Dropout(dropout, deterministic=not train)(ACTIVATIONS[self.activation](x))
        last = nn.Dense(
            self.num_classes,
            precision=exact(jnp.float32),
            kernel_init=initializer.last,
            bias_init=initializer.linear_bias(x.shape[-1]),
            name=f"linear_{len(self.hidden)}",
        )
        return last(x.astype(jnp.float32))


_VGG = ((4096, 0.5), (4096, 0.5))
# Grids of flattened feature maps are those at the original's input size, where the mean in a cell is one value.
HEADS = {
    "linear": Head,
    "hidden": partial(Head, hidden=((512, 0.1),)),  # hieu2695 resnet34_cs_fc.py, densenet_cs_fc.py
    "vgg": partial(Head, hidden=_VGG, grid=7),  # torchvision
    "vgg_hidden": partial(Head, hidden=(*_VGG, (512, 0.1)), grid=7),  # hieu2695 VGG_cs_fc.py
    "flat": partial(Head, hidden=((1024, 0.0),), grid=6),  # fsarshad transfer_vgg19.py, transfer_densenet201.py; 192²
    "flat_linear": partial(Head, grid=30),  # hieu2695 baseline.py; 128²
    # fsarshad's notebook, one a network; 256²
    "fsarshad_cnn1": partial(Head, hidden=((512, 0.0),), grid=4),
    "fsarshad_cnn2": partial(Head, hidden=((512, 0.5),), grid=8, activation="gelu"),
    "fsarshad_cnn3": partial(Head, hidden=((512, 0.5),), grid=4, activation="swish", norm=True),
}


def mean_in_grid(x: Array, grid: int) -> Array:
    """Mean in each cell of a grid, cells overlapping where they do not divide the size (PyTorch's AdaptiveAvgPool2d).

    Args:
        x: float [N, h, w, C].
        grid: cells a side.

    Returns:
        float [N, grid, grid, C].
    """
    if grid == 1:
        return x.mean((1, 2), keepdims=True)
    if x.shape[1:3] == (grid, grid):
        return x
    rows, columns = (_cell_weights(size, grid) for size in x.shape[1:3])
    return jnp.einsum("gh,nhwc,kw->ngkc", rows, x, columns, precision=exact(x.dtype))


def _cell_weights(size: int, grid: int) -> np.ndarray:
    """Weight float32 [grid, size] of every row in every cell."""
    cell, row = np.arange(grid)[:, None], np.arange(size)
    inside = (row >= cell * size // grid) & (row < -(-(cell + 1) * size // grid))
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)
