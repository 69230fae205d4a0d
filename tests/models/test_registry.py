"""Sizes and shapes of the networks."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import pytest

from cxrjax.models import registry, unet_resnet
from cxrjax.models.spec import ModelSpec

# Number of classes of networks whose parameters are not counted with 1000, so that other tests reuse the traces.
CLASSES = {
    "fc_densenet56": 11,
    "fc_densenet67": 11,
    "fc_densenet103": 4,
    "fc_densenet103_oh2020": 4,
    "fc_densenet103_keras": 1,
    "fsarshad_cnn1": 3,
    "fsarshad_cnn2": 3,
    "fsarshad_cnn3": 3,
    "hieu2695_baseline": 3,
    "unet": 4,
    "unet_resnet34": 2,
}


def count_by_hand(blocks, bottleneck, growth, stem, channels, classes):
    """Parameters of an FC-DenseNet added up from its layout (Jegou et al. 2017, figure 2)."""

    def layer(seen, features, kernel=9):  # norm's scale and offset, kernel, bias
        return 2 * seen + kernel * seen * features + features

    def block(seen, layers):
        return sum(layer(seen + i * growth, growth) for i in range(layers))

    total, seen, skips = 9 * channels * stem + stem, stem, []
    for layers in blocks:
        total += block(seen, layers)
        seen += layers * growth
        skips.append(seen)
        total += layer(seen, seen, kernel=1)
    total += block(seen, bottleneck)
    new = bottleneck * growth
    for layers, skip in zip(blocks[::-1], skips[::-1], strict=True):
        total += 9 * new * new + new + block(new + skip, layers)
        seen, new = new + skip + layers * growth, layers * growth
    return total + seen * classes + classes


@cache
def trace_init(module, channels):
    """The shapes of a network's output and variables; segmenters are traced at odd sizes."""
    height, width = (64, 64) if hasattr(module, "backbone") else (70, 45)
    x = jax.ShapeDtypeStruct((1, height, width, channels), jnp.float32)
    return jax.eval_shape(partial(module.init_with_output, train=False), jax.random.key(0), x)


def count(architecture, classes, channels):
    _, variables = trace_init(registry.create(architecture, classes), channels)
    return registry.count_parameters(variables)


@pytest.mark.parametrize(
    "architecture, classes, channels, parameters",
    [
        ("fc_densenet103", 4, 1, 9_319_428),  # the network of Oh et al.
        ("resnet18", 4, 3, 11_178_564),  # torchvision
        ("resnet34", 4, 3, 21_286_724),
        ("resnet18", 1000, 3, 11_689_512),
        ("resnet34", 1000, 3, 21_797_672),
        ("resnet50", 1000, 3, 25_557_032),
        ("resnet101", 1000, 3, 44_549_160),
        ("densenet121", 1000, 3, 7_978_856),
        ("densenet201", 1000, 3, 20_013_928),
        ("vgg11_bn", 1000, 3, 132_868_840),
        ("vgg16", 1000, 3, 138_357_544),
        ("vgg19", 1000, 3, 143_667_240),
        ("fsarshad_cnn1", 3, 3, 14_678_851),  # printed in the project's notebook, as the next two (trainable)
        ("fsarshad_cnn2", 3, 3, 27_078_435),
        ("fsarshad_cnn3", 3, 3, 49_633_955),
        ("hieu2695_baseline", 3, 3, 44_295),  # 168 + 12 + 880 + 32 + 16 * 30 * 30 * 3 + 3
        ("unet_resnet34", 2, 3, 41_221_168),  # printed in singhaxn's notebook
        ("fc_densenet103_keras", 1, 1, 9_318_657),  # 9,319,428 less three labels of 257
    ],
)
def test_parameter_counts_equal_the_originals(architecture, classes, channels, parameters):
    assert count(architecture, classes, channels) == parameters


@pytest.mark.parametrize(
    "architecture, layout",
    [
        ("fc_densenet56", ((4,) * 5, 4, 12, 48)),
        ("fc_densenet67", ((5,) * 5, 5, 16, 48)),
        ("fc_densenet103", ((4, 5, 7, 10, 12), 15, 16, 48)),
    ],
)
def test_parameter_counts_by_hand(architecture, layout):
    classes = CLASSES[architecture]
    assert count(architecture, classes, 3) == count_by_hand(*layout, channels=3, classes=classes)


@pytest.mark.parametrize("classes, channels", [(2, 3), (4, 1)])
def test_parameter_count_of_the_unet_by_hand(classes, channels):
    def pair(seen, features):  # two convolutions without bias, two norms
        return 9 * seen * features + 9 * features * features + 4 * features

    widths = [64, 128, 256, 512, 1024]
    total = pair(channels, 64) + 64 * classes + classes
    for narrow, wide in zip(widths, widths[1:], strict=False):
        total += pair(narrow, wide) + (4 * wide * narrow + narrow) + pair(wide, narrow)
    assert count("unet", classes, channels) == total


@pytest.mark.parametrize(
    "head, parameters",
    [
        ("hidden", 512 * 512 + 512 + 512 * 3 + 3),
        ("flat", 6 * 6 * 512 * 1024 + 1024 + 1024 * 3 + 3),  # 18,878,467 are trainable in fsarshad's VGG19
        ("linear", 512 * 3 + 3),
    ],
)
def test_parameter_counts_of_heads(head, parameters):
    module = registry.create("vgg19", 3, head=head)
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), x)
    assert registry.count_parameters({"params": variables["params"]["head"]}) == parameters


# In bfloat16, deeper networks have more of the layers of fc_densenet29, and no others.
DEEPER = {"fc_densenet56", "fc_densenet67", "fc_densenet103", "fc_densenet103_oh2020"}


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [
        *((name, "float32") for name in registry.SEGMENTERS),
        *(pytest.param(name, "bfloat16", marks=[pytest.mark.slow] * (name in DEEPER)) for name in registry.SEGMENTERS),
    ],
)
def test_segmenters_return_log_probabilities_at_odd_sizes(architecture, dtype):
    classes = CLASSES.get(architecture, 1000)
    out, variables = trace_init(registry.create(architecture, classes, dtype=dtype), 3)
    assert (out.shape, out.dtype) == ((1, 70, 45, classes), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("architecture", registry.ARCHITECTURES)
def test_accepts_gray_if_only_one_kernel_depends_on_channels(architecture):
    module = registry.create(architecture, CLASSES.get(architecture, 1000))

    def shapes(channels):
        _, drawn = trace_init(module, channels)
        return {(path, leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(drawn)}

    assert (len(shapes(3) - shapes(1)) == 1) == registry.accepts_gray(module)


def test_pixel_shuffle_by_hand():
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)  # two features of four: 0 to 3 and 4 to 7, in reading order
    assert (unet_resnet.pixel_shuffle(x)[0, :, :, 0] == jnp.array([[0, 1], [2, 3]])).all()
    assert (unet_resnet.pixel_shuffle(x)[0, :, :, 1] == jnp.array([[4, 5], [6, 7]])).all()


def test_an_unknown_architecture_is_refused_by_name():
    with pytest.raises(ValueError, match=r"resnet17.*resnet18"):
        registry.create("resnet17", 3)


@pytest.mark.parametrize("architecture", registry.ARCHITECTURES)
def test_fingerprint_has_no_memory_address(architecture):
    """Caches are found by it, also by other processes."""
    module = registry.create(architecture, 2)
    spec = ModelSpec(module, 64, 1, initializer=registry.find_initializer(module, "he_normal"))
    assert "0x" in repr(spec) and "0x" not in spec.fingerprint
