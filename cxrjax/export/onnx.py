"""The networks of a run as ONNX, by jax2onnx, and run again by onnxruntime: the extra `cxrjax[onnx]`.

Both packages are imported where they are used, for neither is there without the extra, and jax2onnx takes seconds.
"""

import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cxrjax.models import from_config, registry
from cxrjax.models.spec import ModelSpec
from cxrjax.ops import cam
from cxrjax.runtime.platform import traced_for

OPSET = 21  # of 2024


class OnnxModel(NamedTuple):
    """A serialised network."""

    data: bytes  # of an ONNX ModelProto
    unit: float = float(np.finfo(np.float32).tiny)  # logits and features have none

    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Run it here, on the CPU."""
        session = self._open()
        return dict(zip([output.name for output in session.get_outputs()], session.run(None, {"x": x}), strict=True))

    def describe(self) -> dict[str, Any]:
        """The version of its operators, and the name, type and shape of all that goes in and comes out."""
        session = self._open()

        def tell(values: Any) -> dict[str, Any]:
            return {value.name: {"type": value.type, "shape": value.shape} for value in values}

        converter = f"jax2onnx {importlib.metadata.version('jax2onnx')}"
        return {
            "opset": OPSET,
            "converter": converter,
            "inputs": tell(session.get_inputs()),
            "outputs": tell(session.get_outputs()),
        }

    def _open(self) -> Any:
        import onnxruntime

        return onnxruntime.InferenceSession(self.data, providers=["CPUExecutionProvider"])


def list_networks(
    config: ConfigDict, variables: Mapping[str, Any]
) -> Iterator[tuple[str, ModelSpec, Callable[[Array], dict[str, Array]]]]:
    """The networks of a run, each with its name and what it makes of float32 [N, size, size, channels].

    A segmenter gives "log_probabilities" [N, size, size, 4] of `lung_masks.STRUCTURES`; a classifier "logits" [N, K],
    "features" [N, h, w, C], its last feature map, and where its head is linear the "activations" [N, h, w, K], the
    class activation map of each class.

    Args:
        config: of the run.
        variables: of `stablehlo.build`.
    """
    if variables["segmenter"] is not None:
        segmenter = from_config.segmenter(config)
        yield (
            "segmenter",
            segmenter,
            lambda x: {"log_probabilities": segmenter.module.apply(variables["segmenter"], x, train=False)},
        )
    if config.task == "segment":
        return
    classifier, count = from_config.classifier(config), config.evaluation.members

    def classify(member: Mapping[str, Any], x: Array) -> dict[str, Array]:
        features = registry.extract_features(classifier.module, member, x)
        found = {"logits": registry.apply_head(classifier.module, member, features), "features": features}
        kernel = registry.cam_kernel(classifier.module, member)
        if kernel is not None:
            found["activations"] = cam.class_activation_map(features, kernel, np.arange(kernel.shape[1]))
        return found

    if count == 1:
        yield "classifier", classifier, lambda x: classify(variables["classifier"], x)
        return
    for i in range(count):
        member = jax.tree.map(lambda leaf, i=i: leaf[i], variables["classifier"])
        yield f"classifier_{i + 1}", classifier, lambda x, member=member: classify(member, x)


def convert(function: Callable[[Array], dict[str, Array]], network: ModelSpec) -> OnnxModel:
    """A function of `list_networks` for any number of pictures; its input is called x, its outputs as it calls them."""
    import jax2onnx

    one = jax.ShapeDtypeStruct((1, network.size, network.size, network.channels), np.float32)
    names = list(jax.eval_shape(function, one))
    for package in ("jax2onnx", "onnx_ir"):  # they warn of operators and shapes that no network here has
        logging.getLogger(package).setLevel(logging.ERROR)
    with traced_for("onnx"):
        model = jax2onnx.to_onnx(
            lambda x: tuple(jax.tree.leaves(function(x))),  # in the order of the names
            [("N", *one.shape[1:])],
            opset=OPSET,
            input_names=["x"],
            output_names=names,
        )
    del model.graph.value_info[:]  # of some intermediate values the shape noted down is that before a transposition
    return OnnxModel(model.SerializeToString())
