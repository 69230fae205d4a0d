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
    """Stages of 3x3 convolutions, the resolution halved after each.

    Attributes:
        stages: convolutions of each stage.
        norm: whether each is followed by batch norm.
        width: features of the first stage, doubled at each further one up to eight times as many.
        dtype: of the computation; parameters stay float32.
    """

    stages: Sequence[int] = (2, 2, 3, 3, 3)
    norm: bool = False
    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array | Gray, train: bool) -> Array:
        """float [N, H, W, C] -> last feature map [N, H // 32, W // 32, 512]; H and W at least 32."""
        for stage in range(len(self.stages)):
            x = map_microbatches(self, partial(VGG._stage, stage=stage), x, train, max(x.shape[1:3]))
        return x

    def _stage(self, x: Array | Gray, train: bool, stage: int) -> Array:
        layers = 3 if self.norm else 2  # of a convolution: torchvision counts norms, ReLUs and pools too
        number = layers * sum(self.stages[:stage]) + stage
        for _ in range(self.stages[stage]):
            features = self.width * min(2**stage, 8)
            x = Conv(features, 3, use_bias=True, dtype=self.dtype, name=f"features_{number}")(x)
            if self.norm:
                x = batch_norm(train, self.dtype, f"features_{number + 1}")(x)
            x = nn.relu(x)
            number += layers
        return max_pool(x, 2, 2)
