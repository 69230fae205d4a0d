"""DenseNet 121 and 201, a backbone (Huang et al. 2017; padding and names as torchvision's `models/densenet.py`)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.conv import Conv
from cxrjax.models.norm import batch_norm
from cxrjax.models.pool import max_pool


class DenseNet(nn.Module):
    """A stem at a quarter of the resolution, then dense blocks, features and resolution halved between them.

    Attributes:
        blocks: layers of each dense block.
        growth: features each layer adds.
        stem: features of the first convolution.
        dtype: of the computation; parameters stay float32.
    """

    blocks: Sequence[int] = (6, 12, 24, 16)
    growth: int = 32
    stem: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> last feature map [N, H / 32, W / 32, 1024 or 1920]."""
        conv, norm = partial(Conv, dtype=self.dtype), partial(batch_norm, train, self.dtype)
        x = conv(self.stem, 7, stride=2, name="conv0")(x)  # [N, H / 2, W / 2, 64]
        x = max_pool(nn.relu(norm("norm0")(x)), 3, 2, padding=1)  # [N, H / 4, W / 4, 64]
        for block, layers in enumerate(self.blocks, 1):
            for i in range(1, layers + 1):
                layer = DenseLayer(self.growth, self.dtype, name=f"denseblock{block}_denselayer{i}")
                x = jnp.concatenate([x, layer(x, train)], axis=-1)
            if block < len(self.blocks):
                x = nn.relu(norm(f"transition{block}_norm")(x))
                x = conv(x.shape[-1] // 2, 1, name=f"transition{block}_conv")(x)
                x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))
        return nn.relu(norm("norm5")(x))


class DenseLayer(nn.Module):
    """What one layer adds, by way of four times as many features: [N, h, w, c] -> [N, h, w, growth]."""

    growth: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv, norm = partial(Conv, dtype=self.dtype), partial(batch_norm, train, self.dtype)
        x = conv(4 * self.growth, 1, name="conv1")(nn.relu(norm("norm1")(x)))
        return conv(self.growth, 3, name="conv2")(nn.relu(norm("norm2")(x)))
