"""The identity of a model: a checksum of its weights that anyone can compute."""

import hashlib

import numpy as np

import cxrjax
from cxrjax.config import default_config
from cxrjax.runs import model_info


def test_hash_weights_covers_names_types_shapes_and_bytes():
    kernel = np.array([[1.0, 2.0]], np.float32)
    bias = np.array([3], np.float16)
    variables = {"classifier": {"params": {"kernel": kernel, "bias": bias}}, "segmenter": None}
    expected = hashlib.sha256(
        b"classifier/params/bias float16 (1,)\n" + b"\x00\x42"
        b"classifier/params/kernel float32 (1, 2)\n" + b"\x00\x00\x80\x3f\x00\x00\x00\x40"
    ).hexdigest()
    assert model_info.hash_weights(variables) == expected
    swapped = {"classifier": {"params": {"bias": bias, "kernel": np.asarray(kernel, ">f4")}}}
    assert model_info.hash_weights(swapped) == expected
    moved = {"classifier": {"params": {"kernel": kernel.T, "bias": bias}}}
    assert model_info.hash_weights(moved) != expected


def test_describe_has_version_step_networks_and_calibration():
    variables = {"segmenter": {"x": np.zeros(1)}, "classifier": None}
    info = model_info.describe(default_config(), 7, variables, 1.0)
    assert (info.version, info.step, info.calibration) == (cxrjax.__version__, 7, "")
    assert info.architectures == (default_config().segmenter.architecture,)
    assert model_info.describe(default_config(), 7, variables, {"a": 1.5, "b": 2}).calibration == "a 1.5, b 2"
