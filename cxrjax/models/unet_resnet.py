"""U-Net with a ResNet34 encoder, a segmenter: the lung cropper of singhaxn, which is fastai's `DynamicUnet`.

fastai 2.0.13, `fastai/vision/models/unet.py` with the settings of `unet_learner`; the sizes of its layers are printed
in singhaxn `segmentation/segmentation-train.ipynb`.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

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
    def __call__(self, image: Array, train: bool) -> Array:
        """Label every pixel: float [N, H, W, C] -> log-probabilities float32 [N, H, W, num_classes]."""
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
    def __call__(self, x: Array, skip: Array, train: bool) -> Array:
        conv = partial(Conv, use_bias=True, dtype=self.dtype)
        x = nn.relu(conv(2 * x.shape[-1], 1, name="shuffle")(x))  # [N, h, w, 2 c]
        x = resize_nearest(pixel_shuffle(x), skip.shape)  # [N, 2 h, 2 w, c / 2]
        skip = batch_norm(train, self.dtype, "norm")(skip)
        x = nn.relu(jnp.concatenate([x, skip], axis=-1))  # [N, 2 h, 2 w, c / 2 + s]
        features = x.shape[-1] // 2 if self.narrow else x.shape[-1]
        x = nn.relu(conv(features, 3, name="conv_0")(x))
        return nn.relu(conv(features, 3, name="conv_1")(x))


def pixel_shuffle(x: Array) -> Array:
    """Turn four features into one at twice the resolution: [N, h, w, 4 c] -> [N, 2 h, 2 w, c] (Shi et al. 2016)."""
    n, h, w, features = x.shape
    x = x.reshape(n, h, w, features // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, 2 * h, 2 * w, features // 4)


def resize_nearest(x: Array, shape: Sequence[int]) -> Array:
    """Resize [N, h, w, c] to [N, shape[1], shape[2], c]; each pixel copies the one at its upper left corner."""
    _, height, width, _ = x.shape
    rows = jnp.arange(shape[1]) * height // shape[1]
    columns = jnp.arange(shape[2]) * width // shape[2]
    return x if x.shape[1:3] == tuple(shape[1:3]) else x[:, rows][:, :, columns]
