"""The complete prediction of a run as one StableHLO program that contains the weights (`jax.export`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, export, lax

from cxrjax.inference import functional, pipeline
from cxrjax.inference.functional import PipelineSpec
from cxrjax.runtime import compile_notice
from cxrjax.runtime.platform import traced_for

PLATFORMS = ("cpu", "cuda", "tpu")

# Outputs of the programs: fields of `pipeline.Prediction`, without those of the OOD detector, and of
# `pipeline.LungSegmentation`.
PREDICTION_OUTPUTS = tuple(
    name
    for name in pipeline.Prediction._fields
    if name not in ("ood_statistics", "patch_embeddings", "class_maps", "num_patches")
)
SEGMENTATION_OUTPUTS = pipeline.LungSegmentation._fields


class ExportedProgram(NamedTuple):
    """Serialized program."""

    data: bytes  # of `jax.export.Exported.serialize`
    input_names: tuple[str, ...]
    unit: float = 1.0  # smallest scale of the differences: outputs are counts, fractions and nats, and a value of 0.01
    # need not agree to as many digits as one of 1

    def run(self, *batch: np.ndarray) -> dict[str, Array]:
        """Deserialize the program and run it: output name -> array."""
        exported = export.deserialize(bytearray(self.data))

        @compile_notice.describe_program("the exported program")
        def run_exported(*batch: Array) -> dict[str, Array]:
            outputs: Any = exported.call(*batch)
            return outputs

        return jax.jit(run_exported)(*batch)

    def describe(self) -> dict[str, Any]:
        """Return the platforms, and the name, type and shape of each input and output."""
        exported = export.deserialize(bytearray(self.data))
        outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        return {
            "platforms": exported.platforms,
            "inputs": _describe(dict(zip(self.input_names, exported.in_avals, strict=True))),
            "outputs": _describe(outputs),
        }


class Program(NamedTuple):
    """The prediction of a run as a function of arrays.

    Fields:
        file_name: name of the exported file.
        input_names: names of the inputs: radiographs uint8 [B, S, S] and, for a classifier, uint32 [B] of
            `batch.hash_images`.
        run: inputs -> outputs by name. Radiographs are processed one by one, so that B is arbitrary.
    """

    file_name: str
    input_names: tuple[str, ...]
    run: Callable[..., dict[str, Array]]


def build(spec: PipelineSpec, variables: Mapping[str, Any]) -> Program:
    """Return the program of a run.

    Args:
        spec: specification of the run.
        variables: weights, as for `functional.predict`.

    Returns:
        The program; its outputs are PREDICTION_OUTPUTS (with "num_patches" for several findings), or for a segmenter
        SEGMENTATION_OUTPUTS.
    """

    def segment(image: Array) -> pipeline.LungSegmentation:
        return functional.segment_lungs(variables, image[None], spec=spec)

    def predict(image: Array, image_id: Array) -> pipeline.Prediction:
        keys = pipeline.image_keys(spec.seed, image_id[None])
        return functional.predict(variables, image[None], keys, spec=spec)

    if spec.classifier is None:
        return Program("segment.stablehlo", ("images",), _one_by_one(segment, SEGMENTATION_OUTPUTS))
    outputs = (*PREDICTION_OUTPUTS, "num_patches") if spec.inference.targets == "multi" else PREDICTION_OUTPUTS
    return Program("predict.stablehlo", ("images", "image_ids"), _one_by_one(predict, outputs))


def _one_by_one(predict_one: Callable[..., Any], output_names: Sequence[str]) -> Callable[..., dict[str, Array]]:
    """Return a function of a batch that applies a function of one radiograph, whose results have a first axis of 1."""

    def select(inputs: tuple[Array, ...]) -> dict[str, Array]:
        result = predict_one(*inputs)
        return {name: getattr(result, name)[0] for name in output_names}

    @compile_notice.describe_program("the program to export")
    def map_radiographs(*batch: Array) -> dict[str, Array]:
        return lax.map(select, batch)

    return map_radiographs


def convert(program: Program, batch: Sequence[np.ndarray]) -> ExportedProgram:
    """Export a program for any of PLATFORMS.

    The program is traced twice, with the convolutions for CPUs and with those of XLA; both versions share the weights.

    Args:
        program: of `build`.
        batch: arrays with the shapes and types of its inputs; the batch size of the exported program is symbolic.
    """

    def trace(platform: str) -> Callable[..., dict[str, Array]]:
        def run(*batch: Array) -> dict[str, Array]:
            with traced_for(platform):
                return program.run(*batch)

        return run

    def run(*batch: Array) -> dict[str, Array]:
        return lax.platform_dependent(*batch, cpu=trace("cpu"), default=trace("accelerator"))

    (count,) = export.symbolic_shape("B")
    shapes = [jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype) for x in batch]
    exported = export.export(jax.jit(run), platforms=PLATFORMS)(*shapes)
    return ExportedProgram(bytes(exported.serialize()), program.input_names)


def _describe(avals: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"type": str(aval.dtype), "shape": [d if isinstance(d, int) else str(d) for d in aval.shape]}
        for name, aval in avals.items()
    }
