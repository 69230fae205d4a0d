"""Export of a run for other programs: a folder with all files that they need.

predict.stablehlo   for a classifier: radiographs to labels with votes and saliency maps; for a segmenter,
                    segment.stablehlo
segmenter.onnx      a network alone; also classifier.onnx, or for an ensemble classifier_1.onnx …
manifest.json       the inputs and outputs of each file, the steps before and after, and the thresholds that decide; the
                    ONNX files have the same sections as metadata, without those on the files

The weights are in the files that use them, and all computations are in float32, whatever the precision of the run. Each
file is read back and run on synthetic input before the folder is created, and its outputs agree with the run's
networks.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cxrjax.export import manifest, onnx, stablehlo, verify
from cxrjax.inference.functional import PipelineSpec
from cxrjax.inference.loaded_run import load_variables
from cxrjax.runs import calibration, notice, run_dir
from cxrjax.runtime import atomic_files

ONNX_PACKAGES = ("jax2onnx", "onnxruntime")  # cxrjax[onnx]


def export_model(workdir: Path, target: Path) -> list[str]:
    """Export the best networks of a run, alone and as a program for radiographs.

    Args:
        workdir: the run directory.
        target: the folder to write, which must not exist or be empty.

    Returns:
        The names of the files in the folder; there are no ONNX files if `ONNX_PACKAGES` are not installed.

    Raises:
        RunError: the run has no trained network.
        ExportMismatchError: the outputs of a file, read back, differ from those of the run.
        OSError: the folder is not empty, or cannot be written. After any error it is unchanged.
    """
    config = replace(run_dir.load_config(workdir), precision="float32")
    step = run_dir.load_step(workdir, config)
    spec = PipelineSpec.from_config(config)
    variables = load_variables(workdir, config, spec.num_members)
    stored_calibration = calibration.load(workdir, step) if calibration.matches_step(workdir, step) else None
    settings = manifest.describe_model(config, spec, stored_calibration, notice.load(workdir), step)
    metadata = manifest.to_metadata(settings)
    descriptions = {}
    differences = {}
    with atomic_files.atomic_dir(target) as folder:

        def save(
            name: str,
            exported: stablehlo.ExportedProgram | onnx.OnnxModel,
            inputs: Sequence[np.ndarray],
            expected: Mapping[str, Any],
        ) -> None:
            (folder / name).write_bytes(exported.data)
            descriptions[name] = exported.describe()
            differences[name] = verify.check_outputs(name, exported.run(*inputs), expected, exported.unit)

        program = stablehlo.build(spec, variables)
        synthetic = verify.synthetic_batch(spec.input.size)
        batch = [synthetic[name] for name in program.input_names]
        save(program.file_name, stablehlo.convert(program, batch), batch, jax.jit(program.run)(*batch))
        if all(importlib.util.find_spec(package) for package in ONNX_PACKAGES):
            for name, network, function in onnx.list_networks(spec, variables):
                x = verify.synthetic_input(network)
                save(f"{name}.onnx", onnx.convert(function, network, metadata), (x,), jax.jit(function)(x))
        settings |= {"files": descriptions, "verification": verify.summary(differences)}
        (folder / "manifest.json").write_text(json.dumps(settings, indent=2) + "\n")
    return [*descriptions, "manifest.json"]
