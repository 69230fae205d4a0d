"""VGG 11, 16 and 19, a backbone (Simonyan & Zisserman 2015; layers numbered as torchvision's `models/vgg.py`)."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.cpu.microbatch import map_microbatches
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Gray
from cxrjax.models.layers.pooling import max_pool


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each followed by 2x2 max-pooling.

    Attributes:
        stages: convolutions of each stage.
        norm: whether batch norm follows each convolution.
        width: features of the first stage, doubled at each further stage up to eight times as many.
        dtype: type of the computation; parameters stay float32.
    """

    stages: Sequence[int] = (2, 2, 3, 3, 3)
    norm: bool = False
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array | Gray, train: bool) -> Array:
        """Compute the last feature map: float [N, H, W, C] -> [N, H // 32, W // 32, 512]; H and W at least 32."""
        for stage in range(len(self.stages)):
            run_stage = partial(VGG._stage, stage=stage)
            x = map_microbatches(self, run_stage, x, train, max(x.shape[1:3]))  # [N, h // 2, w // 2, features]
        return x

    def _stage(self, x: Array | Gray, train: bool, stage: int) -> Array:
        features = self.width * min(2**stage, 8)
        layers_per_conv = 3 if self.norm else 2  # torchvision numbers norms, ReLUs and poolings too
        number = layers_per_conv * sum(self.stages[:stage]) + stage
        for _ in range(self.stages[stage]):
            x = Conv(features, 3, use_bias=True, dtype=self.dtype, name=f"features_{number}")(x)  # [N, h, w, features]
            if self.norm:
                x = batch_norm(train, self.dtype, f"features_{number + 1}")(x)
            x = nn.relu(x)
            number += layers_per_conv
        return max_pool(x, 2, 2)  # [N, h // 2, w // 2, features]
