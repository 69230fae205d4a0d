"""Run directory: one folder with everything needed to evaluate or apply a trained network.

config.json           every setting
checkpoints/          last/ (to resume from) and best/ (to use), by Orbax
metrics.jsonl         one line per epoch; events.* are the same for TensorBoard
starts.jsonl          one line per start of the training: command, versions, git commit, hardware; log.txt for reading
training_labels.json  classifier: number of training radiographs by source and label
segmenter/            classifier with a segmenter: config.json and checkpoints/best/ of the segmenter it was trained
with lungs/                lung masks of training and validation, cached to resume training; may be removed at any time
ood_detector.npz      classifier: its out-of-distribution detector (`inference.ood`); ood_detector.json is readable
evaluation/           written by --mode=evaluate: one folder per split, for another data set DATA-SPLIT
calibration.json      classifier: temperature and operating points, fitted to its validation radiographs
saliency/             written by --mode=evaluate_saliency
"""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import jax

from cxrjax.config import Config, schema
from cxrjax.io import json_file
from cxrjax.models import from_config
from cxrjax.runs.checkpoints import Checkpoints, snapshot_tag
from cxrjax.runtime import atomic_files
from cxrjax.runtime.errors import CxrjaxError

CONFIG = "config.json"
SEGMENTER = "segmenter"
OOD_DETECTOR = "ood_detector.npz"
LUNGS = "lungs"
_REMEDY = "restore it, or train again in another folder"
OTHER_FOLDER = "name another --workdir"
_REQUIRED_KEYS = {"task", "data.dir", "training.epochs"}  # settings in the config.json of every version
_MAX_LISTED = 10  # settings listed in an error message
_IO_KEYS = ("data.cache_limit_mb", "data.num_threads")  # settings of reading data, which do not change results
SEGMENTER_KEYS = ("architecture", "size", "channels", "normalization", "initializer", "dropout")
_DEFAULTS_OF_OLD_RUNS = {  # settings that runs of older versions lack, with the behavior of those versions
    "image.borders": "bottom",
    "segmenter.initializer": "he_normal",
    "classifier.initializer": "he_normal",
    "patches.center_crop": 0.0,
    "training.augment": "all",
    "training.augment_probability": 1.0,
    "training.unfreeze_augment_scale": 1.0,
    "augmentation.probability": 1.0,
    "augmentation.dihedral": 0.0,
    "augmentation.contrast_about": "middle",
    "saliency.scaling": "peak",
}


class RunError(CxrjaxError):
    """A run directory that cannot be used; the message has its path and the reason."""


def create_or_resume(workdir: Path, config: Config) -> None:
    """Create the run directory, or check that an existing one has the same settings, except those of reading data.

    Raises:
        RunError: the directory has other settings, which the message lists, or was written by another version.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / CONFIG
    if not path.exists():
        atomic_files.atomic_write(path, (json.dumps(config.to_dict(), indent=2) + "\n").encode())
        return
    existing = schema.flatten(load_config(workdir).to_dict())
    requested = schema.flatten(config.to_dict())
    differing = [key for key, value in requested.items() if existing[key] != value and key not in _IO_KEYS]
    if differing:
        key = differing[0]
        alternative = (
            "; or train its network further elsewhere: --mode=export --output=WEIGHTS.safetensors, and then "
            "--config.pretrained=WEIGHTS.safetensors with another --workdir"
            if _best_steps(workdir)
            else ""
        )
        raise RunError(
            f"{workdir}: was started with {key}={existing[key]!r}, and now {requested[key]!r} is requested; "
            f"resume with the old {_format_flags(existing, differing)}, or remove {workdir}{alternative}"
        )


def remove_unstarted(workdir: Path, config: Config) -> None:
    """Remove the files of a training with other settings that ended before its first step, as by an early error.

    A run directory with any training progress is not changed.

    Raises:
        RunError: the folder has a config.json that is not that of a run: it belongs to another program.
        DamagedFileError: config.json is damaged.
    """
    path = workdir / CONFIG
    if not path.exists() or any((workdir / "checkpoints").glob("*/[0-9]*")) or (workdir / "metrics.jsonl").exists():
        return
    copied_keys = {f"segmenter.{key}" for key in SEGMENTER_KEYS} if from_config.classes(config) else set()
    existing = _DEFAULTS_OF_OLD_RUNS | schema.flatten(json_file.read(path, OTHER_FOLDER))
    if not existing.keys() >= _REQUIRED_KEYS:
        raise RunError(f"{path}: this is not the config of a run; {OTHER_FOLDER}")
    requested = schema.flatten(json.loads(config.to_json()))
    if all(existing.get(key) == value for key, value in requested.items() if key not in {*_IO_KEYS, *copied_keys}):
        return
    path.unlink()
    (workdir / "training_labels.json").unlink(missing_ok=True)
    for name in ("checkpoints", SEGMENTER, LUNGS):
        shutil.rmtree(workdir / name, ignore_errors=True)


def load_config(workdir: Path) -> Config:
    """Return the settings of a run; settings newer than the run have the values of its behavior.

    Raises:
        RunError: there is no run in the folder, or its config.json is damaged or of another version.
    """
    path = workdir / CONFIG
    if not path.exists():
        raise RunError(f"{workdir}: there is no run here (no {CONFIG})")
    settings = json_file.read(path, _REMEDY)
    for key, value in _DEFAULTS_OF_OLD_RUNS.items():
        section, name = key.split(".")
        section_settings = settings.setdefault(section, {})
        if isinstance(section_settings, dict):
            section_settings.setdefault(name, value)
    try:
        return schema.from_dict(settings)
    except schema.InvalidSettingError as error:
        raise RunError(f"{path}: {error}; it was changed, or written by another version, which can read it") from None


def segmenter_dir(workdir: Path, config: Config) -> Path:
    """Return the run directory of a run's segmenter: the run itself, or the copy inside a classifier's run."""
    return workdir if config.task == "segment" else workdir / SEGMENTER


def load_segmenter(workdir: Path, config: Config) -> dict[str, Any] | None:
    """Return the best weights of a segmenter's run; None where the config is that of a classifier without segmenter."""
    return None if from_config.segmenter(config) is None else _load_best(workdir)


def load_networks(workdir: Path, config: Config) -> dict[str, Any]:
    """Return the best weights of a run: `{"segmenter": …}` (see `load_segmenter`), and "classifier" for a classifier.

    Raises:
        RunError: the run has no trained network yet.
    """
    networks = {"segmenter": load_segmenter(segmenter_dir(workdir, config), config)}
    if config.task == "segment":
        return networks
    return networks | {"classifier": _load_best(workdir)}


def load_step(workdir: Path, config: Config) -> int:
    """Return the training step of the network of `load_networks`; for an ensemble, that of its newest member.

    Raises:
        RunError: the run has no trained network yet.
    """
    folder = find_checkpoints(workdir)
    tag = "best" if config.evaluation.ensemble_size == 1 else snapshot_tag(len(list(folder.glob("snapshot_*"))))
    with Checkpoints(folder) as checkpoints:
        step = checkpoints.step(tag)
    assert step is not None, folder
    return step


def _load_best(workdir: Path) -> dict[str, Any]:
    with Checkpoints(find_checkpoints(workdir)) as checkpoints:
        return jax.device_put(checkpoints.restore("best"))


def find_checkpoints(workdir: Path) -> Path:
    """Return the folder of a run's checkpoints.

    Raises:
        RunError: the run has no trained network yet.
    """
    folder = workdir / "checkpoints"
    if not _best_steps(workdir):
        raise RunError(f"{workdir}: there is no trained network here yet (no checkpoints/best)")
    return folder


def _format_flags(settings: dict[str, Any], keys: list[str]) -> str:
    """Return settings as command-line flags, the first `_MAX_LISTED` of them."""
    values = {key: settings[key] for key in keys[:_MAX_LISTED]}
    words = [shlex.quote(f"--config.{key}={value}") for key, value in values.items()]
    more = f" and {len(keys) - len(words)} more" if len(keys) > len(words) else ""
    return f"{'setting' if len(keys) == 1 else 'settings'} ({' '.join(words)}{more})"


def _best_steps(workdir: Path) -> list[Path]:
    return list((workdir / "checkpoints" / "best").glob("[0-9]*"))
