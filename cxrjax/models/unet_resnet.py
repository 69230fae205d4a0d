"""U-Net with a ResNet34 encoder, a segmenter: the lung cropper of singhaxn, which is fastai's `DynamicUnet`.

fastai 2.0.13, `fastai/vision/models/unet.py` with the settings of `unet_learner`; the sizes of its layers are printed
in singhaxn `segmentation/segmentation-train.ipynb`.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv
from cxrjax.models.resnet import ResNet


class UNetResNet(nn.Module):
    """ResNet down, pixel shuffle up, with a skip at every resolution; the last skip is the image itself.

    The input may have any height and width.

    Attributes:
        num_classes: number of labels of a pixel.
        stages: blocks of each stage of the encoder.
        width: features of the encoder's first stage.
        dropout: rate at which feature maps are dropped in training after each step up; the original has no dropout.
        dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    stages: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], train: bool) -> Float32[Array, "n h w k"]:
        """Label every pixel; return the log-probabilities of the labels."""
        conv = partial(Conv, use_bias=True, dtype=self.dtype)
        norm = partial(batch_norm, train, self.dtype)
        image = image.astype(self.dtype)
        *skips, x = ResNet(self.stages, self.width, dtype=self.dtype, name="encoder").feature_maps(image, train)
        x = nn.relu(norm("norm")(x))  # [N, H / 32, W / 32, 512]
        deepest = x.shape[-1]
        x = nn.relu(conv(2 * deepest, 3, name="middle_0")(x))  # [N, H / 32, W / 32, 1024]
        x = nn.relu(conv(deepest, 3, name="middle_1")(x))  # [N, H / 32, W / 32, 512]
        for i, skip in enumerate(reversed(skips)):
            narrow = i == len(skips) - 1
            x = UpBlock(self.dtype, narrow=narrow, name=f"up_{i}")(x, skip, train)  # height and width of the skip
            x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(x)
        x = nn.relu(conv(4 * x.shape[-1], 1, name="shuffle")(x))  # [N, H / 2, W / 2, 384]
        x = resize_nearest(pixel_shuffle(x), image.shape)  # [N, H, W, 96]
        x = jnp.concatenate([x, image], axis=-1)  # [N, H, W, 96 + C]
        y = nn.relu(conv(x.shape[-1], 3, name="cross_0")(x))
        y = conv(x.shape[-1], 3, name="cross_1")(y)
        x = nn.relu(x + y)
        x = conv(self.num_classes, 1, name="head")(x)  # [N, H, W, num_classes]
        return jax.nn.log_softmax(x.astype(jnp.float32))


class UpBlock(nn.Module):
    """Doubling of the resolution and fusion with a skip: [N, h, w, c], [N, 2 h, 2 w, s] -> [N, 2 h, 2 w, c / 2 + s].

    The result has half as many features if `narrow`.
    """

    dtype: jnp.dtype
    narrow: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], skip: Float[Array, "n rows columns channels"], train: bool
    ) -> Float[Array, "n rows columns features"]:
        conv = partial(Conv, use_bias=True, dtype=self.dtype)
        x = nn.relu(conv(2 * x.shape[-1], 1, name="shuffle")(x))  # [N, h, w, 2 c]
        x = resize_nearest(pixel_shuffle(x), skip.shape)  # [N, 2 h, 2 w, c / 2]
        skip = batch_norm(train, self.dtype, "norm")(skip)
        x = nn.relu(jnp.concatenate([x, skip], axis=-1))  # [N, 2 h, 2 w, c / 2 + s]
        features = x.shape[-1] // 2 if self.narrow else x.shape[-1]
        x = nn.relu(conv(features, 3, name="conv_0")(x))
        return nn.relu(conv(features, 3, name="conv_1")(x))


def pixel_shuffle(x: Float[Array, "n h w c"]) -> Float[Array, "n 2*h 2*w c//4"]:
    """Turn four features into one at twice the resolution (Shi et al. 2016)."""
    n, h, w, features = x.shape
    x = x.reshape(n, h, w, features // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, 2 * h, 2 * w, features // 4)


def resize_nearest(x: Float[Array, "n h w c"], shape: Sequence[int]) -> Float[Array, "n {shape[1]} {shape[2]} c"]:
    """Resize to shape[1] x shape[2] pixels; each pixel copies the one at its upper left corner."""
    _, height, width, _ = x.shape
    rows = jnp.arange(shape[1]) * height // shape[1]
    columns = jnp.arange(shape[2]) * width // shape[2]
    return x if x.shape[1:3] == tuple(shape[1:3]) else x[:, rows][:, :, columns]
