"""Every form of the convolution is the same convolution."""

import jax
import numpy as np
import pytest
from jax import lax

from cxrjax.models import conv


@pytest.mark.parametrize("size, stride, padding", [(1, 1, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3), (1, 2, 0)])
def test_the_product_is_the_library_convolution_forwards_and_backwards(size, stride, padding):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 13, 16, 5)), rng.normal(size=(size, size, 5, 6))
    with jax.enable_x64(True):

        def run(form):
            def loss(x, kernel):
                return (form(x, kernel, stride, padding) ** 3).sum()

            return form(x, kernel, stride, padding), *jax.grad(loss, (0, 1))(x, kernel)

        for ours, theirs in zip(run(conv.convolve_by_product), run(conv.convolve_by_library), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [2, 3])
def test_upsample_is_the_transposed_convolution(size):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(size, size, 3, 6))
    with jax.enable_x64(True):
        dilated = lax.conv_general_dilated(
            x,
            kernel[::-1, ::-1],
            (1, 1),
            [(size - 1, size - 1)] * 2,
            lhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        np.testing.assert_allclose(conv.upsample(x, kernel), dilated, rtol=1e-9, atol=1e-9)
