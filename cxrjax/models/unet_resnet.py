"""U-Net with a ResNet34 encoder, which segments: the lung cropper of singhaxn, that is fastai's `DynamicUnet`.

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
    """ResNet down; up again by pixel shuffle, with a skip at every resolution and the image itself at the last.

    Any input height and width will do.

    Attributes:
        num_classes: labels a pixel can have.
        stages: blocks of each stage of the encoder.
        width: features of the encoder's first stage.
        dropout: share of feature maps dropped in training after each step up; the original has none.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int
    stages: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Array, train: bool) -> Array:
        """float [N, H, W, C] -> log-probabilities float32 [N, H, W, num_classes]."""
        conv, norm = partial(Conv, use_bias=True, dtype=self.dtype), partial(batch_norm, train, self.dtype)
        image = image.astype(self.dtype)
        *skips, x = ResNet(self.stages, self.width, dtype=self.dtype, name="encoder").descend(image, train)
        x = nn.relu(norm("norm")(x))
        deepest = x.shape[-1]
        x = nn.relu(conv(2 * deepest, 3, name="middle_0")(x))
        x = nn.relu(conv(deepest, 3, name="middle_1")(x))
        for i, skip in enumerate(reversed(skips)):
            x = Up(self.dtype, narrow=i == len(skips) - 1, name=f"up_{i}")(x, skip, train)
            x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(x)
        x = shuffle(nn.relu(conv(4 * x.shape[-1], 1, name="shuffle")(x)))
        x = jnp.concatenate([resize_to_nearest(x, image.shape), image], axis=-1)  # [N, H, W, 96 + C]
        y = nn.relu(conv(x.shape[-1], 3, name="cross_0")(x))
        x = nn.relu(x + conv(x.shape[-1], 3, name="cross_1")(y))
        x = conv(self.num_classes, 1, name="head")(x)
        return jax.nn.log_softmax(x.astype(jnp.float32))


class Up(nn.Module):
    """Double the resolution and take in a skip: [N, h, w, c], [N, 2 h, 2 w, s] -> [N, 2 h, 2 w, c / 2 + s].

    Half as many features where `narrow`.
    """

    dtype: jnp.dtype
    narrow: bool

    @nn.compact
    def __call__(self, x: Array, skip: Array, train: bool) -> Array:
        conv = partial(Conv, use_bias=True, dtype=self.dtype)
        x = shuffle(nn.relu(conv(2 * x.shape[-1], 1, name="shuffle")(x)))
        skip = batch_norm(train, self.dtype, "norm")(skip)
        x = nn.relu(jnp.concatenate([resize_to_nearest(x, skip.shape), skip], axis=-1))
        features = x.shape[-1] // 2 if self.narrow else x.shape[-1]
        x = nn.relu(conv(features, 3, name="conv_0")(x))
        return nn.relu(conv(features, 3, name="conv_1")(x))


def shuffle(x: Array) -> Array:
    """Four features become one at twice the resolution: [N, h, w, 4 c] -> [N, 2 h, 2 w, c] (Shi et al. 2016)."""
    n, h, w, features = x.shape
    x = x.reshape(n, h, w, features // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(n, 2 * h, 2 * w, features // 4)


def resize_to_nearest(x: Array, shape: Sequence[int]) -> Array:
    """[N, h, w, c] -> [N, shape[1], shape[2], c], each pixel that of the original at its upper left corner."""
    rows, columns = (jnp.arange(there) * here // there for there, here in zip(shape[1:3], x.shape[1:3], strict=True))
    return x if x.shape[1:3] == tuple(shape[1:3]) else x[:, rows][:, :, columns]
