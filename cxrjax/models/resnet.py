"""ResNet 18 to 101, a backbone (He et al. 2016; padding, strides and names as torchvision's `models/resnet.py`)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv
from cxrjax.models.layers.pooling import max_pool


class ResNet(nn.Module):
    """Stem at a quarter of the resolution, followed by four stages of residual blocks.

    Attributes:
        stages: blocks of each stage.
        width: features of the first stage, doubled at each further stage; bottleneck blocks return four times as many.
        bottleneck: whether a block has 1x1, 3x3 and 1x1 convolutions instead of two of 3x3.
        dtype: type of the computation; parameters stay float32.
        only_stage: index of the stage to run alone, on the result of the one before; None to run all.
    """

    stages: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    bottleneck: bool = False
    dtype: jnp.dtype = jnp.float32
    only_stage: int | None = None

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Pixels of the input between neighboring cells of the result of every stage."""
        return tuple(4 * 2**stage for stage in range(len(self.stages)))

    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        """Compute the last feature map: float [N, H, W, C] -> [N, H / 32, W / 32, 512 or 2048]."""
        return self.feature_maps(x, train)[-1]

    @nn.compact
    def feature_maps(self, x: Float[Array, "n h w c"], train: bool) -> list[Float[Array, "n _ _ _"]]:
        """Compute the feature maps of the stem and of every stage.

        Args:
            x: images.
            train: whether batch norm is in training mode.

        Returns:
            Maps at a half (the stem), a quarter, an eighth … of the resolution.
        """
        block = BottleneckBlock if self.bottleneck else BasicBlock
        maps = []
        if self.only_stage in (None, 0):
            x = Conv(self.width, 7, stride=2, dtype=self.dtype, name="conv1")(x)  # [N, H / 2, W / 2, 64]
            x = nn.relu(batch_norm(train, self.dtype, "bn1")(x))
            maps.append(x)
            x = max_pool(x, 3, 2, padding=1)  # [N, H / 4, W / 4, 64]
        for stage, blocks in enumerate(self.stages):
            if self.only_stage not in (None, stage):
                continue
            features = self.width * 2**stage
            for i in range(blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                x = block(features, stride, self.dtype, name=f"layer{stage + 1}_{i}")(x, train)  # [N, h, w, c]
            maps.append(x)  # [N, H / 4, W / 4, 64], [N, H / 8, W / 8, 128] …; with bottlenecks four times the features
        return maps


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: [N, h, w, c] -> [N, h / stride, w / stride, features]."""

    features: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype)
        y = conv(self.features, 3, self.stride, name="conv1")(x)  # [N, h / stride, w / stride, features]
        y = nn.relu(norm("bn1")(y))
        y = norm("bn2")(conv(self.features, 3, name="conv2")(y))
        if x.shape != y.shape:
            x = norm("downsample_1")(conv(self.features, 1, self.stride, name="downsample_0")(x))
        return nn.relu(x + y)


class BottleneckBlock(nn.Module):
    """Convolutions of 1x1, 3x3, 1x1 and a shortcut: [N, h, w, c] -> [N, h / stride, w / stride, 4 features].

    The 3x3 convolution has the stride, as in torchvision; in He et al. 2016 the first 1x1 has it.
    """

    features: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype)
        y = nn.relu(norm("bn1")(conv(self.features, 1, name="conv1")(x)))  # [N, h, w, features]
        y = conv(self.features, 3, self.stride, name="conv2")(y)  # [N, h / stride, w / stride, features]
        y = nn.relu(norm("bn2")(y))
        y = norm("bn3")(conv(4 * self.features, 1, name="conv3")(y))  # [N, h / stride, w / stride, 4 features]
        if x.shape != y.shape:
            x = norm("downsample_1")(conv(4 * self.features, 1, self.stride, name="downsample_0")(x))
        return nn.relu(x + y)
