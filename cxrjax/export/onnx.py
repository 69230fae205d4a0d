"""Networks of a run as ONNX models: converted by jax2onnx, run by onnxruntime (extra `cxrjax[onnx]`).

Both packages are imported locally, since they are installed only with the extra, and importing jax2onnx takes seconds.
"""

import importlib.metadata
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax import Array

from cxrjax.inference.functional import PipelineSpec
from cxrjax.models import registry
from cxrjax.models.spec import ModelSpec
from cxrjax.ops import cam
from cxrjax.runtime.platform import traced_for

OPSET = 21  # released in 2024


class OnnxModel(NamedTuple):
    """Serialized network."""

    data: bytes  # serialized ONNX ModelProto
    unit: float = float(np.finfo(np.float32).tiny)  # smallest scale of the differences: logits and features have none

    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Run the model on the CPU: output name -> array."""
        session = self._open()
        return dict(zip([output.name for output in session.get_outputs()], session.run(None, {"x": x}), strict=True))

    def describe(self) -> dict[str, Any]:
        """Return the operator set, the converter, and the name, type and shape of each input and output."""
        session = self._open()

        def io_signature(values: Any) -> dict[str, Any]:
            return {value.name: {"type": value.type, "shape": value.shape} for value in values}

        converter = f"jax2onnx {importlib.metadata.version('jax2onnx')}"
        return {
            "opset": OPSET,
            "converter": converter,
            "inputs": io_signature(session.get_inputs()),
            "outputs": io_signature(session.get_outputs()),
        }

    def _open(self) -> Any:
        import onnxruntime

        return onnxruntime.InferenceSession(self.data, providers=["CPUExecutionProvider"])


def list_networks(
    spec: PipelineSpec, variables: Mapping[str, Any]
) -> Iterator[tuple[str, ModelSpec, Callable[[Array], dict[str, Any]]]]:
    """Yield the networks of a run, each as (name, specification, function of float32 [N, size, size, channels]).

    The function of a segmenter returns "log_probabilities" [N, size, size, 4] of `lung_masks.STRUCTURES`; that of a
    classifier "logits" [N, K], "features" [N, h, w, C], its last feature map, and if its head is linear "activations"
    [N, h, w, K], the class activation map of each class.

    Args:
        spec: specification of the run.
        variables: weights, as for `stablehlo.build`.
    """
    segmenter = spec.segmenter
    if segmenter is not None:

        def segment(x: Array) -> dict[str, Array]:
            log_probabilities = segmenter.module.apply(variables["segmenter"], x, train=False)
            return {"log_probabilities": cast(Array, log_probabilities)}

        yield "segmenter", segmenter, segment
    classifier = spec.classifier
    if classifier is None:
        return

    def classify(member: Mapping[str, Any], x: Array) -> dict[str, Array]:
        features = registry.extract_features(classifier.module, member, x)
        outputs = {"logits": registry.apply_head(classifier.module, member, features), "features": features}
        kernel = registry.cam_kernel(classifier.module, member)
        if kernel is not None:
            outputs["activations"] = cam.class_activation_map(features, kernel, np.arange(kernel.shape[1]))
        return outputs

    if spec.num_members == 1:
        yield "classifier", classifier, lambda x: classify(variables["classifier"], x)
        return
    for i in range(spec.num_members):
        member = jax.tree.map(lambda leaf, i=i: leaf[i], variables["classifier"])
        yield f"classifier_{i + 1}", classifier, lambda x, member=member: classify(member, x)


def convert(
    function: Callable[[Array], dict[str, Array]], network: ModelSpec, metadata: Mapping[str, str] | None = None
) -> OnnxModel:
    """Convert a function of `list_networks` for any number of images; the input is x, the outputs keep their names.

    Args:
        function: the function.
        network: its network.
        metadata: texts that are stored in the file by name (`metadata_props` of the ModelProto).
    """
    import jax2onnx

    example = jax.ShapeDtypeStruct((1, network.input_size, network.input_size, network.in_channels), np.float32)
    names = list(jax.eval_shape(function, example))
    for package in ("jax2onnx", "onnx_ir"):  # they warn about operators and shapes that are not used here
        logging.getLogger(package).setLevel(logging.ERROR)
    with traced_for("onnx"):
        model = jax2onnx.to_onnx(
            lambda x: tuple(jax.tree.leaves(function(x))),  # in the order of `names`
            [("N", *example.shape[1:])],
            opset=OPSET,
            input_names=["x"],
            output_names=names,
        )
    del model.graph.value_info[:]  # the shapes of some intermediate values are those before a transposition
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    return OnnxModel(model.SerializeToString())
