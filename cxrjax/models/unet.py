"""U-Net, which segments, the baseline of Oh et al. 2020 (Ronneberger et al. 2015, padded and with batch norm).

Names and layout as the PyTorch form in widest use, milesial/Pytorch-UNet `unet/unet_parts.py`.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Upsample
from cxrjax.models.layers.pooling import max_pool


class UNet(nn.Module):
    """Pairs of convolutions down and up again, with a skip at every resolution.

    Any input height and width of at least 2 ** depth will do.

    Attributes:
        num_classes: labels a pixel can have.
        depth: how often the resolution is halved.
        width: features of the first pair, doubled at each further one down.
        dropout: share of feature maps dropped in training after each pair on the way up; the original has none.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int
    depth: int = 4
    width: int = 64
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> log-probabilities float32 [N, H, W, num_classes]."""
        x = ConvPair(self.width, self.dtype, name="inc")(x, train)
        skips = []
        for i in range(1, self.depth + 1):
            skips.append(x)
            x = max_pool(x, 2, 2)  # [N, h // 2, w // 2, c]
            x = ConvPair(self.width * 2**i, self.dtype, name=f"down{i}")(x, train)
        for i in range(1, self.depth + 1):
            skip = skips.pop()
            x = Upsample(skip.shape[-1], 2, self.dtype, name=f"up{i}_upsample")(x)
            missing = [(0, there - here) for there, here in zip(skip.shape[1:3], x.shape[1:3], strict=True)]
            x = jnp.concatenate([skip, jnp.pad(x, [(0, 0), *missing, (0, 0)])], axis=-1)
            x = ConvPair(skip.shape[-1], self.dtype, name=f"up{i}")(x, train)
            x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(x)
        x = Conv(self.num_classes, 1, use_bias=True, dtype=self.dtype, name="head")(x)
        return jax.nn.log_softmax(x.astype(jnp.float32))


class ConvPair(nn.Module):
    """Twice a 3x3 convolution, norm, ReLU: [N, h, w, c] -> [N, h, w, features]."""

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv, norm = partial(Conv, self.features, 3, dtype=self.dtype), partial(batch_norm, train, self.dtype)
        x = nn.relu(norm("norm_0")(conv(name="conv_0")(x)))
        return nn.relu(norm("norm_1")(conv(name="conv_1")(x)))
