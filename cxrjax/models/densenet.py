"""DenseNet 121 and 201, a backbone (Huang et al. 2017; padding and names as torchvision's `models/densenet.py`)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv
from cxrjax.models.layers.pooling import max_pool


class DenseNet(nn.Module):
    """Stem at a quarter of the resolution, followed by dense blocks; features and resolution are halved between them.

    Attributes:
        blocks: layers of each dense block.
        growth: features that each layer adds.
        stem: features of the first convolution.
        dtype: type of the computation; parameters stay float32.
        only_stage: index of the stage to run alone, on the result of the one before; None to run all.
    """

    blocks: Sequence[int] = (6, 12, 24, 16)
    growth: int = 32
    stem: int = 64
    dtype: jnp.dtype = jnp.float32
    only_stage: int | None = None

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Pixels of the input between neighboring cells in the dense block of every stage."""
        return tuple(4 * 2**stage for stage in range(len(self.blocks)))

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        """Compute the last feature map: float [N, H, W, C] -> [N, H / 32, W / 32, 1024 or 1920]."""
        norm = partial(batch_norm, train, self.dtype)
        last = len(self.blocks) - 1
        if self.only_stage in (None, 0):
            x = Conv(self.stem, 7, stride=2, dtype=self.dtype, name="conv0")(x)  # [N, H / 2, W / 2, 64]
            x = nn.relu(norm("norm0")(x))
            x = max_pool(x, 3, 2, padding=1)  # [N, H / 4, W / 4, 64]
        for stage, layers in enumerate(self.blocks):
            if self.only_stage not in (None, stage):
                continue
            for i in range(1, layers + 1):
                layer = DenseLayer(self.growth, self.dtype, name=f"denseblock{stage + 1}_denselayer{i}")
                x = jnp.concatenate([x, layer(x, train)], axis=-1)  # [N, h, w, c + growth]
            if stage < last:
                x = nn.relu(norm(f"transition{stage + 1}_norm")(x))
                conv = Conv(x.shape[-1] // 2, 1, dtype=self.dtype, name=f"transition{stage + 1}_conv")
                x = conv(x)  # [N, h, w, c / 2]
                x = nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))  # [N, h / 2, w / 2, c / 2]
        if self.only_stage in (None, last):
            x = nn.relu(norm("norm5")(x))  # [N, H / 32, W / 32, 1024 or 1920]
        return x


class DenseLayer(nn.Module):
    """Layer of a dense block, with a bottleneck of four times its features: [N, h, w, c] -> [N, h, w, growth]."""

    growth: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype)
        x = nn.relu(norm("norm1")(x))  # [N, h, w, c]
        x = conv(4 * self.growth, 1, name="conv1")(x)  # [N, h, w, 4 growth]
        x = nn.relu(norm("norm2")(x))
        return conv(self.growth, 3, name="conv2")(x)  # [N, h, w, growth]
