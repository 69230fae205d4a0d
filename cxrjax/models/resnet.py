"""ResNet 18 and 34, which classify (He et al. 2016; padding and names as torchvision's `models/resnet.py`)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.conv import Conv


class ResNet(nn.Module):
    """A stem at a quarter of the resolution, four stages of basic blocks, global mean, one linear layer.

    The last feature map [N, H / 32, W / 32, 512] is sown as `intermediates/features`, for class activation maps.

    Attributes:
        num_classes: findings to tell apart.
        stages: basic blocks of each stage.
        width: features of the first stage, doubled at each further one.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int
    stages: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> logits float32 [N, num_classes]."""
        x = Conv(self.width, 7, stride=2, dtype=self.dtype, name="conv1")(x)  # [N, H / 2, W / 2, 64]
        x = nn.relu(_norm(train, self.dtype, "bn1")(x))
        x = nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])  # [N, H / 4, W / 4, 64]
        for stage, blocks in enumerate(self.stages):
            for block in range(blocks):
                features, stride = self.width * 2**stage, 2 if stage and not block else 1
                x = BasicBlock(features, stride, self.dtype, name=f"layer{stage + 1}_{block}")(x, train)
        self.sow("intermediates", "features", x)  # [N, H / 32, W / 32, 512]
        pooled = x.astype(jnp.float32).mean((1, 2))
        return nn.Dense(self.num_classes, name="fc")(pooled)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: [N, h, w, c] -> [N, h / stride, w / stride, features]."""

    features: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv, norm = partial(Conv, dtype=self.dtype), partial(_norm, train, self.dtype)
        y = nn.relu(norm("bn1")(conv(self.features, 3, self.stride, name="conv1")(x)))
        y = norm("bn2")(conv(self.features, 3, name="conv2")(y))
        if x.shape != y.shape:
            x = norm("downsample_1")(conv(self.features, 1, self.stride, name="downsample_0")(x))
        return nn.relu(x + y)


def _norm(train: bool, dtype: jnp.dtype, name: str) -> nn.BatchNorm:
    return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)
