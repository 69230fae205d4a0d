"""A classifier: a backbone that sees, and a head that decides."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class Classifier(nn.Module):
    """Parameters `backbone` and `head`.

    Attributes:
        backbone: float [N, H, W, C] -> its last feature map [N, h, w, C'].
        head: a `cxrjax.models.heads.Head`, feature map -> logits float32 [N, K].
        margin: cells on each side of the feature map that the head is not shown: of the input's context.
    """

    backbone: nn.Module
    head: nn.Module
    margin: int = 0

    def __call__(self, x: Array, train: bool) -> Array:
        """float [N, H, W, C] -> logits float32 [N, K]."""
        return self.head(self._inside(self.backbone(x, train)), train)

    def look(self, x: Array) -> Array:
        """The first half, not training: float [N, H, W, C] -> last feature map float32 [N, h, w, C'], less margins."""
        return self._inside(self.backbone(x, train=False)).astype(jnp.float32)

    def decide(self, features: Array) -> Array:
        """The second half, not training: float [N, h, w, C'] -> logits float32 [N, K]."""
        return self.head(features, train=False)

    def _inside(self, features: Array) -> Array:
        height, width = features.shape[1:3]
        return features[:, self.margin : height - self.margin, self.margin : width - self.margin]
