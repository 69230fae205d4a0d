"""Activation functions by name."""

from functools import partial

import flax.linen as nn

ACTIVATIONS = {"relu": nn.relu, "gelu": partial(nn.gelu, approximate=False), "swish": nn.swish}
