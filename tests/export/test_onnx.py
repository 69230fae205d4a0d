"""Every network that a run can have is converted to ONNX with equal outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from onnx import load_model_from_string

from cxrjax.config import LABELS, default_config
from cxrjax.export import onnx, verify
from cxrjax.inference.functional import PipelineSpec
from cxrjax.models import from_config, registry


@pytest.mark.slow
@pytest.mark.parametrize("architecture", registry.ARCHITECTURES)
def test_every_architecture_is_converted_convolution_by_convolution(architecture):
    config = default_config()
    config.task = "segment" if architecture in registry.SEGMENTERS else "classify"
    config.segmenter.size = config.patches.size = 64
    config.segmenter.architecture = config.classifier.architecture = architecture
    config.classifier.classes = LABELS
    network = from_config.segmenter(config) if config.task == "segment" else from_config.classifier(config)
    shapes, rng = from_config.zero_variables(network), np.random.default_rng(0)
    drawn = jax.tree.map(lambda x: rng.uniform(0.5, 1.5, x.shape).astype("f4") / np.prod(x.shape[:-1]), shapes)
    variables = {"segmenter": drawn if config.task == "segment" else None, "classifier": drawn}
    ((_, _, function),) = onnx.list_networks(PipelineSpec.from_config(config), variables)
    x = verify.synthetic_input(network)
    model = onnx.convert(function, network)
    verify.check_outputs(architecture, model.run(x), jax.jit(function)(jnp.asarray(x)), 1e-30)
    kernels = [path for path, leaf in flatten_dict(drawn["params"]).items() if leaf.ndim == 4]
    # Transposed convolutions are products.
    convolutions = [path for path in kernels if not any("transition_up" in n or "upsample" in n for n in path)]
    operators = [node.op_type for node in load_model_from_string(model.data).graph.node]
    assert operators.count("Conv") == len(convolutions)


def test_a_classifier_with_context_reads_its_whole_input():
    """Patches of 32 pixels with 16 on each side, which the backbone reads and the head does not."""
    config = default_config()
    config.task = "classify"
    config.patches.mode = "local"
    config.patches.size = 32
    config.patches.context_pixels = 16
    config.classifier.architecture = "resnet6"
    config.classifier.classes = ("normal", "viral")
    config.classifier.channels = 1
    network = from_config.classifier(config)
    variables = from_config.init(network, jax.random.key(0))
    spec = PipelineSpec.from_config(config)._replace(segmenter=None)
    ((_, _, function),) = onnx.list_networks(spec, {"classifier": variables})
    model = onnx.convert(function, network)
    assert model.describe()["inputs"]["x"]["shape"][1:] == [64, 64, 1]
    x = np.random.default_rng(0).uniform(size=(2, 64, 64, 1)).astype(np.float32)
    logits = network.module.apply(variables, x, train=False)
    np.testing.assert_allclose(model.run(x)["logits"], logits, rtol=1e-4, atol=1e-5)
