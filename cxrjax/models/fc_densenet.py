"""FC-DenseNet, which segments (Jegou et al. 2017; Oh et al. 2020, section II-B; original `segmentation/model.py`).

Also in the form of manastahir's re-implementation in Keras, `src/models.py`.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cxrjax.models.cpu import fused_dense_block
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv, Upsample
from cxrjax.models.layers.pooling import max_pool


class FCDenseNet(nn.Module):
    """Dense blocks down, a bottleneck, dense blocks up, with a skip at every resolution.

    Any input height and width of at least 2 ** len(blocks) will do; odd sizes are cropped to the skip's as the
    original crops.

    Attributes:
        num_classes: labels a pixel can have.
        blocks: layers of each dense block on the way down; the way up has them reversed.
        bottleneck: layers of the deepest block.
        growth: features each layer adds.
        stem: features of the first convolution.
        dropout: share of feature maps dropped in training, whole maps at a time.
        keras: manastahir's form: a stride where the original pools, Keras's batch norm, single values dropped. Its one
            sigmoid output for the lungs is here, as in the original, a label each, of which weights with one output
            are a special case (see `cxrjax.pretrained.state_dict`).
        dtype: of the computation; parameters stay float32.
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
    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> log-probabilities float32 [N, H, W, num_classes]."""
        common = {"dropout": self.dropout, "keras": self.keras, "dtype": self.dtype}
        x = Conv(self.stem, 3, use_bias=True, dtype=self.dtype, name="stem")(x)
        skips = []
        for i, layers in enumerate(self.blocks):
            x = DenseBlock(layers, self.growth, keep_input=True, **common, name=f"down_{i}")(x, train)
            skips.append(x)
            x = TransitionDown(**common, name=f"transition_down_{i}")(x, train)  # half the height and width
        x = DenseBlock(self.bottleneck, self.growth, keep_input=False, **common, name="bottleneck")(x, train)
        for i, (layers, skip) in enumerate(zip(self.blocks[::-1], skips[::-1], strict=True)):
            x = Upsample(x.shape[-1], dtype=self.dtype, name=f"transition_up_{i}")(x)  # [N, 2 h + 1, 2 w + 1, c]
            x = jnp.concatenate([x[:, : skip.shape[1], : skip.shape[2]], skip], axis=-1)
            last = i == len(self.blocks) - 1
            x = DenseBlock(layers, self.growth, keep_input=last, **common, name=f"up_{i}")(x, train)
        x = Conv(self.num_classes, 1, use_bias=True, dtype=self.dtype, name="head")(x)
        return jax.nn.log_softmax(x.astype(jnp.float32))


class DenseBlock(nn.Module):
    """Layers that each see all before them: [N, h, w, c] -> [N, h, w, (c if keep_input) + layers * growth]."""

    layers: int
    growth: int
    keep_input: bool
    dropout: float
    keras: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        common = self.growth, 3, self.dropout, self.keras, self.dtype
        layers = [DenseLayer(*common, name=f"layer_{i}") for i in range(self.layers)]
        if train and all(layer.learns() for layer in layers):
            features = self._train(x, layers)
        else:
            features = self._apply(x, layers, train)
        return features if self.keep_input else features[..., x.shape[-1] :]

    def _apply(self, x: Array, layers: Sequence["DenseLayer"], train: bool) -> Array:
        """The layers one after the other, in one buffer: [N, h, w, c] -> [N, h, w, c + layers * growth]."""
        seen = x.shape[-1]
        features = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.layers * self.growth)))
        for layer in layers:
            added = layer(features[..., :seen], train)
            features = lax.dynamic_update_slice_in_dim(features, added, seen, axis=-1)
            seen += self.growth
        return features

    def _train(self, x: Array, layers: Sequence["DenseLayer"]) -> Array:
        """`_apply` to a batch of training, the layers as one."""
        kept = layers[0].draw_kept(x.shape[:3], self.layers * self.growth)  # of all at once: a program for each is long
        weights = [layer.weights(keep) for layer, keep in zip(layers, jnp.split(kept, self.layers, -1), strict=True)]
        features, mean, variance = fused_dense_block.dense_block(x, weights, layers[0].norm.epsilon)
        for i, layer in enumerate(layers):
            seen = x.shape[-1] + i * self.growth
            layer.observe(mean[:seen], variance[:seen])
        return features


class TransitionDown(nn.Module):
    """Mix the features, then halve height and width: [N, h, w, c] -> [N, h // 2, w // 2, c] (rounded up in Keras)."""

    dropout: float
    keras: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        stride = 2 if self.keras else 1
        x = DenseLayer(x.shape[-1], 1, self.dropout, self.keras, self.dtype, stride, name="mix")(x, train)
        return x if self.keras else max_pool(x, 2, 2)


class DenseLayer(nn.Module):
    """Norm, ReLU, convolution, dropout of whole feature maps, or in Keras of single values."""

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

    def __call__(self, x: Array, train: bool) -> Array:
        if train and self.stride == 1 and self.learns():
            weights = self.weights(self.draw_kept(x.shape[:3], self.features))
            y, mean, variance = fused_dense_block.single_layer(x, weights, self.norm.epsilon)
            self.observe(mean, variance)
            return y
        x = self.conv(nn.relu(self.norm(x, train)))
        return self.drop(x, deterministic=not train)

    def learns(self) -> bool:
        """Whether there are weights, and statistics that a batch moves: what `dense_block` is for."""
        return not self.is_initializing() and not self.norm.is_held()

    def draw_kept(self, places: tuple[int, int, int], features: int) -> Array:
        """What dropout multiplies by: 0 or more [N, h, w, features], N, h and w given, or [N, 1, 1, features]."""
        kept = (*(places if self.keras else (places[0], 1, 1)), features)
        return self.drop(jnp.ones(kept, self.dtype), deterministic=False)

    def weights(self, keep: Array) -> fused_dense_block.DenseLayerParams:
        """What the layer has learned, and what of a result [N, h, w, features] is kept, broadcast to it."""
        norm, conv = self.norm.variables["params"], self.conv.variables["params"]
        return fused_dense_block.DenseLayerParams(norm["scale"], norm["bias"], conv["kernel"], conv["bias"], keep)

    def observe(self, mean: Array, variance: Array) -> None:
        """Let the running statistics follow a batch's."""
        for name, value in (("mean", mean), ("var", variance)):
            old, momentum = self.norm.get_variable("batch_stats", name), self.norm.momentum
            self.norm.put_variable("batch_stats", name, momentum * old + (1 - momentum) * value)
