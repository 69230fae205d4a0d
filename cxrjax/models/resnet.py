"""ResNet 18 to 101, a backbone (He et al. 2016; padding, strides and names as torchvision's `models/resnet.py`)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.cpu.microbatch import map_microbatches
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Gray
from cxrjax.models.layers.pooling import max_pool


class ResNet(nn.Module):
    """A stem at a quarter of the resolution, then four stages of residual blocks.

    Attributes:
        stages: blocks of each stage.
        width: features of the first stage, doubled at each further one; bottleneck blocks put out four times as many.
        bottleneck: whether the blocks are 1x1, 3x3, 1x1 convolutions and not two of 3x3.
        dtype: of the computation; parameters stay float32.
    """

    stages: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    bottleneck: bool = False
    dtype: jnp.dtype = jnp.float32

    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> last feature map [N, H / 32, W / 32, 512 or 2048]."""
        return self.descend(x, train)[-1]

    @nn.compact
    def descend(self, x: Array | Gray, train: bool) -> list[Array]:
        """float [N, H, W, C] -> feature maps at a half (the stem's), a quarter, an eighth … of the resolution."""
        side = -(-max(x.shape[1:3]) // 4)
        maps = [*map_microbatches(self, ResNet._begin, x, train, side)]
        for stage in range(1, len(self.stages)):
            side = -(-side // 2)
            maps.append(map_microbatches(self, partial(ResNet._stage, stage=stage), maps[-1], train, side))
        return maps

    def _begin(self, x: Array | Gray, train: bool) -> tuple[Array, Array]:
        x = Conv(self.width, 7, stride=2, dtype=self.dtype, name="conv1")(x)  # [N, H / 2, W / 2, 64]
        stem = nn.relu(batch_norm(train, self.dtype, "bn1")(x))
        return stem, self._stage(max_pool(stem, 3, 2, padding=1), train, 0)  # [N, H / 4, W / 4, 64]

    def _stage(self, x: Array, train: bool, stage: int) -> Array:
        block = BottleneckBlock if self.bottleneck else BasicBlock
        for i in range(self.stages[stage]):
            features, stride = self.width * 2**stage, 2 if stage and not i else 1
            x = block(features, stride, self.dtype, name=f"layer{stage + 1}_{i}")(x, train)
        return x


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: [N, h, w, c] -> [N, h / stride, w / stride, features]."""

    features: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv, norm = partial(Conv, dtype=self.dtype), partial(batch_norm, train, self.dtype)
        y = nn.relu(norm("bn1")(conv(self.features, 3, self.stride, name="conv1")(x)))
        y = norm("bn2")(conv(self.features, 3, name="conv2")(y))
        if x.shape != y.shape:
            x = norm("downsample_1")(conv(self.features, 1, self.stride, name="downsample_0")(x))
        return nn.relu(x + y)


class BottleneckBlock(nn.Module):
    """Convolutions of 1x1, 3x3, 1x1 and a shortcut: [N, h, w, c] -> [N, h / stride, w / stride, 4 features].

    The stride is in the 3x3 one (torchvision's; in He et al. 2016 it is in the first 1x1).
    """

    features: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv, norm = partial(Conv, dtype=self.dtype), partial(batch_norm, train, self.dtype)
        y = nn.relu(norm("bn1")(conv(self.features, 1, name="conv1")(x)))
        y = nn.relu(norm("bn2")(conv(self.features, 3, self.stride, name="conv2")(y)))
        y = norm("bn3")(conv(4 * self.features, 1, name="conv3")(y))
        if x.shape != y.shape:
            x = norm("downsample_1")(conv(4 * self.features, 1, self.stride, name="downsample_0")(x))
        return nn.relu(x + y)
