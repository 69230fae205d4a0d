"""VGG 11, 16 and 19, a backbone (Simonyan & Zisserman 2015; layers numbered as torchvision's `models/vgg.py`)."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv
from cxrjax.models.layers.pooling import max_pool


class VGG(nn.Module):
    """Stages of 3x3 convolutions, each followed by 2x2 max-pooling.

    Attributes:
        stages: convolutions of each stage.
        norm: whether batch norm follows each convolution.
        width: features of the first stage, doubled at each further stage up to eight times as many.
        dtype: type of the computation; parameters stay float32.
        only_stage: index of the stage to run alone, on the result of the one before; None to run all.
    """

    stages: Sequence[int] = (2, 2, 3, 3, 3)
    norm: bool = False
    width: int = 64
    dtype: jnp.dtype = jnp.float32
    only_stage: int | None = None

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Pixels of the input between neighboring cells in the convolutions of every stage."""
        return tuple(2**stage for stage in range(len(self.stages)))

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        """Compute the last feature map: float [N, H, W, C] -> [N, H // 32, W // 32, 512]; H and W at least 32."""
        layers_per_conv = 3 if self.norm else 2  # torchvision numbers norms, ReLUs and poolings too
        for stage, convolutions in enumerate(self.stages):
            if self.only_stage not in (None, stage):
                continue
            features = self.width * min(2**stage, 8)
            number = layers_per_conv * sum(self.stages[:stage]) + stage
            for _ in range(convolutions):
                conv = Conv(features, 3, use_bias=True, dtype=self.dtype, name=f"features_{number}")
                x = conv(x)  # [N, h, w, features]
                if self.norm:
                    x = batch_norm(train, self.dtype, f"features_{number + 1}")(x)
                x = nn.relu(x)
                number += layers_per_conv
            x = max_pool(x, 2, 2)  # [N, h // 2, w // 2, features]
        return x
