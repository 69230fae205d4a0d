"""A classifier: a backbone that sees, and a head that decides."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class Classifier(nn.Module):
    """Parameters `backbone` and `head`.

    Attributes:
        backbone: float [N, H, W, C] -> its last feature map [N, h, w, C'].
        head: a `cxrjax.models.heads.Head`, feature map -> logits float32 [N, K].
    """

    backbone: nn.Module
    head: nn.Module

    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> logits float32 [N, K]."""
        return self.head(self.backbone(x, train), train)

    def look(self, x: Array) -> Array:
        """The first half, not training: float [N, H, W, C] -> last feature map float32 [N, h, w, C']."""
        return self.backbone(x, train=False).astype(jnp.float32)

    def decide(self, features: Array) -> Array:
        """The second half, not training: float [N, h, w, C'] -> logits float32 [N, K]."""
        return self.head(features, train=False)
