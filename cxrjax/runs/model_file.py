"""Model files: a trained run in one safetensors file, to pass on.

Tensors are the variables of the run's networks, named by their checkpoint ("best/params/stem/kernel", of the segmenter
of a classifier's run "segmenter/best/params/stem/kernel"), and the bytes of the OOD detector's file. The metadata has
the run's JSON files as texts, named by their paths in the run, and the training steps of the checkpoints.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cxrjax.io import json_file
from cxrjax.pretrained import formats, safetensors_file
from cxrjax.runs import notice, run_dir
from cxrjax.runs.checkpoints import Checkpoints
from cxrjax.runtime import atomic_files, former_names
from cxrjax.runtime.text import SHORT_LENGTH, printable

DTYPES = ("float32", "float16")
_FORMAT = "cxrjax-run"
_VERSION = "1"
_STEPS = "steps"
AUDITS = ("audit/test/audit.json", "audit/val/audit.json")
_TEXT_FILES = (run_dir.CONFIG, "training_labels.json", "calibration.json", "ood_detector.json", notice.NAME, *AUDITS)
_BINARY_FILES = (run_dir.OOD_DETECTOR,)
_REMEDY = "get it again from where it came"


def pack(workdir: Path, target: Path, dtype: str = "float32") -> None:
    """Write the networks of a run, and what was fitted to them, as one file.

    Args:
        workdir: the run directory.
        target: the file, which must not exist.
        dtype: one of DTYPES, type of the parameters. Running means and variances are float32 in any case.

    Raises:
        RunError: there is no run, or it has no trained network.
        ValueError: `dtype` is unknown.
        OSError: the file exists already, or cannot be written.
    """
    if dtype not in DTYPES:
        raise ValueError(f"there is no dtype {dtype!r} of model files; there are {', '.join(DTYPES)}")
    config = run_dir.load_config(workdir)
    run_dir.load_step(workdir, config)  # raises where nothing was trained
    tensors: dict[str, np.ndarray] = {}
    metadata = {"format": _FORMAT, "version": _VERSION}
    steps = {}
    for run in ("", run_dir.SEGMENTER):
        folder = workdir / run
        for name in _TEXT_FILES:
            path = former_names.find(folder, name)
            if path.exists():
                metadata[_join(run, name)] = json.dumps(json_file.read(path, _REMEDY))
        for name in _BINARY_FILES:
            path = former_names.find(folder, name)
            if path.exists():
                tensors[_join(run, name)] = np.frombuffer(path.read_bytes(), np.uint8)
        for tag in _tags(folder):
            checkpoint = _join(run, tag)
            with Checkpoints(folder / "checkpoints") as checkpoints:
                steps[checkpoint] = checkpoints.step(tag)
                variables = checkpoints.restore(tag)
            arrays: dict[str, np.ndarray] = flatten_dict(variables, sep="/")  # pyright: ignore[reportAssignmentType]
            for path, array in arrays.items():
                is_parameter = path.startswith("params/")
                tensors[f"{checkpoint}/{path}"] = array.astype(np.dtype(dtype)) if is_parameter else array
    metadata[_STEPS] = json.dumps(steps)
    safetensors_file.write(target, tensors, metadata)


def is_model_file(path: Path) -> bool:
    """Return whether a file is a model file, and not one of weights alone.

    Raises:
        WeightFormatError: the file cannot be read.
    """
    return formats.read_metadata(path).get("format") == _FORMAT


def unpack(path: Path, target: Path) -> None:
    """Write the run directory that a model file was made from, with float32 parameters.

    Args:
        path: the file.
        target: absent, or an empty folder.

    Raises:
        WeightFormatError: the file cannot be read, or is not a model file.
        RunError: its config is of another version.
        OSError: the folder is not empty, or cannot be written.
    """
    metadata = formats.read_metadata(path)
    if not is_model_file(path):
        raise formats.WeightFormatError(
            path,
            "these are the weights of a network without the settings of a run; "
            "cxrjax.models.create(pretrained=…) and --config.pretrained=… read them",
        )
    if metadata.get("version") != _VERSION:
        raise formats.WeightFormatError(path, "it was written by a newer version of cxrjax, which can read it")
    tensors = formats.read_weights(path)
    steps = json_file.parse(metadata.get(_STEPS, "").encode(), path, _REMEDY)
    if run_dir.CONFIG not in metadata or "best" not in steps:
        raise formats.WeightFormatError(path, "it lacks the config or the network of a run")
    with atomic_files.atomic_dir(target) as folder:
        for run in ("", run_dir.SEGMENTER):
            _unpack_files(folder, run, metadata, tensors)
        for name, step in steps.items():
            run, _, tag = name.rpartition("/")
            if run not in ("", run_dir.SEGMENTER) or not _is_tag(tag) or not isinstance(step, int):
                raise formats.WeightFormatError(path, f"it has no checkpoint {printable(name, SHORT_LENGTH)} of a run")
            prefix = f"{name}/"
            flat: Any = {
                key.removeprefix(prefix): array.astype(np.float32)
                for key, array in tensors.items()
                if key.startswith(prefix)
            }
            with Checkpoints(folder / run / "checkpoints") as checkpoints:
                checkpoints.save(tag, step, unflatten_dict(flat, sep="/"))
        try:
            run_dir.load_step(folder, run_dir.load_config(folder))
        except run_dir.RunError as error:
            raise run_dir.RunError(str(error).replace(str(folder), str(path))) from None


def _unpack_files(folder: Path, run: str, metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> None:
    for name in _TEXT_FILES:
        if _join(run, name) in metadata:
            file = folder / run / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(metadata[_join(run, name)] + "\n", encoding="utf-8")
    for name in _BINARY_FILES:
        if _join(run, name) in tensors:
            (folder / run / name).write_bytes(tensors[_join(run, name)].tobytes())


def _tags(folder: Path) -> list[str]:
    """Return the tags of the checkpoints for prediction: the best network, and the members of an ensemble."""
    return sorted(path.name for path in (folder / "checkpoints").glob("*") if _is_tag(path.name))


def _is_tag(text: str) -> bool:
    return text == "best" or text.startswith("snapshot_") and text.removeprefix("snapshot_").isdecimal()


def _join(run: str, name: str) -> str:
    return f"{run}/{name}" if run else name
