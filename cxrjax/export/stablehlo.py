"""The complete prediction of a run as one StableHLO program that contains the weights (`jax.export`)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array, export, lax
from ml_collections import ConfigDict

from cxrjax.inference import ensemble, pipeline
from cxrjax.models import from_config
from cxrjax.runtime.platform import traced_for

PLATFORMS = ("cpu", "cuda", "tpu")

# Field of `pipeline.Prediction` -> name of the program's output.
PREDICTION_OUTPUTS = {
    "votes": "votes",
    "probabilities": "probabilities",
    "label": "finding",
    "vote_fraction": "agreement",
    "saliency": "map",
    "lung_mask": "mask",
    "lung_confidence": "lung_confidence",
    "expected_entropy": "entropy_within",
    "mutual_information": "entropy_between",
}
# Field of `pipeline.LungSegmentation` -> name of the program's output.
SEGMENTATION_OUTPUTS = {
    "lung_mask": "lungs",
    "label_map": "structures",
    "confidence": "confidence",
    "has_lungs": "found",
}


class ExportedProgram(NamedTuple):
    """Serialized program."""

    data: bytes  # of `jax.export.Exported.serialize`
    input_names: tuple[str, ...]
    unit: float = 1.0  # smallest scale of the differences: outputs are counts, fractions and nats, and a value of 0.01
    # need not agree to as many digits as one of 1

    def run(self, *batch: np.ndarray) -> dict[str, Array]:
        """Deserialize the program and run it: output name -> array."""
        return export.deserialize(bytearray(self.data)).call(*batch)

    def describe(self) -> dict[str, Any]:
        """Return the platforms, and the name, type and shape of each input and output."""
        exported = export.deserialize(bytearray(self.data))
        outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        return {
            "platforms": exported.platforms,
            "inputs": _describe(dict(zip(self.input_names, exported.in_avals, strict=True))),
            "outputs": _describe(outputs),
        }


def build(config: ConfigDict, variables: Mapping[str, Any]) -> Callable[..., dict[str, Array]]:
    """Return the program of a run: radiographs uint8 [B, S, S] -> outputs by name.

    For a classifier, the program has a second input, uint32 [B] of `batch.hash_images`. Radiographs are processed one
    by one, so that B is arbitrary.

    Args:
        config: config of the run.
        variables: weights, as for `pipeline.predict`, or for `ensemble.predict_ensemble` if the run has an ensemble.

    Returns:
        The program; its outputs are the fields of `pipeline.Prediction` without those of the OOD detector, or for a
        segmenter the fields of `pipeline.LungSegmentation`.
    """
    segmenter = from_config.segmenter(config)
    settings = from_config.inference_config(config, config.patches.count)

    def segment(image: Array) -> pipeline.LungSegmentation:
        return pipeline.segment(segmenter, variables["segmenter"], image[None], settings)

    def predict(image: Array, image_id: Array) -> pipeline.Prediction:
        predict_batch = ensemble.predict_ensemble if config.evaluation.members > 1 else pipeline.predict
        keys = pipeline.image_keys(config.seed, image_id[None])
        return predict_batch(segmenter, from_config.classifier(config), variables, image[None], keys, settings)

    def run(*batch: Array) -> dict[str, Array]:
        def predict_one(inputs: tuple[Array, ...]) -> dict[str, Array]:
            outputs = (segment if config.task == "segment" else predict)(*inputs)
            names = SEGMENTATION_OUTPUTS if config.task == "segment" else PREDICTION_OUTPUTS
            return {name: getattr(outputs, field)[0] for field, name in names.items()}

        return lax.map(predict_one, batch)

    return run


def convert(program: Callable[..., dict[str, Array]], batch: tuple[np.ndarray, ...]) -> ExportedProgram:
    """Export a program of `build` for any of PLATFORMS.

    The program is traced twice, with the convolutions for CPUs and with those of XLA; both versions share the weights.

    Args:
        program: the program of `build`.
        batch: arrays with the shapes and types of its inputs; the batch size of the exported program is symbolic.
    """

    def trace(platform: str) -> Callable[..., dict[str, Array]]:
        def run(*batch: Array) -> dict[str, Array]:
            with traced_for(platform):
                return program(*batch)

        return run

    def run(*batch: Array) -> dict[str, Array]:
        return lax.platform_dependent(*batch, cpu=trace("cpu"), default=trace("accelerator"))

    (count,) = export.symbolic_shape("B")
    shapes = [jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype) for x in batch]
    exported = export.export(jax.jit(run), platforms=PLATFORMS)(*shapes)
    return ExportedProgram(bytes(exported.serialize()), ("images", "image_ids")[: len(batch)])


def _describe(avals: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"type": str(aval.dtype), "shape": [d if isinstance(d, int) else str(d) for d in aval.shape]}
        for name, aval in avals.items()
    }
