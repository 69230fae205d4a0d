"""A dense block in one buffer equals its separate layers, in training and in inference."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.models.cpu import dense_layer_gradient, switch
from cxrjax.models.fc_densenet import DenseBlock
from cxrjax.models.layers import fused_dense_block
from cxrjax.models.layers.conv import Conv
from cxrjax.models.layers.layer_stack import DenseLayerParams
from cxrjax.runtime.platform import traced_for

EPSILON = 1e-5
DRAWS = np.random.default_rng(0)


@pytest.mark.parametrize(("platform", "max_looped_pixels"), [("cpu", 9 * 5), ("cpu", 9 * 5 - 1), ("cuda", 0)])
def test_value_statistics_and_gradients_equal_separate_layers(platform, max_looped_pixels, monkeypatch):
    """In double precision; on a CPU in several strips, with the layers in a loop and one after the other."""
    monkeypatch.setattr(dense_layer_gradient, "PIXELS_AT_ONCE", 2 * 3 * 5)  # three rows of two images
    monkeypatch.setattr(switch, "_CPU", switch._CPU._replace(max_looped_pixels=max_looped_pixels))
    with jax.enable_x64(True), traced_for(platform):
        x = DRAWS.normal(size=(2, 9, 5, 3))
        layers = [_draw(seen, 2, 3) for seen in (3, 5, 7)]

        def reference(x, layers):
            for layer in layers:
                x = jnp.concatenate([x, _norm_and_convolve(x, layer)], axis=-1)
            return x, x.mean((0, 1, 2)), x.var((0, 1, 2))

        _compare(lambda *given: fused_dense_block.dense_block(*given, EPSILON), reference, x, layers)


@pytest.mark.parametrize(("max_pixels", "convolutions"), [(9 * 5, 1), (9 * 5 - 1, 3)])
@pytest.mark.parametrize("keras", [False, True])
def test_inference_in_a_loop_equals_separate_layers_and_has_one_convolution(
    max_pixels, convolutions, keras, monkeypatch
):
    """In double precision."""
    monkeypatch.setattr(switch, "_CPU", switch._CPU._replace(max_looped_pixels_in_inference=max_pixels))
    with jax.enable_x64(True):
        block = DenseBlock(3, 2, keep_input=True, dropout=0.2, keras=keras, dtype=jnp.float64)
        x = jnp.asarray(DRAWS.normal(size=(2, 9, 5, 3)))
        variables = block.init(jax.random.key(0), x, train=False)
        variables = jax.tree.map(lambda leaf: jnp.asarray(DRAWS.uniform(0.5, 2, leaf.shape)), variables)

        def apply(platform):
            with traced_for(platform):
                run = partial(block.apply, train=False)
                return run(variables, x), str(jax.make_jaxpr(run)(variables, x))

        expected, separate = apply("cuda")
        found, program = apply("cpu")
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert (separate.count("conv_general_dilated["), program.count("conv_general_dilated[")) == (3, convolutions)


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_single_layer_equals_norm_and_convolution(platform):
    with jax.enable_x64(True), traced_for(platform):
        x, layer = DRAWS.normal(size=(2, 4, 6, 5)), _draw(5, 4, 1)

        def reference(x, layer):
            return _norm_and_convolve(x, layer), x.mean((0, 1, 2)), x.var((0, 1, 2))

        _compare(lambda *given: fused_dense_block.single_layer(*given, EPSILON), reference, x, layer)


def test_bfloat16_block_has_float32_statistics_and_gradients():
    x, layers = jnp.ones((2, 4, 4, 3), jnp.bfloat16) * 3, [_draw(3, 2, 3)]
    layers = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), layers)
    grown = jax.jit(lambda layers: fused_dense_block.dense_block(x, layers, EPSILON))(layers)
    assert grown.features.dtype == jnp.bfloat16 and grown.mean.dtype == grown.variance.dtype == jnp.float32
    differentiate = jax.grad(
        lambda layers: fused_dense_block.dense_block(x, layers, EPSILON).features.sum().astype(jnp.float32)
    )
    gradients = jax.jit(differentiate)(layers)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}


def _draw(seen, added, size):
    scale, shift, bias = DRAWS.normal(size=seen), DRAWS.normal(size=seen), DRAWS.normal(size=added)
    dropout_mask = np.array([0, 1.25])[DRAWS.integers(0, 2, size=(2, 1, 1, added))]
    return DenseLayerParams(scale, shift, DRAWS.normal(size=(size, size, seen, added)), bias, dropout_mask)


def _norm_and_convolve(x, layer):
    """Apply flax's norm and the package's convolution."""
    norm = nn.BatchNorm(use_running_average=False, epsilon=EPSILON, dtype=x.dtype)
    statistics = {"mean": np.zeros(len(layer.scale)), "var": np.ones(len(layer.scale))}
    variables = {"params": {"scale": layer.scale, "bias": layer.shift}, "batch_stats": statistics}
    x, _ = norm.apply(variables, x, mutable=["batch_stats"])
    convolution = Conv(len(layer.bias), len(layer.kernel), use_bias=True, dtype=x.dtype)
    return convolution.apply({"params": {"kernel": layer.kernel, "bias": layer.bias}}, nn.relu(x)) * layer.dropout_mask


def _compare(ours, reference, x, layers):
    """Compare all outputs and every gradient of a loss of them, except that of dropped features."""

    def weigh(form):
        def loss(x, layers):
            found = tuple(form(x, layers))
            return sum((jnp.sin(i + part) ** 2).sum() for i, part in enumerate(found)), found

        (_, found), (dx, dlayers) = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(x, layers)
        each = [dlayers] if isinstance(dlayers, DenseLayerParams) else dlayers
        return found, dx, [layer[:-1] for layer in each]

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9), weigh(ours), weigh(reference))
