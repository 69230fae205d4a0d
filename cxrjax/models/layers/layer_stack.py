"""Parameters of the layers of a dense block in arrays of equal shapes, so that a loop runs all of them.

Layer number l of a block reads c + l f features and adds f. In a loop, which is compiled once for all layers, each
layer reads as many features as the last one; the scale and the shift of its norm are 0 for the features that it lacks,
so these are 0 after the ReLU and have no gradient.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax


class DenseLayerParams(NamedTuple):
    """Parameters of a layer that reads c features and adds f, and its dropout mask."""

    scale: Array  # float [c], of the norm
    shift: Array  # float [c], of the norm
    kernel: Array  # float [k, k, c, f]
    bias: Array  # float [f]
    dropout_mask: Array  # float, factors of the layer's result; broadcasts to [N, h, w, f]


class LayerStack(NamedTuple):
    """Parameters of L layers, those with an entry per feature that is read concatenated: S entries for all layers."""

    scale: Array  # float [S]
    shift: Array  # float [S]
    kernel: Array  # float [k, k, S, f]
    bias: Array  # float [L, f]
    dropout_mask: Array  # float [L, ...]
    starts: Array  # int32 [L], of each layer's entries
    counts: Array  # int32 [L], features that each layer reads

    @classmethod
    def concatenate(cls, layers: Sequence[DenseLayerParams]) -> "LayerStack":
        """Stack layers of which each reads at least as many features as the one before."""
        counts = jnp.array([layer.scale.size for layer in layers], jnp.int32)
        return cls(
            scale=jnp.concatenate([layer.scale for layer in layers]),
            shift=jnp.concatenate([layer.shift for layer in layers]),
            kernel=jnp.concatenate([layer.kernel for layer in layers], axis=2),
            bias=jnp.stack([layer.bias for layer in layers]),
            dropout_mask=jnp.stack([layer.dropout_mask for layer in layers]),
            starts=jnp.cumsum(counts) - counts,
            counts=counts,
        )

    def read(self, number: Array, width: int) -> DenseLayerParams:
        """Return the parameters of a layer for `width` features, those of the last layer.

        Entries beyond the layer's own belong to the layers after it: scale and shift are replaced by 0 there, and the
        kernel has no effect.
        """
        start = self.starts[number]
        is_read = jnp.arange(width) < self.counts[number]
        return DenseLayerParams(
            scale=jnp.where(is_read, lax.dynamic_slice_in_dim(self.scale, start, width), 0),
            shift=jnp.where(is_read, lax.dynamic_slice_in_dim(self.shift, start, width), 0),
            kernel=lax.dynamic_slice_in_dim(self.kernel, start, width, axis=2),
            bias=self.bias[number],
            dropout_mask=self.dropout_mask[number],
        )

    def add(self, number: Array, layer: DenseLayerParams) -> "LayerStack":
        """Add to the parameters of a layer, as `read` returns them; what is added beyond the layer's own must be 0."""
        start = self.starts[number]
        width = layer.scale.size

        def add(total: Array, part: Array, axis: int = 0) -> Array:
            old = lax.dynamic_slice_in_dim(total, start, width, axis)
            return lax.dynamic_update_slice_in_dim(total, old + part, start, axis)

        return self._replace(
            scale=add(self.scale, layer.scale),
            shift=add(self.shift, layer.shift),
            kernel=add(self.kernel, layer.kernel, axis=2),
            bias=self.bias.at[number].add(layer.bias),
            dropout_mask=self.dropout_mask.at[number].add(layer.dropout_mask),
        )

    def split(self, counts: Sequence[int]) -> list[DenseLayerParams]:
        """Return the parameters of each layer, which read so many features: the inverse of `concatenate`."""
        layers = []
        start = 0
        for number, count in enumerate(counts):
            layers.append(
                DenseLayerParams(
                    scale=self.scale[start : start + count],
                    shift=self.shift[start : start + count],
                    kernel=self.kernel[:, :, start : start + count],
                    bias=self.bias[number],
                    dropout_mask=self.dropout_mask[number],
                )
            )
            start += count
        return layers
