"""Files of an OOD detector in a run directory: ood_detector.npz and ood_detector.json."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cxrjax.inference import gaussian, ood
from cxrjax.io import json_file
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files, former_names
from cxrjax.runtime.text import SHORT_LENGTH, printable

_STEP = "step"
_REMEDY = "--mode=fit_ood fits it again"
_MAX_BYTES = 2**30  # that of the largest network takes a hundredth of this
_GAUSSIANS = ("layout", "features")


def has_detector(workdir: Path) -> bool:
    """Return whether a run has an OOD detector."""
    return _path(workdir).exists()


def is_fitted_to(workdir: Path, step: int) -> bool:
    """Return whether a run has an OOD detector that was fitted to the network of a training step."""
    return has_detector(workdir) and _read(workdir).get(_STEP) == step


def save(workdir: Path, detector: ood.OODDetector, step: int, false_alarm_rate: float | None = None) -> None:
    """Write ood_detector.npz and ood_detector.json.

    ood_detector.json has the training step of the network, the thresholds of the criteria, the limits of the lung
    features and, if it is known, the expected rate of false alarms (`ood.expected_flag_rate`).
    """
    arrays: dict[str, Any] = {}
    for path, leaf in jax.tree.leaves_with_path(detector):
        arrays["/".join(key.name for key in path)] = leaf
    npz = io.BytesIO()
    arrays[_STEP] = step
    np.savez(npz, **arrays)
    thresholds = dict(zip(ood.CRITERIA, detector.thresholds.tolist(), strict=True))
    summary = {"step": step, "thresholds": thresholds, "limits": ood.feature_limits(detector)}
    if false_alarm_rate is not None:
        summary["expected_false_alarm_rate"] = false_alarm_rate
    text = json.dumps(summary, indent=2)
    atomic_files.atomic_write(workdir / "ood_detector.json", (text + "\n").encode())
    atomic_files.atomic_write(workdir / run_dir.OOD_DETECTOR, npz.getvalue())


def load(workdir: Path, step: int) -> ood.OODDetector | None:
    """Return the OOD detector of a run; None if the run has none.

    Args:
        workdir: Run directory.
        step: Training step of the network whose features the detector is applied to.

    Raises:
        RunError: The detector was fitted to another network.
        DamagedFileError: ood_detector.npz is damaged.
    """
    if not has_detector(workdir):
        return None
    arrays = _read(workdir)
    if arrays.get(_STEP) != step:
        raise run_dir.RunError(
            f"{_path(workdir)}: was not fitted to the network of training step {step}; --mode=fit_ood fits it again"
        )
    try:
        gaussians: dict[str, Any] = {
            name: gaussian.GaussianFit(*(arrays[f"{name}/{part}"] for part in gaussian.GaussianFit._fields))
            for name in _GAUSSIANS
        }
        return ood.OODDetector(
            **{name: arrays[name] for name in ood.OODDetector._fields if name not in _GAUSSIANS},
            **gaussians,
        )
    except KeyError as error:
        raise json_file.DamagedFileError(_path(workdir), f"it has no array {error}", _REMEDY) from None


def _path(workdir: Path) -> Path:
    return former_names.find(workdir, run_dir.OOD_DETECTOR)


def _read(workdir: Path) -> dict[str, np.ndarray]:
    """Return the arrays of ood_detector.npz.

    Raises:
        DamagedFileError: it is damaged.
    """
    path = _path(workdir)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MAX_BYTES:
                raise json_file.DamagedFileError(path, "its content is far larger than an OOD detector", _REMEDY)
        with np.load(path, allow_pickle=False) as arrays:
            return former_names.upgrade(dict(arrays), path.name)
    except (json_file.DamagedFileError, PermissionError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise errors without a common base for damaged files
        reason = "it is not an archive of arrays" if isinstance(error, ValueError) else printable(error, SHORT_LENGTH)
        raise json_file.DamagedFileError(path, reason, _REMEDY) from None
