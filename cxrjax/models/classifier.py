"""Classifiers: a backbone, which computes a feature map, and a head, which turns the map into logits.

Every head goes with every backbone, at any input size.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from cxrjax.models import initializers
from cxrjax.models.layers.activations import ACTIVATIONS
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.precision import float32_precision


class Classifier(nn.Module):
    """Backbone followed by a head; the parameters are under `backbone` and `head`.

    Attributes:
        backbone: images -> last feature maps.
        head: a `Head`, feature maps -> logits.
        crop_border: cells cut off each side of the feature map before the head; they cover the context of the input.
    """

    backbone: nn.Module
    head: nn.Module
    crop_border: int = 0

    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float32[Array, "n k"]:
        """Classify a batch of images; return their logits."""
        return self.head(self.crop(self.backbone(x, train)), train)

    def apply_head(self, features: Float[Array, "n h w c"]) -> Float32[Array, "n k"]:
        """Run the head in inference on feature maps; return their logits."""
        return self.head(features, train=False)

    def crop(self, features: Float[Array, "n h w c"]) -> Float32[Array, "n rows columns c"]:
        """Cut `crop_border` cells off each side of feature maps, as float32."""
        height, width = features.shape[1:3]
        border = self.crop_border
        return features[:, border : height - border, border : width - border].astype(jnp.float32)


class Head(nn.Module):
    """Mean of the feature map in each cell of a grid, followed by linear layers.

    Attributes:
        num_classes: number of classes.
        hidden: (features, dropout rate in training) of each layer before the last.
        grid: cells per side; 1 is global average pooling.
        activation: activation of the hidden layers, a key of ACTIVATIONS.
        norm: whether the hidden layers have batch norm (with Keras's constants) before their activation.
        dtype: type in which the hidden layers are computed; the mean and the last layer are float32, as are all
            parameters.
    """

    num_classes: int
    hidden: Sequence[tuple[int, float]] = ()
    grid: int = 1
    activation: str = "relu"
    norm: bool = False
    dtype: jnp.dtype = jnp.float32

    @property
    def is_linear(self) -> bool:
        """True for global average pooling and one linear layer, whose class activation maps need no gradient."""
        return self.grid == 1 and not self.hidden

    @nn.compact
    def __call__(self, features: Float[Array, "n h w c"], train: bool) -> Float32[Array, "n k"]:
        """Compute the logits of feature maps."""
        x = mean_in_grid(features.astype(jnp.float32), self.grid)  # [N, grid, grid, C]
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # [N, C grid grid], the order of PyTorch's weights
        initializer = initializers.current()
        for i, (width, dropout) in enumerate(self.hidden):
            linear = nn.Dense(
                width,
                dtype=self.dtype,
                precision=float32_precision(self.dtype),
                kernel_init=initializer.linear,
                bias_init=initializer.linear_bias(x.shape[-1]),
                name=f"linear_{i}",
            )
            x = linear(x)  # [N, width]
            if self.norm:
                x = batch_norm(train, self.dtype, f"norm_{i}", "keras")(x)
            x = ACTIVATIONS[self.activation](x)
            x = nn.Dropout(dropout, deterministic=not train)(x)
        last = nn.Dense(
            self.num_classes,
            precision=float32_precision(jnp.float32),
            kernel_init=initializer.last,
            bias_init=initializer.linear_bias(x.shape[-1]),
            name=f"linear_{len(self.hidden)}",
        )
        return last(x.astype(jnp.float32))  # [N, num_classes]


_VGG = ((4096, 0.5), (4096, 0.5))
# At the input size of the original, the grid of a flattened feature map is the map itself: one value per cell.
HEADS = {
    "linear": Head,
    "hidden": partial(Head, hidden=((512, 0.1),)),  # hieu2695 resnet34_cs_fc.py, densenet_cs_fc.py
    "vgg": partial(Head, hidden=_VGG, grid=7),  # torchvision
    "vgg_hidden": partial(Head, hidden=(*_VGG, (512, 0.1)), grid=7),  # hieu2695 VGG_cs_fc.py
    "flat": partial(Head, hidden=((1024, 0.0),), grid=6),  # fsarshad transfer_vgg19.py, transfer_densenet201.py; 192²
    "flat_linear": partial(Head, grid=30),  # hieu2695 baseline.py; 128²
    # fsarshad's notebook, one head per network; 256²
    "fsarshad_cnn1": partial(Head, hidden=((512, 0.0),), grid=4),
    "fsarshad_cnn2": partial(Head, hidden=((512, 0.5),), grid=8, activation="gelu"),
    "fsarshad_cnn3": partial(Head, hidden=((512, 0.5),), grid=4, activation="swish", norm=True),
}


def mean_in_grid(x: Float[Array, "n h w c"], grid: int) -> Float[Array, "n {grid} {grid} c"]:
    """Average the values in each cell of a grid (PyTorch's AdaptiveAvgPool2d).

    Cells overlap where the grid does not divide the size.

    Args:
        x: feature maps.
        grid: cells per side.

    Returns:
        The mean of each cell.
    """
    if grid == 1:
        return x.mean((1, 2), keepdims=True)
    if x.shape[1:3] == (grid, grid):
        return x
    row_weights = _cell_weights(x.shape[1], grid)
    column_weights = _cell_weights(x.shape[2], grid)
    return jnp.einsum("gh,nhwc,kw->ngkc", row_weights, x, column_weights, precision=float32_precision(x.dtype))


def _cell_weights(size: int, grid: int) -> Float32[np.ndarray, "{grid} {size}"]:
    """Compute the weight of every row in the mean of every cell."""
    cell = np.arange(grid)[:, None]
    row = np.arange(size)
    inside = (row >= cell * size // grid) & (row < -(-(cell + 1) * size // grid))
    return (inside / inside.sum(1, keepdims=True)).astype(np.float32)
