"""StableHLO programs lowered for a GPU and a TPU, checked as text without such a device."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from benchmarks import synthetic
from benchmarks.competitors.ours import FullImageLungSegmenter
from cxrjax.config import default_config, freeze, recipes
from cxrjax.inference import inputs, pipeline
from cxrjax.inference.batch_runner import BatchRunner
from cxrjax.models import from_config, registry
from cxrjax.models.fc_densenet import FCDenseNet
from cxrjax.models.layers import xla
from cxrjax.runtime.platform import traced_for
from cxrjax.training import classification, segmentation, train_step, trainer

PLATFORMS = ("cuda", "tpu")
BATCH, SIDE, PATCHES = 4, 64, 6


@pytest.fixture(scope="module", autouse=True)
def shallow():
    """A segmenter with one dense block of each kind: the depth changes no form of its layers."""
    with pytest.MonkeyPatch.context() as patch:
        small = partial(FCDenseNet, blocks=(1,), bottleneck=1, growth=8, stem=16)
        patch.setitem(registry.SEGMENTERS, "fc_densenet29", small)
        yield


def make_small(config):
    """A config at a small size, computed in bfloat16, as `auto` chooses on an accelerator."""
    config.precision = "bfloat16"
    config.image.size = SIDE
    config.segmenter.architecture = "fc_densenet29"
    config.segmenter.size = 32
    config.segmenter.workdir = "made up"
    config.pretrained = ""
    config.classifier.architecture = "resnet6"
    config.classifier.classes = synthetic.CLASSES
    config.classifier.normalization = "imagenet"
    config.patches.size = 32
    config.patches.count = PATCHES
    config.patches.batch_size = 3
    config.training.batch_size = BATCH
    return config


def lower(program, *arguments):
    """The StableHLO text of a jitted program for both platforms at once."""
    with traced_for("cuda"):
        return export.export(program, platforms=PLATFORMS)(*arguments).mlir_module()


def prediction_program(mode):
    """Return the jitted `pipeline.predict` of a batch and its arguments."""
    config = make_small(default_config())
    config.task = "classify"
    config.patches.mode = mode
    config.patches.context_pixels = 32 if mode == "dense" else 0
    segmenter, classifier = from_config.segmenter(config), from_config.classifier(config)
    variables = {
        "segmenter": from_config.zero_variables(segmenter),
        "classifier": from_config.zero_variables(classifier),
    }
    settings = from_config.inference_config(config, PATCHES)

    @jax.jit
    def program(variables, images, names):
        keys = pipeline.image_keys(0, names)
        return pipeline.predict(segmenter, classifier, variables, images, keys, settings)

    return program, (variables, np.zeros((BATCH, SIDE, SIDE), np.uint8), np.zeros(BATCH, np.uint32))


def training_step(task):
    """Return the step of a training and its arguments."""
    config = make_small(recipes.load(f"oh2020:{task}"))
    split = synthetic.draw_split(BATCH, SIDE)
    config = freeze(config)
    if task == "segment":
        network, built = from_config.segmenter(config), segmentation.build(config, split, split)
    else:
        network = from_config.classifier(config)
        built = classification.build(config, split, split, FullImageLungSegmenter(config, None))
    training = trainer.Trainer(config, built)
    phase = training.phases[0]
    optimizer = train_step.build_optimizer(config, training.total_steps, phase)
    step = train_step.make_train_step(training.task, optimizer, phase, config, training.loader)
    return step, (
        train_step.init_state(from_config.zero_variables(network), optimizer, config),
        training.loader.next_batch(0),
        jnp.float32(0.01),
        jax.random.key(0),
    )


PROGRAMS = {
    "predict, local": partial(prediction_program, "local"),
    "predict, dense": partial(prediction_program, "dense"),
    "step, segment": partial(training_step, "segment"),
    "step, classify": partial(training_step, "classify"),
}


@pytest.fixture(scope="module")
def lowered():
    """The texts of all programs, by name."""
    made = {name: build() for name, build in PROGRAMS.items()}
    return {name: lower(program, *arguments) for name, (program, arguments) in made.items()}


def iter_matches(pattern, lowered):
    """Yield (program, groups) of every match of a pattern; every text has at least one match."""
    for name, text in lowered.items():
        found = re.findall(pattern, text)
        assert found, name
        yield from ((name, match) for match in found)


def test_convolutions_use_bfloat16(lowered):
    pattern = r"stablehlo\.convolution.* : \(tensor<[^>]*x(\w+)>, tensor<[^>]*x(\w+)>\)"
    assert {types for _, types in iter_matches(pattern, lowered)} == {("bf16", "bf16")}


def test_float32_matrix_products_use_highest_precision(lowered):
    """Coordinates, resampled levels, logits and maps would by default be rounded to TF32 or bfloat16."""
    for name, text in lowered.items():
        for line in re.findall(r"stablehlo\.dot_general.*", text):
            if re.search(r": \(tensor<[^>]*f32>, ", line) and ", contracting_dims = [] x []" not in line:
                assert "[HIGHEST, HIGHEST]" in line, (name, line)


def test_programs_have_no_python_callbacks(lowered):
    for name, text in lowered.items():
        calls = set(re.findall(r"stablehlo\.custom_call @(\w+)", text))
        assert not {call for call in calls if "callback" in call.lower()}, name
        assert not re.search(r"stablehlo\.(infeed|outfeed|send|recv)\b", text), name


def test_no_feature_map_is_transposed(lowered):
    """Of arrays with a batch or patch axis and spatial axes, only inputs of a few channels may be transposed."""
    few, smallest = 4, 4
    pattern = r"stablehlo\.transpose %\w+, dims = \[([\d, ]+)\] : \(tensor<((?:\d+x)+)\w+>\)"
    for name, text in lowered.items():
        for dims, shape in re.findall(pattern, text):
            sides = [int(one) for one in shape.strip("x").split("x")]
            is_feature_map = len(sides) == 4 and min(sides[1:3]) >= smallest and sides[3] > few
            assert not is_feature_map or sides[0] not in (BATCH, BATCH * 3), (name, dims, shape)


def test_patches_of_all_radiographs_form_one_batch(lowered):
    """Six patches of each of four radiographs run as two chunks of twelve, without a loop over radiographs."""
    text = lowered["predict, local"]
    assert re.search(r"stablehlo\.convolution.*-> tensor<12x\d+x\d+x64xbf16>", text)
    assert not re.search(r"stablehlo\.convolution.*-> tensor<3x\d+x\d+x64xbf16>", text)
    assert re.search(r"stablehlo\.convolution.*-> tensor<4x\d+x\d+x128xbf16>", lowered["predict, dense"])


def test_training_step_scatters_no_feature_map(lowered):
    """A scatter is an atomic sum on a GPU; the only one is that of the labels' gradient [B, K]."""
    assert "stablehlo.scatter" not in lowered["step, segment"]
    pattern = r"stablehlo\.scatter.*?\}\) : \(tensor<([\dx]+)x\w+>"
    shapes = set(re.findall(pattern, lowered["step, classify"], re.S))
    assert shapes <= {f"{BATCH}x{len(synthetic.CLASSES)}", f"{BATCH}x1x1"}


@pytest.mark.parametrize(("side", "size", "stride", "padding", "channels"), [(32, 7, 2, 3, 1), (15, 3, 2, 1, 3)])
def test_conv_blocks_equals_conv_xla_and_its_gradient(side, size, stride, padding, channels):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, side, side + 1, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(size, size, channels, 5)), jnp.float32)
    plain, gradient = jax.vjp(lambda k: xla.conv_xla(x, k, stride, padding), kernel)
    blocks, other = jax.vjp(lambda k: xla.conv_blocks(x, k, stride, padding), kernel)
    np.testing.assert_allclose(blocks, plain, atol=1e-4)
    np.testing.assert_allclose(other(plain)[0], gradient(plain)[0], rtol=1e-4, atol=1e-2)


def make_tiny_inputs(mode):
    """A small classifier in float32, its settings, and three radiographs with lungs."""
    config = make_small(default_config())
    config.task, config.precision, config.patches.mode = "classify", "float32", mode
    config.classifier.architecture, config.classifier.head = "hieu2695_baseline", "linear"
    config.classifier.channels, config.classifier.normalization = 1, "none"
    classifier = from_config.classifier(config)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (3, SIDE, SIDE), np.uint8))
    lungs = jnp.asarray(rng.random((3, SIDE, SIDE)) < 0.3)
    keys = pipeline.image_keys(0, jnp.arange(3, dtype=jnp.uint32))
    settings = from_config.inference_config(config, PATCHES)
    variables = jax.tree.map(jnp.asarray, synthetic.draw_weights(classifier))
    return classifier, variables, inputs.SegmentedRadiograph(images, lungs, jnp.ones(3), keys), settings


@pytest.mark.parametrize("mode", ["local", "dense", "global"])
def test_accelerator_and_cpu_programs_predict_alike(mode):
    """Run the accelerator's program on the CPU, all at once and in groups: only the order of sums differs."""
    classifier, variables, radiographs, settings = make_tiny_inputs(mode)

    @partial(jax.jit, static_argnums=0)
    def run(together):
        def conclude(image, looks):
            return pipeline.aggregate(classifier, variables, image, looks, settings)

        return pipeline.predict_each(classifier, variables, radiographs, settings, conclude, together)

    vote, maps, features = run(None)[:3]
    assert maps.max() > 0.1
    for together in (None, 2):
        with traced_for("cuda"):
            other, other_maps, other_features = run(together)[:3]
        np.testing.assert_array_equal(other.votes, vote.votes)
        np.testing.assert_allclose(other.probabilities, vote.probabilities, atol=1e-5)
        np.testing.assert_allclose(other_maps, maps, atol=1e-5)
        np.testing.assert_allclose(other_features, features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("ahead", "order"),
    [
        (0, ["run 0", "fetch 0", "run 2", "fetch 2", "run 4", "fetch 4"]),
        (1, ["run 0", "run 2", "fetch 0", "run 4", "fetch 2", "fetch 4"]),
    ],
)
def test_next_batch_is_dispatched_before_results_are_fetched(ahead, order):
    events = []

    def run(images, checksums):
        first = int(images[0])
        events.append(f"run {first}")
        return lambda: events.append(f"fetch {first}") or first

    runner = BatchRunner(lambda _: run)
    runner._max_pending = ahead
    assert list(runner._iter_batches(np.arange(5), np.arange(5), 2)) == [(2, 0), (2, 2), (1, 4)]
    assert events == order


def test_training_step_waits_for_the_second_last_step(monkeypatch):
    """The awaited array is not part of the state, whose arrays the next step deletes."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", waited.append)
    training = trainer.Trainer.__new__(trainer.Trainer)
    training._step_in_flight = None
    for step in range(3):
        state = train_step.TrainState(*[None] * 3, jnp.int32(step), *[None] * 5)
        training._limit_steps_in_flight(state)
        state.step.delete()
    assert waited[0] is None
    assert [int(number) for number in waited[1:]] == [0, 1]
