"""Networks against the outputs of the originals (PyTorch), with weights drawn from their names."""

import json
import zlib

import jax
import numpy as np
import pytest

from cxrjax.models import registry
from cxrjax.pretrained import state_dict


def draw(name: str, shape: list[int]) -> np.ndarray:
    """Draw the weight called `name` by the rule of the parity data's README."""
    v = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    if name.endswith("running_var"):
        return 1 + 0.5 * abs(v)
    if name.endswith("running_mean") or name.endswith("bias"):
        return 0.1 * v
    return 1 + 0.1 * v if len(shape) == 1 else v * np.float32(np.sqrt(1 / np.prod(shape[1:])))


@pytest.mark.parametrize(
    "architecture",
    [
        "fc_densenet103_oh2020",
        "resnet18",
        pytest.param("resnet34", marks=pytest.mark.slow),  # more blocks of the same kind
        "densenet121",
        pytest.param("vgg16", marks=pytest.mark.slow),  # 134 million weights
    ],
)
def test_output_equals_the_original(shared, architecture):
    reference = np.load(shared / "parity" / f"{architecture}.npz")
    names = json.loads((shared / "parity" / f"{architecture}.state_dict.json").read_text())
    variables = state_dict.from_state_dict(architecture, {n: draw(n, s) for n, s in names.items()}, num_classes=4)
    module = registry.create(architecture, num_classes=4)
    out = jax.jit(lambda v, x: module.apply(v, x, train=False))(variables, reference["x"].transpose(0, 2, 3, 1))
    out = np.asarray(out).transpose(0, 3, 1, 2) if out.ndim == 4 else np.asarray(out)
    assert registry.count_parameters(variables) == reference["parameters"]
    assert np.linalg.norm(out - reference["y"]) / np.linalg.norm(reference["y"]) < 1e-5
