"""All implementations of the convolution are equal."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeParamShapeError
from jax import lax

from cxrjax.models import registry
from cxrjax.models.cpu import conv2d, winograd
from cxrjax.models.layers import conv, xla

FORMS = {
    "columns": (conv2d.conv_im2col, ((1, 1, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3), (1, 2, 0))),
    "taps": (conv2d.conv_tap_matmul, ((1, 1, 0), (3, 1, 1), (5, 1, 2), (3, 1, 0))),
    "tiles": (conv2d.conv_winograd, ((3, 1, 1),)),
    "chosen, thin": (conv2d.conv2d, ((3, 1, 1), (5, 1, 2), (3, 1, 0))),
    "chosen": (conv2d.conv2d, ((3, 1, 1), (5, 1, 2), (1, 1, 0), (3, 2, 1))),
}


@pytest.mark.parametrize(
    "name, size, stride, padding", [(name, *each) for name, (_, sizes) in FORMS.items() for each in sizes]
)
def test_every_form_equals_the_xla_convolution_and_its_gradients(name, size, stride, padding):
    rng = np.random.default_rng(0)
    features = 40 if name == "chosen" else 6  # too many for a thin kernel
    x, kernel = rng.normal(size=(2, 13, 16, 5)), rng.normal(size=(size, size, 5, features))
    with jax.enable_x64(True):
        forms = (partial(form, stride=stride, padding=padding) for form in (FORMS[name][0], xla.conv_xla))
        for ours, theirs in zip(*(_run(form, x, kernel) for form in forms), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "form, size, stride",
    [
        (lambda x, dy: winograd.kernel_gradient(x, dy), 3, 1),
        (lambda x, dy: conv2d.kernel_gradient_by_taps(x, dy, 3, 1), 3, 1),
        (lambda x, dy: conv2d.kernel_gradient_by_columns(x, dy, 7, 2, 3), 7, 2),
    ],
)
def test_every_form_of_the_kernel_gradient_equals_xla(form, size, stride, monkeypatch):
    monkeypatch.setattr(conv2d, "LARGEST_COLUMN_BUFFER_BYTES", 2 * 9 * 7 * 7**2 * 5 * 8)  # of two images
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(4, 18, 13, 5)), np.zeros((size, size, 5, 6))
    with jax.enable_x64(True):
        y, pull = jax.vjp(lambda kernel: xla.conv_xla(x, kernel, stride, size // 2), kernel)
        dy = rng.normal(size=y.shape)
        np.testing.assert_allclose(form(x, dy), pull(dy)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "form",
    [
        lambda x, dy: conv2d.kernel_gradient_by_taps(x, dy, 3, 1),
        lambda x, dy: conv2d.kernel_gradient_by_columns(x, dy, 3, 1, 1),
    ],
)
def test_bfloat16_kernel_gradient_is_summed_in_float32(form, monkeypatch):
    """A thousand images of ones: 4 to 9 pixels are seen by each tap. In bfloat16 such a sum does not pass 2,048."""
    monkeypatch.setattr(conv2d, "LARGEST_COLUMN_BUFFER_BYTES", 1)  # image by image
    ones = jnp.ones((1000, 3, 3, 1), jnp.bfloat16)
    gradient = np.asarray(form(ones, ones), np.float32)[:, :, 0, 0]
    np.testing.assert_allclose(gradient, 1000 * np.outer([2, 3, 2], [2, 3, 2]), rtol=2**-8)


def test_conv2d_in_float32_is_as_accurate_as_xla():
    """Wide kernels use tiles, whose error is ten times that of a plain sum, forwards and backwards; thin ones taps."""
    for channels, features in ((32, 48), (128, 16)):
        x = jax.random.normal(jax.random.key(0), (2, 18, 13, channels))
        kernel = jax.random.normal(jax.random.key(1), (3, 3, channels, features)) / 17
        got = _value_and_gradients(conv2d.conv2d, x, kernel)
        want = _value_and_gradients(xla.conv_xla, x, kernel)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=3e-5 * np.abs(b).max()), got, want)


def test_precomputed_kernel_gives_the_same_result():
    layers = nn.Sequential([conv.Conv(40, 3), conv.Conv(8, 1), conv.Conv(40, 3)])
    x = jax.random.normal(jax.random.key(0), (2, 16, 16, 32))
    variables = jax.jit(layers.init)(jax.random.key(1), x)
    prepared = registry.precompute_kernels(variables)
    assert [*prepared["prepared"]] == ["layers_0"]  # the third sees few channels
    ours, theirs = (jax.jit(layers.apply)(each, x) for each in (prepared, variables))
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())
    on_host = registry.precompute_kernels(jax.device_get(variables))["prepared"]["layers_0"]["kernel"]
    assert isinstance(on_host, np.ndarray) and on_host.dtype == np.float32
    np.testing.assert_allclose(on_host, prepared["prepared"]["layers_0"]["kernel"], atol=1e-6)


def _value_and_gradients(form, x, kernel):
    return jax.jit(jax.value_and_grad(lambda x, kernel: (form(x, kernel, 1, 1) ** 2).sum(), (0, 1)))(x, kernel)


@pytest.mark.parametrize("size", [2, 3])
def test_upsample_equals_transposed_convolution_and_its_gradients(size):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(size, size, 3, 6))

    def dilated(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel[::-1, ::-1],
            (1, 1),
            [(size - 1, size - 1)] * 2,
            lhs_dilation=(2, 2),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    with jax.enable_x64(True):
        for ours, theirs in zip(_run(conv.upsample, x, kernel), _run(dilated, x, kernel), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def _run(form, x, kernel):
    """Return the output of a form and the gradients of a loss of it."""

    def loss(x, kernel):
        y = form(x, kernel)
        return (y**3).sum(), y

    (_, y), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(x, kernel)
    return y, *gradients


@pytest.mark.parametrize("layer", [conv.Conv(4, 3), conv.Upsample(4)])
def test_a_kernel_of_another_shape_is_refused_by_name(layer):
    x = jnp.ones((1, 8, 8, 2))
    variables = layer.init(jax.random.key(0), x)
    layer.apply(variables, x)
    with pytest.raises(ScopeParamShapeError, match=r'"kernel".*\(3, 3, 1, 4\).*\(3, 3, 2, 4\)'):
        layer.apply(variables, x[..., :1])
