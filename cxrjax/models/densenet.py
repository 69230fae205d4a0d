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
    """Stem at a quarter of the resolution, followed by dense blocks; features and resolution are halved between them.

    Attributes:
        blocks: layers of each dense block.
        growth: features that each layer adds.
        stem: features of the first convolution.
        dtype: type of the computation; parameters stay float32.
    """

    blocks: Sequence[int] = (6, 12, 24, 16)
    growth: int = 32
    stem: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array | Gray, train: bool) -> Array:
        """Compute the last feature map: float [N, H, W, C] -> [N, H / 32, W / 32, 1024 or 1920]."""
        side = -(-max(x.shape[1:3]) // 4)
        x = map_microbatches(self, DenseNet._stem, x, train, side)  # [N, H / 8, W / 8, c]
        for block in range(2, len(self.blocks) + 1):
            side //= 2
            run_block = partial(DenseNet._block, block=block)
            x = map_microbatches(self, run_block, x, train, side)  # [N, h / 2, w / 2, c], the last [N, h, w, c]
        return nn.relu(batch_norm(train, self.dtype, "norm5")(x))

    def _stem(self, x: Array | Gray, train: bool) -> Array:
        """Run the stem, the first dense block and the transition after it."""
        x = Conv(self.stem, 7, stride=2, dtype=self.dtype, name="conv0")(x)  # [N, H / 2, W / 2, 64]
        x = nn.relu(batch_norm(train, self.dtype, "norm0")(x))
        x = max_pool(x, 3, 2, padding=1)  # [N, H / 4, W / 4, 64]
        return self._block(x, train, 1)

    def _block(self, x: Array, train: bool, block: int) -> Array:
        """Run a dense block and, unless it is the last, the transition after it."""
        for i in range(1, self.blocks[block - 1] + 1):
            layer = DenseLayer(self.growth, self.dtype, name=f"denseblock{block}_denselayer{i}")
            x = jnp.concatenate([x, layer(x, train)], axis=-1)  # [N, h, w, c + growth]
        if block == len(self.blocks):
            return x
        x = nn.relu(batch_norm(train, self.dtype, f"transition{block}_norm")(x))
        x = Conv(x.shape[-1] // 2, 1, dtype=self.dtype, name=f"transition{block}_conv")(x)  # [N, h, w, c / 2]
        return nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))  # [N, h / 2, w / 2, c / 2]


class DenseLayer(nn.Module):
    """Layer of a dense block, with a bottleneck of four times its features: [N, h, w, c] -> [N, h, w, growth]."""

    growth: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype)
        x = nn.relu(norm("norm1")(x))  # [N, h, w, c]
        x = conv(4 * self.growth, 1, name="conv1")(x)  # [N, h, w, 4 growth]
        x = nn.relu(norm("norm2")(x))
        return conv(self.growth, 3, name="conv2")(x)  # [N, h, w, growth]
