"""Run directory: one folder with everything needed to evaluate or apply a trained network.

config.json           every setting
config_history.jsonl  one line per change of settings that may change: the training step, former and new values
checkpoints/          last/ (to resume from) and best/ (to use), by Orbax
metrics.jsonl         one line per epoch; events.* are the same for TensorBoard, with images of validation
learning_curves.png   loss and scores by epoch, drawn at the end of the training; learning_curves.svg too
trackers.json         ids of the training at MLflow and Weights & Biases, under which it is resumed there
starts.jsonl          one line per start of the training: command, versions, git commit, hardware; log.txt for reading
dataset.json          name, version and size of the data set, by which it is recognized where it has moved
training_labels.json  classifier: number of training radiographs by source and label
training_findings.json  of several findings: number without and with each, by source
segmenter/            classifier with a segmenter: config.json and checkpoints/best/ of the segmenter
lungs/                lung masks of training and validation, cached to resume training; may be removed at any time
ood_detector.npz      classifier: its out-of-distribution detector (`inference.ood`); ood_detector.json is readable
evaluation/           written by --mode=evaluate: one folder per split, for another data set DATA-SPLIT
calibration.json      classifier: temperature and operating points, fitted to its validation radiographs
notice.json           sentences that accompany every prediction, if someone has written them (`runs.notice`)
audit/                written by --mode=audit: one folder per split
saliency/             written by --mode=evaluate_saliency: one folder per split
morphometry/          written by --mode=morphometry: one folder per split
report/               written by --mode=report: the page, the model card and the checklist
"""

import json
import shlex
import shutil
from collections.abc import Container
from pathlib import Path
from typing import Any

import jax

from cxrjax.config import Config, schema
from cxrjax.io import json_file
from cxrjax.models import from_config
from cxrjax.runs import history
from cxrjax.runs.checkpoints import Checkpoints, snapshot_tag
from cxrjax.runtime import atomic_files
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.formatting import format_count, pick_form

CONFIG = "config.json"
DATASET = "dataset.json"
SEGMENTER = "segmenter"
TRACKERS = "trackers.json"
OOD_DETECTOR = "ood_detector.npz"
LUNGS = "lungs"
_REMEDY = "restore it, or train again in another folder"
OTHER_FOLDER = "name another --workdir"
_REQUIRED_KEYS = {"task", "data.dir", "training.epochs"}  # settings in the config.json of every version
_MAX_LISTED = 10  # settings listed in an error message
NEUTRAL = ("data.cache_limit_mb", "data.num_threads", "tracking")  # settings, or groups, that do not change results
# Settings, or groups, that may change when a training is resumed, and why; for all others, a new run is trained.
CHANGEABLE = {
    "data.dir": "a data set may move; `dataset_record.check` refuses another data set",
    "data.cache_limit_mb": "where images are cached does not change them",
    "data.num_threads": "the order of the radiographs does not depend on the threads that read them",
    "training.epochs": "a training can be lengthened, see `cxrjax.training.trainer.train`; or end after those begun",
    "training.cycles": "for a longer training, if a cycle keeps its number of epochs",
    "training.patience": "it is compared with a counter that the state has, at the end of an epoch",
    "training.checkpoint_every_minutes": "a save does not change the state",
    "patches.count": "number of patches of an evaluation; a training step draws one, a validation count_validation",
    "patches.batch_size": "it limits the memory of an evaluation",
    "evaluation": "not read by the training, but for the batch size of validation, which limits its memory",
    "saliency": "maps are drawn from the trained network",
    "saliency_eval": "maps are evaluated after the training",
    "report": "reports are written after the training",
    "ood": "the detector is fitted after the training; --mode=fit_ood fits it again",
    "tracking": "trackers receive copies of the metrics",
    "lr_finder": "a search of the rate is no part of a training",
}
SEGMENTER_KEYS = ("architecture", "size", "channels", "normalization", "initializer", "dropout")
_DEFAULTS_OF_OLD_RUNS = {  # settings that runs of older versions lack, with the behavior of those versions
    "image.borders": "bottom",
    "segmenter.initializer": "he_normal",
    "classifier.initializer": "he_normal",
    "data.label_map": [],
    "classifier.targets": "single",
    "patches.center_crop": 0.0,
    "training.augment": "all",
    "training.augment_probability": 1.0,
    "training.uncertain": "ignore",
    "training.unfreeze_augment_scale": 1.0,
    "augmentation.probability": 1.0,
    "augmentation.dihedral": 0.0,
    "augmentation.border": 0.0,
    "augmentation.contrast_about": "middle",
    "saliency.scaling": "peak",
    "classifier.thresholds": [],
    "pretrained_outputs": [],
    "remedy.balance": False,
    "remedy.match": (),
    "remedy.single_class_weight": 1.0,
    "remedy.appearance": 0.0,
    "remedy.surroundings": 0.0,
    "remedy.spectrum": 0.0,
    "remedy.mix_sources": 0.0,
    "remedy.pairs": False,
    "remedy.loss": "none",
    "remedy.dro_step_size": 0.01,
    "remedy.dro_adjustment": 0.0,
    "remedy.adversary": 0.0,
    "remedy.distance_correlation": 0.0,
    "tracking.trackers": ["tensorboard"],
    "tracking.project": "cxrjax",
    "tracking.num_images": 0,
    "tracking.send_images": False,
}


class RunError(CxrjaxError):
    """A run directory that cannot be used; the message has its path and the reason."""


def create_or_resume(workdir: Path, config: Config, changeable: Container[str] = CHANGEABLE) -> None:
    """Create the run directory, or resume an existing one; some settings may differ from those it has.

    config.json has the new values then, and config_history.jsonl the former ones.

    Args:
        workdir: the run directory.
        config: its settings.
        changeable: settings, or groups, that may differ: CHANGEABLE, or NEUTRAL where results are stored that depend on
            all others.

    Raises:
        RunError: other settings differ, which the message lists; the new number of epochs or cycles does not fit the
            training so far; or the directory was written by another version. Nothing is changed.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / CONFIG
    if not path.exists():
        _write_config(path, config)
        return
    existing = schema.flatten(load_config(workdir).to_dict())
    requested = schema.flatten(config.to_dict())
    differing = [key for key, value in requested.items() if existing[key] != value]
    refused = [key for key in differing if key not in changeable and key.partition(".")[0] not in changeable]
    if refused:
        key = refused[0]
        alternative = (
            f"; or train its network further in another --workdir: --config.pretrained={shlex.quote(str(workdir))}"
            if _best_steps(workdir)
            else ""
        )
        raise RunError(
            f"{workdir}: was started with {key}={existing[key]!r}, and now {requested[key]!r} is requested; "
            f"resume with the old {_format_flags(existing, refused)}, or remove {workdir}{alternative}"
        )
    if not differing:
        return
    _check_length(workdir, existing, requested)
    changes = {key: {"former": existing[key], "new": requested[key]} for key in differing}
    history.record_change(workdir / history.CONFIG_HISTORY, _last_step(workdir), changes)
    _write_config(path, config)


def _write_config(path: Path, config: Config) -> None:
    atomic_files.atomic_write(path, (json.dumps(config.to_dict(), indent=2) + "\n").encode())


def _check_length(workdir: Path, existing: dict[str, Any], requested: dict[str, Any]) -> None:
    """Check that the requested number of epochs and cycles continues the training so far.

    Raises:
        RunError: more epochs were begun; or the snapshots of the cycles would no longer lie at their ends.
    """
    epochs = requested["training.epochs"]
    cycles = requested["training.cycles"]
    begun = history.count_epochs_begun(workdir / history.METRICS, _last_step(workdir))
    if epochs < begun:
        raise RunError(
            f"{workdir}: {format_count(begun, 'epoch')} {pick_form(begun, 'has', 'have')} begun, more than "
            f"training.epochs={epochs}; give {begun} or more"
        )
    former_cycles = existing["training.cycles"]
    cycle_epochs = existing["training.epochs"] // former_cycles
    if cycles == former_cycles == 1 or (min(cycles, former_cycles) > 1 and cycles * cycle_epochs == epochs):
        return
    if former_cycles == 1:
        raise RunError(f"{workdir}: was started with training.cycles=1, which cannot change: no snapshot was kept")
    raise RunError(
        f"{workdir}: was started with cycles of {cycle_epochs} epochs, and now training.epochs={epochs} in "
        f"training.cycles={cycles} are requested; give 2 or more cycles of {cycle_epochs} epochs"
    )


def remove_unstarted(workdir: Path, config: Config) -> None:
    """Remove the files of a training with other settings that ended before its first step, as by an early error.

    A run directory with any training progress is not changed.

    Raises:
        RunError: the folder has a config.json that is not that of a run: it belongs to another program.
        DamagedFileError: config.json is damaged.
    """
    path = workdir / CONFIG
    if not path.exists() or has_begun(workdir):
        return
    copied_keys = {f"segmenter.{key}" for key in SEGMENTER_KEYS} if config.task == "classify" else set()
    existing = _DEFAULTS_OF_OLD_RUNS | schema.flatten(json_file.read(path, OTHER_FOLDER))
    if not existing.keys() >= _REQUIRED_KEYS:
        raise RunError(f"{path}: this is not the config of a run; {OTHER_FOLDER}")
    requested = schema.flatten(json.loads(config.to_json()))
    if all(existing.get(key) == value for key, value in requested.items() if key not in copied_keys):
        return
    path.unlink()
    for name in ("training_labels.json", "training_findings.json", DATASET, TRACKERS, history.CONFIG_HISTORY):
        (workdir / name).unlink(missing_ok=True)
    for name in ("checkpoints", SEGMENTER, LUNGS):
        shutil.rmtree(workdir / name, ignore_errors=True)


def has_begun(workdir: Path) -> bool:
    """Return whether a run has any progress of a training, or imported weights."""
    is_trained = any((workdir / "checkpoints").glob("*/[0-9]*")) or (workdir / history.METRICS).exists()
    return (workdir / CONFIG).exists() and is_trained


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
        section, _, name = key.rpartition(".")
        section_settings = settings.setdefault(section, {}) if section else settings
        if isinstance(section_settings, dict):
            section_settings.setdefault(name, value)
    try:
        config = schema.from_dict(settings)
        if config.task == "classify" and not config.classifier.classes:
            raise schema.InvalidSettingError("classifier.classes is empty")
    except schema.InvalidSettingError as error:
        raise RunError(f"{path}: {error}; it was changed, or written by another version, which can read it") from None
    return config


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


def _last_step(workdir: Path) -> int:
    """Return the training step of the state that a run resumes from; 0 before the first one."""
    return max(
        (int(path.name) for path in (workdir / "checkpoints" / "last").glob("[0-9]*") if path.name.isdigit()), default=0
    )


def _best_steps(workdir: Path) -> list[Path]:
    return list((workdir / "checkpoints" / "best").glob("[0-9]*"))
