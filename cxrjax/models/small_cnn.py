"""Small backbones trained from scratch: three of fsarshad (Keras) and the baseline of hieu2695 (PyTorch)."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cxrjax.models.layers.activations import ACTIVATIONS
from cxrjax.models.layers.batch_norm import batch_norm
from cxrjax.models.layers.conv import Conv
from cxrjax.models.layers.pooling import max_pool


class SmallCNN(nn.Module):
    """Stages of padded convolutions, each followed by 2x2 max-pooling (fsarshad's notebook, custom models 1 to 3).

    Attributes:
        widths: features of each stage.
        sizes: kernel size of each convolution of a stage.
        activation: activation after each convolution, a key of ACTIVATIONS.
        norm: whether batch norm (with Keras's constants) precedes the activation.
        dropout: dropout rate in training after each stage.
        dtype: type of the computation; parameters stay float32.
        only_stage: index of the stage to run alone, on the result of the one before; None to run all.
    """

    widths: Sequence[int] = (32, 64, 128, 256, 512, 1024)
    sizes: Sequence[int] = (3,)
    activation: str = "relu"
    norm: bool = False
    dropout: float = 0.0
    dtype: jnp.dtype = jnp.float32
    only_stage: int | None = None

    @property
    def stage_strides(self) -> tuple[int, ...]:
        """Pixels of the input between neighboring cells in the convolutions of every stage."""
        return tuple(2**stage for stage in range(len(self.widths)))

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        """Compute the last feature map.

        Args:
            x: float [N, H, W, C].
            train: whether batch norm and dropout are in training mode.

        Returns:
            float [N, h, w, widths[-1]], h being H halved once per stage, rounded down each time.
        """
        for stage, width in enumerate(self.widths):
            if self.only_stage not in (None, stage):
                continue
            for i, size in enumerate(self.sizes):
                conv = Conv(width, size, use_bias=True, dtype=self.dtype, name=f"conv_{stage}_{i}")
                x = conv(x)  # [N, h, w, width]
                if self.norm:
                    x = batch_norm(train, self.dtype, f"norm_{stage}_{i}", "keras")(x)
                x = ACTIVATIONS[self.activation](x)
            x = max_pool(x, 2, 2)  # [N, h // 2, w // 2, width]
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return x


class TwoLayerCNN(nn.Module):
    """Two unpadded convolutions (hieu2695 `baseline.py`, whose numbers of layers are in the names)."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool) -> Float[Array, "n rows columns features"]:
        """Compute the last feature map.

        Args:
            x: float [N, H, W, C]; H and W at least 10.
            train: whether batch norm is in training mode.

        Returns:
            float [N, ((H - 2) // 2 - 2) // 2, …, 16].
        """
        x = Conv(6, 3, padding=0, use_bias=True, dtype=self.dtype, name="cnn_layers_0")(x)  # [N, H - 2, W - 2, 6]
        x = nn.relu(batch_norm(train, self.dtype, "cnn_layers_1")(x))
        x = max_pool(x, 2, 2)  # [N, h = (H - 2) // 2, w = (W - 2) // 2, 6]
        x = Conv(16, 3, padding=0, use_bias=True, dtype=self.dtype, name="cnn_layers_4")(x)  # [N, h - 2, w - 2, 16]
        x = nn.relu(batch_norm(train, self.dtype, "cnn_layers_5")(x))
        return nn.avg_pool(x, window_shape=(2, 2), strides=(2, 2))  # [N, (h - 2) // 2, (w - 2) // 2, 16]
