"""ResNet18 with norm before convolution, a backbone: manastahir's (the Keras package `classification_models`).

He et al. 2016b; names as qubvel/classification_models `models/resnet.py`.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.cpu.microbatch import map_microbatches
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv
from cxrjax.models.layers.pooling import max_pool

_FRAMEWORK = "classification_models"


class PreActResNet(nn.Module):
    """Stem at a quarter of the resolution, followed by four stages of residual blocks.

    Attributes:
        stages: blocks of each stage.
        width: features of the first stage, doubled at each further stage.
        dtype: type of the computation; parameters stay float32.
    """

    stages: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Compute the last feature map: float [N, H, W, C] -> [N, H / 32, W / 32, 512]."""
        side = -(-max(x.shape[1:3]) // 4)
        x = map_microbatches(self, PreActResNet._stem, x, train, side)  # [N, H / 4, W / 4, 64]
        for stage in range(1, len(self.stages)):
            side = -(-side // 2)
            run_stage = partial(PreActResNet._stage, stage=stage)
            x = map_microbatches(self, run_stage, x, train, side)  # [N, h / 2, w / 2, 2 c]
        return nn.relu(batch_norm(train, self.dtype, "bn1", framework=_FRAMEWORK)(x))

    def _stem(self, x: Array, train: bool) -> Array:
        """Compute the feature map of the stem and the first stage."""
        norm = partial(batch_norm, train, self.dtype, framework=_FRAMEWORK)
        x = norm("bn_data", use_scale=False)(x)  # [N, H, W, C]
        x = Conv(self.width, 7, stride=2, dtype=self.dtype, name="conv0")(x)  # [N, H / 2, W / 2, 64]
        x = nn.relu(norm("bn0")(x))
        x = max_pool(x, 3, 2, padding=1)  # [N, H / 4, W / 4, 64]
        return self._stage(x, train, 0)

    def _stage(self, x: Array, train: bool, stage: int) -> Array:
        features = self.width * 2**stage
        for i in range(self.stages[stage]):
            stride = 2 if stage and not i else 1
            name = f"stage{stage + 1}_unit{i + 1}"
            x = PreActBlock(features, stride, project=not i, dtype=self.dtype, name=name)(x, train)
        return x


class PreActBlock(nn.Module):
    """Norm, ReLU and 3x3 convolution, twice, and a shortcut: [N, h, w, c] -> [N, h / stride, w / stride, features]."""

    features: int
    stride: int
    project: bool  # whether the shortcut is a 1x1 convolution of the normalized input
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv = partial(Conv, self.features, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype, framework=_FRAMEWORK)
        y = nn.relu(norm("bn1")(x))  # [N, h, w, c]
        if self.project:
            x = conv(1, self.stride, name="sc")(y)  # [N, h / stride, w / stride, features]
        y = conv(3, self.stride, name="conv1")(y)  # [N, h / stride, w / stride, features]
        y = nn.relu(norm("bn2")(y))
        y = conv(3, name="conv2")(y)
        return x + y
