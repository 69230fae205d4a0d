"""A run for other programs than this: a folder that holds all they need.

diagnose.stablehlo  of a classifier: radiographs in, findings with votes and maps out; of a segmenter segment.stablehlo
segmenter.onnx      a network alone; so classifier.onnx, or of networks that vote together classifier_1.onnx …
settings.json       what each reads and gives, and what has to be done before and after

Weights are in the files that use them, and all is computed in float32, whatever the run's precision. Each file has been
read back and run on made-up input before the folder is there, and gives what the run's networks give.
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cxrjax.export import manifest, onnx, stablehlo, verify
from cxrjax.inference import ensemble
from cxrjax.runs import calibration, run_dir
from cxrjax.runtime import atomic_files

ONNX_PACKAGES = ("jax2onnx", "onnxruntime")  # cxrjax[onnx]


def export_model(workdir: Path, target: Path) -> list[str]:
    """Write the best networks of a run, and what they make of a radiograph, for programs that are not cxrjax.

    Args:
        workdir: the run directory.
        target: a folder, not there yet or empty.

    Returns:
        The names of the files in it; no ONNX where `ONNX_PACKAGES` are not installed.

    Raises:
        UnfitRun: the run has no trained network.
        UnequalExport: a file, read back, does not give what the run gives.
        OSError: the folder is not empty, or cannot be written. After any error it is as it was.
    """
    config = run_dir.load_config(workdir)
    config.precision = "float32"
    step = run_dir.load_step(workdir, config)
    variables = _load(workdir, config)
    known = calibration.load(workdir, step) if calibration.matches_step(workdir, step) else {"temperature": None}
    described, differences = {}, {}
    with atomic_files.atomic_dir(target) as folder:

        def keep(
            name: str, exported: stablehlo.ExportedProgram | onnx.OnnxModel, given: tuple, wanted: Mapping[str, Any]
        ) -> None:
            (folder / name).write_bytes(exported.data)
            described[name] = exported.describe()
            differences[name] = verify.assert_close(name, exported.run(*given), wanted, exported.unit)

        program, given = stablehlo.build(config, variables), verify.synthetic_batch(config)
        whole_run = "segment.stablehlo" if config.task == "segment" else "diagnose.stablehlo"
        keep(whole_run, stablehlo.convert(program, given), given, jax.jit(program)(*given))
        if all(importlib.util.find_spec(package) for package in ONNX_PACKAGES):
            for name, network, function in onnx.list_networks(config, variables):
                x = verify.synthetic_input(network)
                keep(f"{name}.onnx", onnx.convert(function, network), (x,), jax.jit(function)(x))
        told = manifest.describe_model(config, known["temperature"], step)
        told |= {"files": described, "proof": verify.summary(differences)}
        (folder / "settings.json").write_text(json.dumps(told, indent=2) + "\n")
    return [*described, "settings.json"]


def _load(workdir: Path, config: ConfigDict) -> dict[str, Any]:
    """The weights of a run, of a classifier's members those of all."""
    variables = run_dir.load_networks(workdir, config)
    if config.task == "classify" and config.evaluation.members > 1:
        variables["classifier"] = ensemble.load(workdir, config.evaluation.members)
    return jax.tree.map(np.asarray, variables)
