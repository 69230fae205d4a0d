"""State dicts with names of other frameworks: round trip, folding, new heads, key aliases and mismatches."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from cxrjax.config import default_config, freeze
from cxrjax.models import registry
from cxrjax.models.classifier import Head
from cxrjax.models.vgg import VGG
from cxrjax.pretrained import key_aliases, key_map, state_dict
from cxrjax.runs import weights

# Names in the state dicts of the originals, one for each kind of layer.
SEEN = {
    ("resnet50", "own"): ["conv1.weight", "layer1.0.downsample.0.weight", "layer4.2.bn3.running_var", "fc.bias"],
    ("resnet34", "hidden"): ["fc.0.weight", "fc.3.bias"],
    ("densenet201", "own"): [
        "features.denseblock3.denselayer48.conv2.weight", "features.transition2.norm.bias",
        "features.transition2.conv.weight", "features.norm5.running_mean", "classifier.weight",
    ],
    ("vgg11_bn", "own"): ["features.0.bias", "features.1.running_mean", "features.25.weight", "classifier.6.weight"],
    ("vgg16", "vgg_hidden"): [
        "features.28.weight", "classifier.3.bias", "classifier.6.0.weight", "classifier.6.3.bias",
    ],
    ("hieu2695_baseline", "own"): ["cnn_layers.4.weight", "cnn_layers.5.running_var", "linear_layers.0.weight"],
    ("unet", "own"): [
        "inc.double_conv.1.weight", "down4.maxpool_conv.1.double_conv.3.weight", "up2.up.bias",
        "up2.conv.double_conv.4.running_mean", "outc.conv.weight",
    ],
    ("unet_resnet34", "own"): [
        "layers.0.0.weight", "layers.0.7.2.bn2.bias", "layers.1.running_var", "layers.3.1.0.bias",
        "layers.4.shuf.0.0.weight", "layers.7.bn.weight", "layers.7.conv2.0.bias", "layers.8.0.0.weight",
        "layers.11.convpath.1.0.weight", "layers.12.0.bias",
    ],
    ("fc_densenet56", "own"): [
        "firstconv.weight", "denseBlocksDown.4.layers.3.conv.bias", "transDownBlocks.0.norm.weight",
        "bottleneck.bottleneck.layers.0.conv.weight", "transUpBlocks.4.convTrans.weight",
        "denseBlocksUp.0.layers.1.norm.running_mean", "finalConv.bias",
    ],
}  # fmt: skip
SMALL = {
    "resnet18": {"width": 4},
    "resnet34": {"width": 4, "stages": (1, 1, 1, 1)},
    "densenet121": {"blocks": (2, 1), "growth": 4, "stem": 4},
    "unet": {"width": 2},
    "unet_resnet34": {"width": 4, "stages": (1, 1, 1, 1)},
    "fc_densenet103": {"blocks": (2, 1), "bottleneck": 2, "growth": 2, "stem": 3},
}


@pytest.fixture
def shrink(monkeypatch):
    """Replace architectures by small ones, since names do not depend on the width."""
    for architecture, settings in SMALL.items():
        if architecture in registry.SEGMENTERS:
            larger = registry.SEGMENTERS[architecture]
            small = lambda larger=larger, settings=settings, **k: larger(**settings, **k)  # noqa: E731
            monkeypatch.setitem(registry.SEGMENTERS, architecture, small)
        else:
            larger = registry.BACKBONES[architecture]
            small = lambda larger=larger, settings=settings, **k: larger.build(**settings, **k)  # noqa: E731
            monkeypatch.setitem(registry.BACKBONES, architecture, larger._replace(build=small))


def make(architecture, num_classes=3, channels=3, head="own"):
    """Return a module and random variables without equal numbers."""
    module = registry.create(architecture, num_classes, head=head)
    init = registry.init_fn(module, 64, channels)
    leaves, structure = jax.tree.flatten(jax.eval_shape(init, jax.random.key(0)))
    rng = np.random.default_rng(0)
    return module, jax.tree.unflatten(structure, [rng.uniform(0.5, 1, x.shape).astype(np.float32) for x in leaves])


@pytest.mark.parametrize("architecture, head", SEEN)
def test_names_equal_the_originals(architecture, head):
    shapes = jax.eval_shape(registry.init_fn(registry.create(architecture, 3, head=head), 64, 3), jax.random.key(0))
    flat, _ = jax.tree_util.tree_flatten_with_path(shapes)
    named = key_map.original_names(architecture, [tuple(key.key for key in path) for path, _ in flat])
    assert set(SEEN[architecture, head]) <= set(named.values())
    assert len(set(named.values())) == len(named)


@pytest.mark.parametrize("architecture", SMALL)
def test_state_dict_round_trip_is_exact(shrink, architecture):
    _, variables = make(architecture)
    state = state_dict.to_state_dict(architecture, variables)
    again = state_dict.from_state_dict(architecture, state, num_classes=3)
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    assert jax.tree.all(jax.tree.map(np.array_equal, again, variables))
    norms = sum(name.endswith("running_mean") for name in state)
    counters = [value for name, value in state.items() if name.endswith("num_batches_tracked")]
    assert len(counters) == norms > 0 and {(c.shape, c.dtype) for c in counters} == {((), np.dtype("int64"))}


def test_transposed_kernel_has_the_layout_of_pytorch(shrink):
    _, variables = make("unet")
    state = state_dict.to_state_dict("unet", variables)
    kernel = variables["params"]["up1_upsample"]["kernel"]  # [2, 2, C, F]
    assert state["up1.up.weight"].shape == (32, 16, 2, 2)  # [C, F, 2, 2]
    assert state["up1.up.weight"][3, 5, 0, 1] == kernel[0, 1, 3, 5]


def test_new_head_is_drawn_and_the_rest_is_loaded(shrink):
    _, variables = make("resnet18", 1000)
    state = state_dict.to_state_dict("resnet18", variables)
    tuned = state_dict.from_state_dict("resnet18", state, num_classes=5, head="hidden", new_head=jax.random.key(1))
    module, x = registry.create("resnet18", 5, head="hidden"), jnp.zeros((1, 64, 64, 3))
    drawn = jax.jit(lambda key: module.init(key, x, train=False)["params"]["head"])(jax.random.key(1))
    assert jax.tree.all(jax.tree.map(np.array_equal, tuned["params"]["head"], drawn))
    assert jax.tree.all(jax.tree.map(np.array_equal, tuned["params"]["backbone"], variables["params"]["backbone"]))
    with pytest.raises(state_dict.WeightMismatchError, match=r"fc.weight is \(1000, 32\), should be \(5, 32\)"):
        state_dict.from_state_dict("resnet18", state, num_classes=5)


def test_fresh_head_loads_fitting_layers_before_the_last(monkeypatch):
    """As hieu2695's VGG16: ImageNet's two layers of 4096 are kept, and two new ones replace the last (VGG_cs_fc.py)."""
    wide = ((12, 0.5), (12, 0.5))
    heads = {"vgg": wide, "vgg_hidden": (*wide, (6, 0.1)), "flat": ((10, 0.0),)}
    for name, hidden in heads.items():
        monkeypatch.setitem(registry.HEADS, name, partial(Head, hidden=hidden, grid=2))
    monkeypatch.setitem(registry.BACKBONES, "vgg16", registry.BackboneEntry(partial(VGG, width=4), "vgg"))
    _, variables = make("vgg16", 1000)
    state = state_dict.to_state_dict("vgg16", variables)
    key = jax.random.key(1)

    def convert(state, head):
        return state_dict.from_state_dict("vgg16", state, num_classes=5, head=head, new_head=key)["params"]["head"]

    def draw(head):
        module, x = registry.create("vgg16", 5, head=head), jnp.zeros((1, 64, 64, 3))
        return jax.jit(lambda key: module.init(key, x, train=False)["params"]["head"])(key)

    kept = {name: variables["params"]["head"][name] for name in ("linear_0", "linear_1")}
    for head in ("vgg", "vgg_hidden"):
        assert convert(state, head).keys() > kept.keys()
        jax.tree.map(np.testing.assert_array_equal, convert(state, head), draw(head) | kept)
    narrow = state | {"classifier.0.weight": state["classifier.0.weight"][:7]}  # so no later layer can be kept
    jax.tree.map(np.testing.assert_array_equal, convert(narrow, "vgg_hidden"), draw("vgg_hidden"))
    jax.tree.map(np.testing.assert_array_equal, convert(state, "flat"), draw("flat"))


def test_classifier_weights_initialize_the_encoder_of_a_segmenter(shrink):
    _, classifier = make("resnet34", 1000)
    state, key = state_dict.to_state_dict("resnet34", classifier), jax.random.key(1)
    tuned = state_dict.from_state_dict("unet_resnet34", state, num_classes=4, new_head=key)
    drawn = registry.init_unoptimized(registry.init_fn(registry.create("unet_resnet34", 4), 64, 3), key)
    assert jax.tree.structure(tuned) == jax.tree.structure(drawn)
    for collection in registry.COLLECTIONS:
        theirs = drawn[collection] | {"encoder": classifier[collection]["backbone"]}
        jax.tree.map(np.testing.assert_array_equal, tuned[collection], theirs)


def test_mismatched_encoder_error_lists_all_differences(shrink):
    state = state_dict.to_state_dict("resnet34", make("resnet34", 1000)[1])
    del state["conv1.weight"], state["bn1.bias"]
    state |= {"layer2.0.bn1.weight": np.zeros(3), "layer9.0.bn1.weight": np.zeros(8)}
    with pytest.raises(state_dict.WeightMismatchError) as error:
        state_dict.from_state_dict("unet_resnet34", state, num_classes=4, new_head=jax.random.key(1))
    assert str(error.value) == (
        "these weights do not fit resnet34: missing (2): bn1.bias, conv1.weight; unexpected (1): layer9.0.bn1.weight; "
        "misshapen (1): layer2.0.bn1.weight is (3,), should be (8,)"
    )


def test_encoder_weights_are_loaded_only_if_the_head_may_be_fresh(shrink, tmp_path):
    for name in ("resnet34", "unet_resnet34"):
        state = state_dict.to_state_dict(name, make(name, 4)[1])
        safetensors.numpy.save_file(state, tmp_path / name)
    config, key = default_config(), jax.random.key(1)
    config.task, config.segmenter.architecture, config.segmenter.channels = "segment", "unet_resnet34", 3

    def load(name, choice):
        config.pretrained, config.pretrained_head = str(tmp_path / name), choice
        return weights.load_init(freeze(config), key)["params"]

    with pytest.raises(
        state_dict.WeightMismatchError, match=r"do not fit unet_resnet34: missing .* unexpected .*fc\.bias"
    ):
        load("resnet34", "keep")
    jax.tree.map(np.testing.assert_array_equal, load("resnet34", "auto"), load("resnet34", "fresh"))
    whole, fresh = load("unet_resnet34", "auto"), load("unet_resnet34", "fresh")  # a whole file's decoder is kept
    jax.tree.map(np.testing.assert_array_equal, whole | {"head": fresh["head"]}, fresh)
    assert (whole["head"]["kernel"] != fresh["head"]["kernel"]).all()


@pytest.mark.parametrize("architecture", ["resnet18", "densenet121"])
def test_summed_color_kernel_equals_three_equal_channels(shrink, apply, architecture):
    module, variables = make(architecture)
    state = state_dict.to_state_dict(architecture, variables)
    gray = state_dict.from_state_dict(architecture, state, num_classes=3, channels=1)
    x = jax.random.uniform(jax.random.key(0), (2, 40, 40, 1))
    before = apply(module, variables, jnp.repeat(x, 3, axis=-1))
    np.testing.assert_allclose(apply(module, gray, x), before, rtol=1e-4)


def test_color_kernels_are_not_summed_for_unsupported_networks(shrink):
    state = state_dict.to_state_dict("unet_resnet34", make("unet_resnet34")[1])
    with pytest.raises(state_dict.WeightMismatchError, match="unet_resnet34.*summed"):
        state_dict.from_state_dict("unet_resnet34", state, num_classes=3, channels=1)


@pytest.mark.parametrize("outputs", [1, 2])
def test_lung_segmenter_becomes_a_structure_segmenter(shrink, apply, outputs):
    module, variables = make("unet", outputs, 1)
    head = variables["params"]["head"]
    head["kernel"], head["bias"] = head["kernel"] * np.linspace(-1, 3, outputs), np.array([-1.5, 0.2])[:outputs]
    state = state_dict.to_state_dict("unet", variables)
    x = jax.random.uniform(jax.random.key(0), (1, 32, 32, 1))
    four = state_dict.from_state_dict("unet", state, num_classes=4)
    probabilities = np.exp(apply(registry.create("unet", 4), four, x))
    if outputs == 2:
        lungs = np.exp(apply(module, variables, x))[..., 1]
    else:  # its logit, from a network of two labels of which the other's is 0
        extra = jax.tree.map(lambda leaf: np.concatenate([0 * leaf, leaf], axis=-1), head)
        two = {**variables, "params": {**variables["params"], "head": extra}}
        lungs = np.exp(apply(registry.create("unet", 2), two, x))[..., 1]
    np.testing.assert_allclose(probabilities[..., 2], lungs / 2, rtol=1e-5)
    np.testing.assert_allclose(probabilities[..., 3], lungs / 2, rtol=1e-5)
    assert probabilities[..., 1].max() < 1e-12


def test_old_torchvision_names_are_translated(shrink):
    state = state_dict.to_state_dict("densenet121", make("densenet121")[1])
    old = {n.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for n, v in state.items()}
    assert old.keys() != state.keys()
    state_dict.from_state_dict("densenet121", old, num_classes=3)


def test_chexnet_prefix_and_torchxrayvision_thresholds_are_dropped(shrink):
    _, variables = make("densenet121")
    state = state_dict.to_state_dict("densenet121", variables)
    wrapped = {f"densenet121.{name.replace('classifier.', 'classifier.0.')}": value for name, value in state.items()}
    wrapped["op_threshs"] = np.zeros(3, np.float32)
    read = state_dict.from_state_dict("densenet121", wrapped, num_classes=3)
    assert jax.tree.all(jax.tree.map(np.array_equal, read, variables))


def test_outputs_are_selected_in_their_new_order(shrink):
    _, variables = make("densenet121")
    state = state_dict.to_state_dict("densenet121", variables)
    few = state_dict.select_outputs("densenet121", state, [2, 0])
    np.testing.assert_array_equal(few["classifier.weight"], state["classifier.weight"][[2, 0]])
    np.testing.assert_array_equal(few["classifier.bias"], state["classifier.bias"][[2, 0]])
    with pytest.raises(state_dict.WeightMismatchError, match="outputs 0, 3 were requested.*classifier, has 3"):
        state_dict.select_outputs("densenet121", state, [0, 3])


@pytest.mark.parametrize(
    "points, wanted", [([0.25, np.nan], [0.25, 0.5]), ([0.25, 1.5], []), ([[0.25]], []), (None, [])]
)
def test_read_operating_points_accepts_only_probabilities(points, wanted):
    state = {} if points is None else {"op_threshs": np.array(points, np.float32)}
    assert key_aliases.read_operating_points(state) == wanted


def test_timm_vgg_names_are_translated():
    state = {
        "features.0.weight": np.zeros((2, 3, 3, 3)),
        "pre_logits.fc1.weight": np.arange(2 * 3 * 49.0).reshape(2, 3, 7, 7),
        "pre_logits.fc2.weight": np.zeros((2, 2, 1, 1)),
        "head.fc.weight": np.zeros((4, 2)),
    }
    ours = key_aliases.translate("vgg16", state)
    assert {name: value.shape for name, value in ours.items()} == {
        "features.0.weight": (2, 3, 3, 3),
        "classifier.0.weight": (2, 147),
        "classifier.3.weight": (2, 2),
        "classifier.6.weight": (4, 2),
    }


def test_numbered_keras_layers_are_assigned_by_order():
    """Weights as Keras saves them, numbered from any start and in any order."""
    _, variables = make("fc_densenet103_keras", 1, 1)
    state = state_dict.to_state_dict("fc_densenet103_keras", variables)
    order = key_aliases._fc_densenet103_layers()
    keras = {}
    for kind, layer in (("conv", "conv2d"), ("norm", "batch_normalization"), ("convTrans", "conv2d_transpose")):
        for i, module in enumerate(order[kind]):
            called = f"{layer}_{i + 95}" if i else f"{layer}_94"
            for leaf, keras_leaf in (
                ("weight", "gamma" if kind == "norm" else "kernel"),
                ("bias", "beta" if kind == "norm" else "bias"),
                ("running_mean", "moving_mean"),
                ("running_var", "moving_variance"),
            ):
                if f"{module}.{leaf}" in state:
                    value = state[f"{module}.{leaf}"]
                    value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
                    keras[f"{called}/{called}/{keras_leaf}:0"] = value
    keras = dict(sorted(keras.items()))  # an h5 file lists its groups by the alphabet
    again = state_dict.from_state_dict("fc_densenet103_keras", keras, num_classes=1)
    assert jax.tree.all(jax.tree.map(np.array_equal, again, variables))


def test_two_consecutive_linear_layers_are_folded():
    rng = np.random.default_rng(0)
    first, second, x = rng.normal(size=(8, 3)), rng.normal(size=(3, 3)), rng.normal(size=(5, 8))
    b, c = rng.normal(size=3), rng.normal(size=3)
    state = {"fc1/kernel": first, "fc1/bias": b, "predictions/kernel": second, "predictions/bias": c}
    one = key_aliases.translate("resnet18_keras", state)
    np.testing.assert_allclose(
        x @ one["predictions.weight"].T + one["predictions.bias"], (x @ first + b) @ second + c, rtol=1e-9
    )


def test_mismatched_weights_error_lists_all_differences():
    state = {
        "conv1.weight": np.zeros((64, 3, 5, 5)),
        "layer9.0.conv1.weight": np.zeros((64, 64, 3, 3)),
        "bn1.num_batches_tracked": np.array(7),
    }
    with pytest.raises(state_dict.WeightMismatchError) as error:
        state_dict.from_state_dict("resnet18", state, num_classes=4)
    message = str(error.value)
    assert "unexpected (1): layer9.0.conv1.weight" in message
    assert "conv1.weight is (64, 3, 5, 5), should be (64, 3, 7, 7)" in message
    assert "missing (101)" in message and "fc.bias" in message and "num_batches" not in message


def test_weights_of_another_network_are_refused():
    with pytest.raises(state_dict.WeightMismatchError, match="do not fit vgg16.*unexpected.*fc1.bias"):
        state_dict.from_state_dict("vgg16", {"fc1.bias": np.zeros(3)}, num_classes=4)
