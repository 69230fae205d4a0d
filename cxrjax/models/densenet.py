"""DenseNet 121 and 201, a backbone (Huang et al. 2017; padding and names as torchvision's `models/densenet.py`)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.cpu.microbatch import map_microbatches
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Gray
from cxrjax.models.layers.pooling import max_pool


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
    def __call__(self, x: Array | Gray, train: bool) -> Array:
        """float [N, H, W, C] -> last feature map [N, H / 32, W / 32, 1024 or 1920]."""
        side = -(-max(x.shape[1:3]) // 4)
        x = map_microbatches(self, DenseNet._begin, x, train, side)
        for block in range(2, len(self.blocks) + 1):
            side //= 2
            x = map_microbatches(self, partial(DenseNet._block, block=block), x, train, side)
        return nn.relu(batch_norm(train, self.dtype, "norm5")(x))

    def _begin(self, x: Array | Gray, train: bool) -> Array:
        x = Conv(self.stem, 7, stride=2, dtype=self.dtype, name="conv0")(x)  # [N, H / 2, W / 2, 64]
        x = nn.relu(batch_norm(train, self.dtype, "norm0")(x))
        return self._block(max_pool(x, 3, 2, padding=1), train, 1)  # [N, H / 4, W / 4, 64]

    def _block(self, x: Array, train: bool, block: int) -> Array:
        """A dense block and, but for the last, the transition after it."""
        for i in range(1, self.blocks[block - 1] + 1):
            layer = DenseLayer(self.growth, self.dtype, name=f"denseblock{block}_denselayer{i}")
            x = jnp.concatenate([x, layer(x, train)], axis=-1)
        if block == len(self.blocks):
            return x
        x = nn.relu(batch_norm(train, self.dtype, f"transition{block}_norm")(x))
        x = Conv(x.shape[-1] // 2, 1, dtype=self.dtype, name=f"transition{block}_conv")(x)
        return nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))


class DenseLayer(nn.Module):
    """What one layer adds, by way of four times as many features: [N, h, w, c] -> [N, h, w, growth]."""

    growth: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv, norm = partial(Conv, dtype=self.dtype), partial(batch_norm, train, self.dtype)
        x = conv(4 * self.growth, 1, name="conv1")(nn.relu(norm("norm1")(x)))
        return conv(self.growth, 3, name="conv2")(nn.relu(norm("norm2")(x)))
