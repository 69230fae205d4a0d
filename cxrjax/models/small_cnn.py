"""Small networks trained from nothing, backbones: three of fsarshad (Keras) and the baseline of hieu2695 (PyTorch)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.cpu.microbatch import map_microbatches
from cxrjax.models.heads import ACTIVATIONS
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Gray
from cxrjax.models.layers.pooling import max_pool


class SmallCNN(nn.Module):
    """Stages of padded convolutions, the resolution halved after each (fsarshad's notebook, custom models 1 to 3).

    Attributes:
        widths: features of each stage.
        sizes: side of each convolution of a stage.
        activation: after each convolution, a key of ACTIVATIONS.
        norm: whether batch norm (as Keras has it) comes before the activation.
        dropout: share of the values dropped in training after each stage.
        dtype: of the computation; parameters stay float32.
    """

    widths: Sequence[int] = (32, 64, 128, 256, 512, 1024)
    sizes: Sequence[int] = (3,)
    activation: str = "relu"
    norm: bool = False
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array | Gray, train: bool) -> Array:
        """float [N, H, W, C] -> last feature map [N, h, w, widths[-1]], h being H halved, rounded down, each stage."""
        for stage in range(len(self.widths)):
            x = map_microbatches(self, partial(SmallCNN._stage, stage=stage), x, train, max(x.shape[1:3]))
        return x

    def _stage(self, x: Array | Gray, train: bool, stage: int) -> Array:
        for i, size in enumerate(self.sizes):
            x = Conv(self.widths[stage], size, use_bias=True, dtype=self.dtype, name=f"conv_{stage}_{i}")(x)
            if self.norm:
                x = batch_norm(train, self.dtype, f"norm_{stage}_{i}", "keras")(x)
            x = ACTIVATIONS[self.activation](x)
        return nn.Dropout(self.dropout, deterministic=not train)(max_pool(x, 2, 2))


class TwoLayerCNN(nn.Module):
    """Two unpadded convolutions (hieu2695 `baseline.py`; layers numbered as there)."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> last feature map [N, ((H - 2) // 2 - 2) // 2, …, 16]; H and W at least 10."""
        x = Conv(6, 3, padding=0, use_bias=True, dtype=self.dtype, name="cnn_layers_0")(x)
        x = max_pool(nn.relu(batch_norm(train, self.dtype, "cnn_layers_1")(x)), 2, 2)
        x = Conv(16, 3, padding=0, use_bias=True, dtype=self.dtype, name="cnn_layers_4")(x)
        x = nn.relu(batch_norm(train, self.dtype, "cnn_layers_5")(x))
        return nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
