"""All that a run does with a radiograph, as one StableHLO program with the weights in it (`jax.export`)."""

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


class ExportedProgram(NamedTuple):
    """A serialised program."""

    data: bytes  # of `jax.export.Exported.serialize`
    inputs: tuple[str, ...]
    unit: float = 1.0  # of numbers, shares and nats: one a hundred times smaller need not be exact to as many digits

    def run(self, *batch: np.ndarray) -> dict[str, Array]:
        """Read it back, and run it here."""
        return export.deserialize(bytearray(self.data)).call(*batch)

    def describe(self) -> dict[str, Any]:
        """Platforms, and the name, type and shape of all that goes in and comes out."""
        exported = export.deserialize(bytearray(self.data))
        outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        return {
            "platforms": exported.platforms,
            "inputs": _describe(dict(zip(self.inputs, exported.in_avals, strict=True))),
            "outputs": _describe(outputs),
        }


def build(config: ConfigDict, variables: Mapping[str, Any]) -> Callable[..., dict[str, Array]]:
    """The program of a run: uint8 [B, S, S], of a classifier with uint32 [B] of `batch.hash_images`, -> what is found.

    Radiographs are taken one by one, so that any number of them will do.

    Args:
        config: of the run.
        variables: as for `pipeline.diagnose`, or `ensemble.diagnose` where several networks vote together.

    Returns:
        The program, which gives the fields of `pipeline.Diagnosis` but for the gate's evidence, or those of
        `pipeline.Segmentation`, each under its name.
    """
    segmenter, settings = from_config.segmenter(config), from_config.inference_config(config, config.patches.count)

    def segment(image: Array) -> pipeline.LungSegmentation:
        return pipeline.segment(segmenter, variables["segmenter"], image[None], settings)

    def diagnose(image: Array, image_id: Array) -> pipeline.Prediction:
        examine = ensemble.predict_ensemble if config.evaluation.members > 1 else pipeline.predict
        keys = pipeline.image_keys(config.seed, image_id[None])
        return examine(segmenter, from_config.classifier(config), variables, image[None], keys, settings)

    def run(*batch: Array) -> dict[str, Array]:
        def one(given: tuple[Array, ...]) -> dict[str, Array]:
            found = (segment if config.task == "segment" else diagnose)(*given)
            return {field: x[0] for field, x in found._asdict().items() if field != "evidence"}

        return lax.map(one, batch)

    return run


def convert(program: Callable[..., dict[str, Array]], batch: tuple[np.ndarray, ...]) -> ExportedProgram:
    """A program of `build` for any number of radiographs such as those of a batch, on any of PLATFORMS.

    It is traced twice, with the convolutions in the forms of a CPU and in XLA's own; both share the weights.
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
