"""Heads on backbones, features and heads applied separately, and saliency maps of nonlinear heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.inference import inputs, pipeline
from cxrjax.models import classifier, from_config, registry, spec
from cxrjax.models.layers.activations import ACTIVATIONS
from cxrjax.ops import cam


def build(head, num_classes=3, **settings):
    module = registry.create("resnet18", num_classes, head=head, width=4, stages=(1,), **settings)
    return module, from_config.init(spec.ModelSpec(module, 32, 1), jax.random.key(0))


def test_mean_in_grid_by_hand():
    x = jnp.arange(5.0).reshape(1, 5, 1, 1)  # cells of 5 rows in 3: 0-1, 1-3, 3-4, as PyTorch's AdaptiveAvgPool2d
    rows = classifier.mean_in_grid(jnp.broadcast_to(x, (1, 5, 3, 1)), 3)[0, :, 0, 0]
    np.testing.assert_allclose(rows, [0.5, 2.0, 3.5])
    enlarged = classifier.mean_in_grid(jnp.array([1.0, 2.0]).reshape(1, 2, 1, 1), 3)[0, :, 0, 0]
    np.testing.assert_allclose(enlarged, [1.0, 1.5, 2.0])


def test_hidden_layers_by_hand():
    head = classifier.Head(1, hidden=((2, 0.5),))
    params = {
        "linear_0": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.array([0.5, 0.0])},
        "linear_1": {"kernel": jnp.array([[2.0], [10.0]]), "bias": jnp.array([1.0])},
    }
    features = jnp.array([1.0, 3.0]).reshape(1, 2, 1, 1)  # mean 2: hidden 2.5 and -2, of which ReLU leaves 2.5 and 0
    assert head.apply({"params": params}, features, train=False) == 6.0


@pytest.mark.parametrize("head", classifier.HEADS)
@pytest.mark.parametrize("architecture", ["resnet6", "fsarshad_cnn1", "hieu2695_baseline"])
def test_every_head_fits_every_backbone_at_any_size(architecture, head):
    module = registry.create(architecture, 3, head=head)
    for size, channels in ((69, 1), (97, 3)):  # six poolings leave one pixel of 64
        x = jnp.zeros((2, size, size - 5, channels))
        init = jax.eval_shape(lambda x: module.init(jax.random.key(0), jnp.zeros((1, 70, 70, x.shape[-1])), False), x)
        assert jax.eval_shape(lambda v, x: module.apply(v, x, False), init, x).shape == (2, 3)


@pytest.mark.parametrize("head", ["linear", "hidden", "flat"])
def test_features_then_head_equal_the_whole_module(head):
    module, variables = build(head)
    x = jax.random.uniform(jax.random.key(1), (2, 40, 40, 1))
    features = registry.extract_features(module, variables, x)
    assert (registry.apply_head(module, variables, features) == module.apply(variables, x, train=False)).all()


def test_only_a_pooled_linear_head_has_a_cam_kernel():
    for head, shape in (("linear", (4, 3)), ("own", (4, 3)), ("hidden", None), ("flat_linear", None)):
        module, variables = build(head)
        kernel = registry.cam_kernel(module, variables)
        assert (None if kernel is None else kernel.shape) == shape


@pytest.mark.parametrize("mode", ["local", "dense"])
def test_map_of_a_hidden_head_equals_that_of_the_folded_linear_head(monkeypatch, mode):
    """A head whose ReLUs are all open is linear: Grad-CAM through it must give the map of the folded linear head."""
    monkeypatch.setitem(classifier.HEADS, "narrow", lambda **settings: classifier.Head(hidden=((6, 0.1),), **settings))
    deep, variables = build("narrow")
    params = dict(variables["params"])
    first, second = params["head"]["linear_0"], params["head"]["linear_1"]
    first = first | {"bias": jnp.full(6, 100.0)}
    params["head"] = {"linear_0": first, "linear_1": second}
    folded = {
        "kernel": first["kernel"] @ second["kernel"],
        "bias": first["bias"] @ second["kernel"] + second["bias"],
    }
    plain, _ = build("linear")
    image = jnp.asarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    lungs = jnp.zeros((64, 64), bool).at[10:50, 10:50].set(True)
    settings = spec.InferenceConfig(mode, True, 6, 3, "mean_probability", 0.005, 0.02, "gray", 0.05, 0.875)

    def examine(module, head):
        weights = {"params": params | {"head": head}, "batch_stats": variables["batch_stats"]}
        network = spec.ModelSpec(module, 32, 1)

        @jax.jit
        def run(weights, image, lungs):
            radiograph = inputs.SegmentedRadiograph(image, lungs, jnp.ones(()), jax.random.key(3))
            looks = pipeline.classify_image(network, weights, radiograph, settings)
            return pipeline.aggregate(network, weights, image, looks, settings)

        return run(weights, image, lungs)

    vote, mapped, *_ = examine(deep, params["head"])
    vote_linear, mapped_linear, *_ = examine(plain, {"linear_0": folded})
    np.testing.assert_allclose(vote.probabilities, vote_linear.probabilities, atol=1e-3)
    np.testing.assert_allclose(mapped, mapped_linear, atol=2e-3)
    assert mapped_linear.max() > 0.1


def test_grad_cam_through_a_hidden_head_by_hand():
    head = classifier.Head(1, hidden=((2, 0.0),))
    params = {
        "linear_0": {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.zeros(2)},
        "linear_1": {"kernel": jnp.array([[2.0], [10.0]]), "bias": jnp.zeros(1)},
    }
    features = jnp.array([1.0, 3.0]).reshape(1, 2, 1, 1)
    result = cam.grad_cam(lambda f: head.apply({"params": params}, f, train=False), features, 0)
    np.testing.assert_allclose(result[0, :, 0], [1.0, 3.0])  # the open unit's gradient: 2 * 1 / 2 pixels


def test_head_dropout_is_applied_only_in_training():
    module, variables = build("hidden")
    x = jax.random.uniform(jax.random.key(1), (2, 32, 32, 1))
    results = [
        module.apply(variables, x, train=True, rngs={"dropout": jax.random.key(i)}, mutable=["batch_stats"])[0]
        for i in (0, 1)
    ]
    assert not np.allclose(*results)
    assert (module.apply(variables, x, train=False) == module.apply(variables, x, train=False)).all()


def test_a_network_without_batch_norm_has_no_statistics():
    network = spec.ModelSpec(registry.create("vgg16", 2, head="linear", width=2, stages=(1,)), 32, 1)
    assert from_config.init(network, jax.random.key(0))["batch_stats"] == {}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_logits_are_float32_in_either_precision(dtype):
    module, variables = build("hidden", dtype=dtype)
    assert module.apply(variables, jnp.zeros((1, 32, 32, 1)), train=False).dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_an_unknown_head_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'vvg' for vgg16.*vgg_hidden"):
        registry.create("vgg16", 2, head="vvg")
    with pytest.raises(ValueError, match=r"'linear' for unet"):
        registry.create("unet", 2, head="linear")


def test_gelu_is_exact_as_in_keras():
    assert ACTIVATIONS["gelu"](1.0) == pytest.approx(0.8413447, abs=1e-6)  # Phi(1); by tanh it is 0.84119
