"""ResNet18 with norm before convolution, a backbone: manastahir's (the Keras package `classification_models`).

He et al. 2016b; names as qubvel/classification_models `models/resnet.py`.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

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
        only_stage: index of the stage to run alone, on the result of the one before; None to run all.
    """

    stages: Sequence[int] = (2, 2, 2, 2)
    width: int = 64
    dtype: jnp.dtype = jnp.float32
    only_stage: int | None = None

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Pixels of the input between neighboring cells of the result of every stage."""
        return tuple(4 * 2**stage for stage in range(len(self.stages)))

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        """Compute the last feature map: float [N, H, W, C] -> [N, H / 32, W / 32, 512]."""
        norm = partial(batch_norm, train, self.dtype, framework=_FRAMEWORK)
        if self.only_stage in (None, 0):
            x = norm("bn_data", use_scale=False)(x)  # [N, H, W, C]
            x = Conv(self.width, 7, stride=2, dtype=self.dtype, name="conv0")(x)  # [N, H / 2, W / 2, 64]
            x = nn.relu(norm("bn0")(x))
            x = max_pool(x, 3, 2, padding=1)  # [N, H / 4, W / 4, 64]
        for stage, blocks in enumerate(self.stages):
            if self.only_stage not in (None, stage):
                continue
            features = self.width * 2**stage
            for i in range(blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                name = f"stage{stage + 1}_unit{i + 1}"
                block = PreActBlock(features, stride, project=i == 0, dtype=self.dtype, name=name)
                x = block(x, train)  # [N, h / stride, w / stride, features]
        if self.only_stage in (None, len(self.stages) - 1):
            x = nn.relu(norm("bn1")(x))  # [N, H / 32, W / 32, 512]
        return x


class PreActBlock(nn.Module):
    """Norm, ReLU and 3x3 convolution, twice, and a shortcut: [N, h, w, c] -> [N, h / stride, w / stride, features]."""

    features: int
    stride: int
    project: bool  # whether the shortcut is a 1x1 convolution of the normalized input
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        conv = partial(Conv, self.features, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype, framework=_FRAMEWORK)
        y = nn.relu(norm("bn1")(x))  # [N, h, w, c]
        if self.project:
            x = conv(1, self.stride, name="sc")(y)  # [N, h / stride, w / stride, features]
        y = conv(3, self.stride, name="conv1")(y)  # [N, h / stride, w / stride, features]
        y = nn.relu(norm("bn2")(y))
        y = conv(3, name="conv2")(y)
        return x + y
