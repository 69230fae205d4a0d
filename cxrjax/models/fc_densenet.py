"""FC-DenseNet, a segmenter (Jegou et al. 2017; Oh et al. 2020, section II-B; original `segmentation/model.py`).

Also in the version of manastahir's re-implementation in Keras, `src/models.py`.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Float32

from cxrjax.models.layers import fused_dense_block
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Upsample
from cxrjax.models.layers.pooling import max_pool


class FCDenseNet(nn.Module):
    """Dense blocks down, a bottleneck, dense blocks up, with a skip at every resolution.

    The input may have any height and width of at least 2 ** len(blocks). Where a size is odd, the upsampled map is
    cropped to the size of the skip, as in the original.

    Attributes:
        num_classes: number of labels of a pixel.
        blocks: layers of each dense block on the way down; the way up has them in reverse order.
        bottleneck: layers of the deepest block.
        growth: features that each layer adds.
        stem: features of the first convolution.
        dropout: rate at which feature maps are dropped in training, whole maps at a time.
        keras: manastahir's version: a strided convolution in place of max-pooling, Keras's constants of batch norm,
            dropout of single values. Its one sigmoid output for the lungs is replaced by the original's output per
            label; weights with one output are converted (see `cxrjax.pretrained.state_dict`).
        dtype: type of the computation; parameters stay float32.
    """

    num_classes: int
    blocks: Sequence[int] = (4, 5, 7, 10, 12)
    bottleneck: int = 15
    growth: int = 16
    stem: int = 48
    dropout: float = 0.2
    keras: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float32[Array, "n h w k"]:
        """Label every pixel; return the log-probabilities of the labels."""
        common = {"dropout": self.dropout, "keras": self.keras, "dtype": self.dtype}
        x = Conv(self.stem, 3, use_bias=True, dtype=self.dtype, name="stem")(x)  # [N, H, W, stem]
        skips = []
        for i, layers in enumerate(self.blocks):
            block = DenseBlock(layers, self.growth, keep_input=True, **common, name=f"down_{i}")
            x = block(x, train)  # [N, h, w, c + layers * growth]
            skips.append(x)
            x = TransitionDown(**common, name=f"transition_down_{i}")(x, train)  # [N, h // 2, w // 2, c]
        x = DenseBlock(self.bottleneck, self.growth, keep_input=False, **common, name="bottleneck")(x, train)
        for i, (layers, skip) in enumerate(zip(self.blocks[::-1], skips[::-1], strict=True)):
            height, width = skip.shape[1:3]
            x = Upsample(x.shape[-1], dtype=self.dtype, name=f"transition_up_{i}")(x)  # [N, 2 h + 1, 2 w + 1, c]
            x = jnp.concatenate([x[:, :height, :width], skip], axis=-1)  # [N, height, width, c + c of the skip]
            last = i == len(self.blocks) - 1
            block = DenseBlock(layers, self.growth, keep_input=last, **common, name=f"up_{i}")
            x = block(x, train)  # [N, height, width, layers * growth], after the last block the input as well
        x = Conv(self.num_classes, 1, use_bias=True, dtype=self.dtype, name="head")(x)  # [N, H, W, num_classes]
        return jax.nn.log_softmax(x.astype(jnp.float32))


class DenseBlock(nn.Module):
    """Layers that each read all features before them: [N, h, w, c] -> [N, h, w, layers * growth].

    With `keep_input` the result begins with the c features of the input.
    """

    layers: int
    growth: int
    keep_input: bool
    dropout: float
    keras: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n h w features"]:
        layers = [
            DenseLayer(self.growth, 3, self.dropout, self.keras, self.dtype, name=f"layer_{i}")
            for i in range(self.layers)
        ]
        if train and fused_dense_block.can_fuse(layers):
            features = fused_dense_block.apply_block(layers, x)
        elif not train and fused_dense_block.can_loop(layers, x):
            features = fused_dense_block.loop_layers(layers, x)
        else:
            count = x.shape[-1]
            # One buffer for the features of all layers, since concatenating would copy them at every layer.
            features = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.layers * self.growth)))
            for layer in layers:
                added = layer(features[..., :count], train)  # [N, h, w, growth]
                features = lax.dynamic_update_slice_in_dim(features, added, count, axis=-1)
                count += self.growth
        return features if self.keep_input else features[..., x.shape[-1] :]


class TransitionDown(nn.Module):
    """1x1 convolution and downsampling: [N, h, w, c] -> [N, h // 2, w // 2, c] (rounded up with `keras`)."""

    dropout: float
    keras: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        stride = 2 if self.keras else 1
        x = DenseLayer(x.shape[-1], 1, self.dropout, self.keras, self.dtype, stride, name="mix")(x, train)
        return x if self.keras else max_pool(x, 2, 2)


class DenseLayer(nn.Module):
    """Norm, ReLU, convolution and dropout, of whole feature maps or, with `keras`, of single values."""

    features: int
    size: int
    dropout: float
    keras: bool
    dtype: jnp.dtype
    stride: int = 1

    def setup(self) -> None:
        self.norm = batch_norm(None, self.dtype, None, "keras" if self.keras else "pytorch")
        self.conv = Conv(self.features, self.size, self.stride, use_bias=True, dtype=self.dtype)
        self.drop = nn.Dropout(self.dropout, broadcast_dims=() if self.keras else (1, 2))

    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        if train and self.stride == 1 and fused_dense_block.can_fuse([self]):
            return fused_dense_block.apply_layer(self, x)
        x = nn.relu(self.norm(x, train))  # [N, h, w, c]
        x = self.conv(x)  # [N, h / stride, w / stride, features]
        return self.drop(x, deterministic=not train)
