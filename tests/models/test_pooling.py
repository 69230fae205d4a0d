"""Max-pooling against flax's, which is XLA's windowed maximum."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from cxrjax.models.layers.pooling import max_pool


@pytest.mark.parametrize(("side", "size", "padding"), [(12, 3, 1), (13, 3, 1), (12, 2, 0), (13, 2, 0), (7, 3, 0)])
def test_max_pool_value_and_gradient_equal_flax(side, size, padding):
    x = jax.random.normal(jax.random.key(0), (2, side, side + 1, 3))

    def flaxs(x):
        return nn.max_pool(x, (size, size), (2, 2), [(padding, padding)] * 2)

    @jax.jit
    def pool_both(x):
        single, half = [], []
        for pool in (lambda x: max_pool(x, size, 2, padding), flaxs):
            single.append(jax.value_and_grad(lambda x, pool=pool: (pool(x) ** 3).sum())(x))
            half.append(pool(x.astype("bfloat16")))
        return single, half

    (ours, theirs), (our_half, their_half) = pool_both(x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)
    assert our_half.dtype == "bfloat16" and (our_half == their_half).all()


def test_ties_share_the_gradient_equally():
    gradient = jax.jit(jax.grad(lambda x: max_pool(x, 2, 2).sum()))(np.ones((1, 4, 4, 1), np.float32))
    np.testing.assert_allclose(gradient, 0.25)
    overlapping = jax.jit(jax.grad(lambda x: max_pool(x, 3, 2, 1).sum()))(np.ones((1, 4, 4, 1), np.float32))
    # Of four windows, which hold 4, 6, 6 and 9 pixels, along a side: a corner's half and half, and so on.
    along = np.array([1 / 2, 1 / 2 + 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(overlapping[0, :, :, 0], np.outer(along, along), rtol=1e-6)


def test_image_smaller_than_the_window_is_refused():
    with pytest.raises(ValueError, match=r"1 x 4 pixels are too few of the input to pool by 2 x 2"):
        max_pool(np.ones((1, 1, 4, 1), np.float32), 2, 2)
