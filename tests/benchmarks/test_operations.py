"""Counted operations, compared with published numbers and with sums by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from benchmarks.operations import count_operations
from cxrjax.models import registry


def test_product_and_convolution_by_hand():
    x = jnp.zeros((2, 3))
    assert count_operations(lambda x: x @ jnp.zeros((3, 5)), x) == 2 * 2 * 3 * 5


def test_resnet18_has_the_published_number():
    """He et al. 2016, table 1: 1.8 billion multiply-adds."""
    module = registry.create("resnet18", 1000)
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), x)
    operations = count_operations(partial(module.apply, train=False), variables, x)
    assert operations / 2 == pytest.approx(1.814e9, rel=1e-3)
