"""The files of an out-of-distribution detector in a run directory: written, and read back."""

import io
import json
import zipfile
from pathlib import Path

import jax
import numpy as np

from cxrjax.inference import gaussian, ood
from cxrjax.io import json_file
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files
from cxrjax.runtime.text import SHORT_LENGTH, printable

_STEP = "step"

_GATE_REMEDY = "--mode=fit_gate fits it again"


_LARGEST_GATE = 2**30  # bytes; the largest network's takes a hundredth of that


_CLOUDS = ("layout", "features")


def has_gate(workdir: Path) -> bool:
    """Whether a run's gate was fitted."""
    return (workdir / run_dir.GATE).exists()


def has_gate_of(workdir: Path, step: int) -> bool:
    """Whether a run's gate was fitted, and to the network of a training step."""
    return has_gate(workdir) and _read_gate(workdir).get(_STEP) == step


def save_gate(workdir: Path, fitted: ood.OODDetector, step: int, flagged: float | None = None) -> None:
    """Write gate.npz, and gate.json: the network's step, the rules' thresholds, and the limits of the measures.

    With them the share that it may flag in error, where that is known (`ood.expect_flagged`).
    """
    arrays = {"/".join(str(key.name) for key in path): leaf for path, leaf in jax.tree.leaves_with_path(fitted)}
    npz = io.BytesIO()
    np.savez(npz, **arrays, **{_STEP: step})
    thresholds = dict(zip(ood.CRITERIA, fitted.thresholds.tolist(), strict=True))
    said = {"step": step, "thresholds": thresholds, "limits": ood.feature_limits(fitted)}
    text = json.dumps(said | ({} if flagged is None else {"flagged_in_error": flagged}), indent=2)
    atomic_files.atomic_write(workdir / "gate.json", (text + "\n").encode())
    atomic_files.atomic_write(workdir / run_dir.GATE, npz.getvalue())


def load_gate(workdir: Path, step: int) -> ood.OODDetector | None:
    """The gate of a run; None where none was fitted.

    Args:
        workdir: the run directory.
        step: of training, of the network whose features it is to judge.

    Raises:
        UnfitRun: it was fitted to another network.
        DamagedFileError: gate.npz is damaged.
    """
    if not has_gate(workdir):
        return None
    arrays = _read_gate(workdir)
    if arrays.get(_STEP) != step:
        raise run_dir.RunError(
            f"{workdir / run_dir.GATE}: was not fitted to the network of training step {step}; --mode=fit_gate fits it again"
        )
    try:
        clouds = {
            name: gaussian.GaussianFit(*(arrays[f"{name}/{part}"] for part in gaussian.GaussianFit._fields))
            for name in _CLOUDS
        }
        return ood.OODDetector(
            **{name: arrays[name] for name in ood.OODDetector._fields if name not in _CLOUDS}, **clouds
        )
    except KeyError as error:
        raise json_file.DamagedFileError(workdir / run_dir.GATE, f"it has no {error}", _GATE_REMEDY) from None


def _read_gate(workdir: Path) -> dict[str, np.ndarray]:
    """Return the arrays of gate.npz.

    Raises:
        DamagedFileError: it is damaged.
    """
    path = workdir / run_dir.GATE
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST_GATE:
                raise json_file.DamagedFileError(path, "it says that it is far larger than a gate", _GATE_REMEDY)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (json_file.DamagedFileError, PermissionError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy have no base of their own for what damaged files raise
        reason = "it is no archive of numbers" if isinstance(error, ValueError) else printable(error, SHORT_LENGTH)
        raise json_file.DamagedFileError(path, reason, _GATE_REMEDY) from None
