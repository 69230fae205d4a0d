"""A run directory: everything that evaluating or applying a trained network needs, in one folder.

config.json      every setting
checkpoints/     last/ (to go on from) and best/ (to use), by Orbax
metrics.jsonl    a line an epoch; events.* the same for TensorBoard
training_labels.json  of a classifier: the labels of training by source
segmenter/       of a classifier that has one: config.json and checkpoints/best/ of the segmenter it was trained with
lungs/           what that found in training and validation, for a training that goes on; may be removed at any time
gate.npz         of a classifier: which pictures it is for (cxrjax/inference/ood.py); gate.json, the same to be read by people
evaluation/      written by --mode=evaluate: a folder a split, of another data set DATA-SPLIT
calibration.json of a classifier: temperature and operating points, fitted to its validation radiographs
maps/            written by --mode=check_maps
"""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from cxrjax import config_schema
from cxrjax.io import json_file
from cxrjax.models import from_config
from cxrjax.runs.checkpoints import Checkpoints, snapshot_tag
from cxrjax.runtime import atomic_files

CONFIG = "config.json"
SEGMENTER, GATE, LUNGS = "segmenter", "gate.npz", "lungs"
_REMEDY = "restore it, or train again in another folder"
_OTHER_FOLDER = "name another --workdir"
_REQUIRED_KEYS = {"task", "data.directory", "training.epochs"}  # settings that every version's config.json has
_STEP = "step"
_MAX_LISTED = 10  # settings that an error message lists
_IO_KEYS = ("data.held", "data.readers")  # how data are read, which changes no result
_SEGMENTER_KEYS = ("architecture", "size", "channels", "normalise", "initializer", "dropout")
_IMAGE_KEYS = ("gamma", "equalise", "borders")  # in which a classifier's radiographs are those of its segmenter
_DEFAULTS_OF_OLD_RUNS = {  # settings that runs of older versions lack, and what those did
    "image.borders": "bottom",
    "segmenter.initializer": "he_normal",
    "classifier.initializer": "he_normal",
    "patches.center_crop": 0.0,
    "training.augment": "all",
    "training.augmented": 1.0,
    "training.unfreeze_augmented": 1.0,
    "augmentation.each": 1.0,
    "augmentation.dihedral": 0.0,
    "augmentation.contrast_about": "middle",
    "saliency.scaling": "peak",
}


class RunError(Exception):
    """A run directory that cannot be used; the message names it and says why."""


def create_or_resume(workdir: Path, config: ConfigDict) -> None:
    """Make the run directory, or see that it was begun with the same settings, but for how its data are read.

    Raises:
        UnfitRun: it was begun with other settings, which are named, or by another version.
        UnfitSetting: a setting is not what it may be.
    """
    check_config(config)
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / CONFIG
    if not path.exists():
        atomic_files.atomic_write(path, (json.dumps(_to_json_dict(config), indent=2) + "\n").encode())
        return
    begun = config_schema.flatten(_to_json_dict(load_config(workdir)))
    wanted = config_schema.flatten(_to_json_dict(config))
    differing = [key for key, value in wanted.items() if begun[key] != value and key not in _IO_KEYS]
    if differing:
        key = differing[0]
        further = (
            "; or train its network further elsewhere: --mode=export --output=WEIGHTS.safetensors, and then "
            "--config.init=WEIGHTS.safetensors with another --workdir"
            if _best_steps(workdir)
            else ""
        )
        raise RunError(
            f"{workdir}: was begun with {key}={begun[key]!r}, and is now given {wanted[key]!r}; "
            f"go on with the old {_format_flags(begun, differing)}, or remove {workdir}{further}"
        )


def remove_unstarted(workdir: Path, config: ConfigDict) -> None:
    """Remove what a training left that was begun with other settings and made no step, as one that failed at once.

    A run directory in which a network was trained, in part even, is left as it is.

    Raises:
        UnfitRun: there is a config.json, and it is not of a run: the folder is another program's.
        DamagedFile: config.json is damaged.
    """
    path = workdir / CONFIG
    if not path.exists() or any((workdir / "checkpoints").glob("*/[0-9]*")) or (workdir / "metrics.jsonl").exists():
        return
    adopted = {f"segmenter.{key}" for key in _SEGMENTER_KEYS} if config.task == "classify" else set()
    begun = _DEFAULTS_OF_OLD_RUNS | config_schema.flatten(json_file.read(path, _OTHER_FOLDER))
    if not begun.keys() >= _REQUIRED_KEYS:
        raise RunError(f"{path}: this is not the config of a run; {_OTHER_FOLDER}")
    wanted = config_schema.flatten(_to_json_dict(config))
    if all(begun.get(key) == value for key, value in wanted.items() if key not in {*_IO_KEYS, *adopted}):
        return
    path.unlink()
    (workdir / "training_labels.json").unlink(missing_ok=True)
    for name in ("checkpoints", SEGMENTER, LUNGS):
        shutil.rmtree(workdir / name, ignore_errors=True)


def check_config(config: ConfigDict) -> None:
    """Check every setting of a config.

    Raises:
        UnfitSetting: one is not what it may be; it is named as an option of the command line is.
    """
    try:
        config_schema.check(_to_json_dict(config))
    except config_schema.UnfitSetting as error:
        raise config_schema.UnfitSetting(f"config: {error}") from None


def load_config(workdir: Path) -> ConfigDict:
    """Return the settings of a run; those that its version did not have yet say what it did.

    Raises:
        UnfitRun: there is no run in the folder, or its config.json is damaged or of another version.
    """
    path = workdir / CONFIG
    if not path.exists():
        raise RunError(f"{workdir}: there is no run here (no {CONFIG})")
    settings = json_file.read(path, _REMEDY)
    for key, value in _DEFAULTS_OF_OLD_RUNS.items():
        section, name = key.split(".")
        known = settings.setdefault(section, {})
        if isinstance(known, dict):
            known.setdefault(name, value)
    try:
        config_schema.check(settings)
    except config_schema.UnfitSetting as error:
        raise RunError(f"{path}: {error}; it was changed, or written by another version, which can read it") from None
    return ConfigDict(settings)


def copy_segmenter(workdir: Path, config: ConfigDict) -> None:
    """Copy the trained segmenter a classifier is given into its own run, and its architecture into the config.

    A classifier of whole radiographs that are not masked may have none (`views.Settings.needs_lungs`).

    Raises:
        UnfitRun: none is named, and there is no finding without lungs; its run has no trained network, or it saw
            radiographs standardised otherwise; or a folder of another kind is in its place.
    """
    if not config.segmenter.workdir:
        if from_config.inference_config(config, config.patches.count).needs_lungs:
            raise RunError("config.segmenter.workdir is empty: name the run that trained the segmenter")
        return
    kept = workdir / SEGMENTER
    # Before a run has begun, what is kept there is of a run that was refused or killed, and may be another.
    source = kept if kept.exists() and (workdir / "config.json").exists() else Path(config.segmenter.workdir)
    trained = load_config(source)
    for key in _IMAGE_KEYS:
        if trained.image[key] != config.image[key]:
            raise RunError(
                f"{config.segmenter.workdir}: its segmenter was trained with image.{key}={trained.image[key]}, "
                f"not {config.image[key]}"
            )
    if source != kept:
        if kept.exists() and not ((kept / CONFIG).exists() and (kept / "checkpoints").exists()):
            raise RunError(f"{kept}: this folder is not of a run; {_OTHER_FOLDER}")
        best = _find_checkpoints(source) / "best"
        partial = workdir / f"{SEGMENTER}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "checkpoints").mkdir(parents=True)
        shutil.copy(source / "config.json", partial)
        shutil.copytree(best, partial / "checkpoints" / "best")
        shutil.rmtree(kept, ignore_errors=True)
        partial.rename(kept)
    for key in _SEGMENTER_KEYS:
        config.segmenter[key] = trained.segmenter[key]


def load_segmenter(workdir: Path, config: ConfigDict) -> dict[str, Any] | None:
    """The best weights of a run that trained a segmenter; None where the config is of a classifier that has none."""
    return None if from_config.segmenter(config) is None else _load_best(workdir)


def load_networks(workdir: Path, config: ConfigDict) -> dict[str, Any]:
    """The best weights of a run: `{"segmenter": …}` (see `load_segmenter`), and of a classifier's `"classifier"` too.

    Raises:
        UnfitRun: the run has no trained network yet.
    """
    if config.task == "segment":
        return {"segmenter": load_segmenter(workdir, config)}
    return {
        "segmenter": load_segmenter(workdir / SEGMENTER, config),
        "classifier": _load_best(workdir),
    }


def load_step(workdir: Path, config: ConfigDict) -> int:
    """The training step of what `load_networks` gives; of an ensemble, that of its newest member.

    Raises:
        UnfitRun: the run has no trained network yet.
    """
    folder = _find_checkpoints(workdir)
    kind = "best" if config.evaluation.members == 1 else snapshot_tag(len(list(folder.glob("snapshot_*"))))
    with Checkpoints(folder) as checkpoints:
        return checkpoints.step(kind)


def _load_best(workdir: Path) -> dict[str, Any]:
    with Checkpoints(_find_checkpoints(workdir)) as checkpoints:
        return jax.device_put(checkpoints.restore("best"))


def _find_checkpoints(workdir: Path) -> Path:
    folder = workdir / "checkpoints"
    if not _best_steps(workdir):
        raise RunError(f"{workdir}: there is no trained network here yet (no checkpoints/best)")
    return folder


def _to_json_dict(config: ConfigDict) -> dict[str, Any]:
    """Return a config as it is written to config.json.

    Raises:
        UnfitSetting: it has a value that JSON has no word for.
    """
    try:
        return json.loads(config.to_json())
    except (TypeError, ValueError) as error:
        raise config_schema.UnfitSetting(f"config: it cannot be written as JSON ({error})") from None


def _format_flags(settings: dict[str, Any], keys: list[str]) -> str:
    """Return settings as words of a command line."""
    values = {key: settings[key] for key in keys[:_MAX_LISTED]}
    words = [
        shlex.quote(f"--config.{key}={tuple(value) if isinstance(value, list) else value}")
        for key, value in values.items()
    ]
    more = f" and {len(keys) - len(words)} more" if len(keys) > len(words) else ""
    return f"{'setting' if len(keys) == 1 else 'settings'} ({' '.join(words)}{more})"


def _best_steps(workdir: Path) -> list[Path]:
    return list((workdir / "checkpoints" / "best").glob("[0-9]*"))
