"""U-Net, a segmenter, the baseline of Oh et al. 2020 (Ronneberger et al. 2015, padded and with batch norm).

Names and layout as the most widely used PyTorch version, milesial/Pytorch-UNet `unet/unet_parts.py`.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Upsample
from cxrjax.models.layers.pooling import max_pool


class UNet(nn.Module):
    """Pairs of convolutions down and up again, with a skip at every resolution.

    The input may have any height and width of at least 2 ** depth.

    Attributes:
        num_classes: number of labels of a pixel.
        depth: number of times that the resolution is halved.
        width: features of the first pair, doubled at each further pair on the way down.
        dropout: rate at which feature maps are dropped in training after each pair on the way up; the original has
            no dropout.
        dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    depth: int = 4
    width: int = 64
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float32[Array, "n h w k"]:
        """Label every pixel; return the log-probabilities of the labels."""
        x = ConvPair(self.width, self.dtype, name="inc")(x, train)  # [N, H, W, width]
        skips = []
        for i in range(1, self.depth + 1):
            skips.append(x)
            x = max_pool(x, 2, 2)  # [N, h // 2, w // 2, c]
            x = ConvPair(self.width * 2**i, self.dtype, name=f"down{i}")(x, train)  # [N, h // 2, w // 2, 2 c]
        for i in range(1, self.depth + 1):
            skip = skips.pop()  # [N, h, w, c], h being 2 (h // 2) or one more
            x = Upsample(skip.shape[-1], 2, self.dtype, name=f"up{i}_upsample")(x)  # [N, 2 (h // 2), 2 (w // 2), c]
            missing_rows = skip.shape[1] - x.shape[1]
            missing_columns = skip.shape[2] - x.shape[2]
            x = jnp.pad(x, [(0, 0), (0, missing_rows), (0, missing_columns), (0, 0)])  # [N, h, w, c]
            x = jnp.concatenate([skip, x], axis=-1)  # [N, h, w, 2 c]
            x = ConvPair(skip.shape[-1], self.dtype, name=f"up{i}")(x, train)  # [N, h, w, c]
            x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(x)
        x = Conv(self.num_classes, 1, use_bias=True, dtype=self.dtype, name="head")(x)  # [N, H, W, num_classes]
        return jax.nn.log_softmax(x.astype(jnp.float32))


class ConvPair(nn.Module):
    """3x3 convolution, norm and ReLU, twice: [N, h, w, c] -> [N, h, w, features]."""

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w features"]:
        conv = partial(Conv, self.features, 3, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype)
        x = nn.relu(norm("norm_0")(conv(name="conv_0")(x)))
        return nn.relu(norm("norm_1")(conv(name="conv_1")(x)))
