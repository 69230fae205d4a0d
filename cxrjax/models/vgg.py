"""VGG 11, 16 and 19, a backbone (Simonyan & Zisserman 2015; layers numbered as torchvision's `models/vgg.py`)."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cxrjax.models.conv import Conv
from cxrjax.models.norm import batch_norm
from cxrjax.models.pool import max_pool


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
    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> last feature map [N, H // 32, W // 32, 512]; H and W at least 32."""
        number = 0  # torchvision counts norms, ReLUs and pools too
        for stage, convolutions in enumerate(self.stages):
            for _ in range(convolutions):
                features = self.width * min(2**stage, 8)
                x = Conv(features, 3, use_bias=True, dtype=self.dtype, name=f"features_{number}")(x)
                if self.norm:
                    x = batch_norm(train, self.dtype, f"features_{number + 1}")(x)
                x = nn.relu(x)
                number += 3 if self.norm else 2
            x = max_pool(x, 2, 2)
            number += 1
        return x
