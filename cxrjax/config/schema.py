"""Type and range of every setting, checked when a config is read and when a run is created."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cxrjax.runtime.text import SHORT_LENGTH, printable

_MAX_COUNT = 1_000_000  # steps, patches, radiographs: counts that only data and time bound
_MAX_SIDE = 8192  # pixels; the largest detectors have 5,000
_MAX_FACTOR = 1e12  # for weights and factors without a natural bound


class SettingType(NamedTuple):
    """Type and range of a setting.

    Attributes:
        types: type of the value; "texts" and "numbers" are sequences, "groups" is ((text, number), …).
        low: inclusive lower bound of a number, of each of "numbers", and of the length of a text or of "texts".
        high: inclusive upper bound of the same.
        choices: the allowed texts; () allows all.
    """

    types: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


def _choice(*choices: str) -> SettingType:
    return SettingType("text", choices=choices)


_TEXT = SettingType("text", 0, 4096)
_NAME = SettingType("text", 1, 200)
_FLAG = SettingType("flag")
_FRACTION = SettingType("number", 0, 1)
_FACTOR = SettingType("number", 0, _MAX_FACTOR)
_COUNT = SettingType("whole number", 1, _MAX_COUNT)
_BATCH = SettingType("whole number", 1, 100_000)
_CHANNELS = SettingType("whole number", 1, 3)
_SIDE = SettingType("whole number", 8, _MAX_SIDE)
_NORMALIZATION = _choice("none", "imagenet")
_INITIALIZER = _choice(
    "he_normal",
    "torch",
    "torchvision",
    "he_uniform",
    "lecun_normal",
    "glorot_normal",
    "glorot_uniform",
    "fsarshad_cnn2",
    "fsarshad_cnn3",
)

SETTINGS: dict[str, SettingType] = {
    "task": _choice("segment", "classify"),
    "seed": SettingType("whole number", 0, 2**32 - 1),
    "init": _TEXT,
    "init_head": _choice("auto", "keep", "fresh"),
    "precision": _choice("auto", "float32", "bfloat16"),
    "data.directory": _TEXT,
    "data.train": _TEXT,
    "data.validation": _TEXT,
    "data.held": SettingType("number", 0, 1e9),
    "data.readers": SettingType("whole number", 1, 1024),
    "image.size": _SIDE,
    "image.gamma": SettingType("number", 0.01, 100),
    "image.equalise": _FLAG,
    "image.borders": _choice("uniform", "bottom"),
    "segmenter.architecture": _NAME,
    "segmenter.size": _SIDE,
    "segmenter.channels": _CHANNELS,
    "segmenter.normalise": _NORMALIZATION,
    "segmenter.initializer": _INITIALIZER,
    "segmenter.dropout": SettingType("number", 0, 0.99),
    "segmenter.workdir": _TEXT,
    "segmenter.smallest_part": _FRACTION,
    "segmenter.smallest_lungs": _FRACTION,
    "classifier.architecture": _NAME,
    "classifier.head": _NAME,
    "classifier.channels": _CHANNELS,
    "classifier.normalise": _NORMALIZATION,
    "classifier.initializer": _INITIALIZER,
    "classifier.classes": SettingType("texts", 1, 10_000),
    "patches.mode": _choice("local", "global", "crop", "dense"),
    "patches.masked": _FLAG,
    "patches.channels": _choice("grey", "contrast"),
    "patches.margin": SettingType("number", 0, 10),
    "patches.confidence": SettingType("number", 0, 1),
    "patches.center_crop": SettingType("number", 0, 0.99),
    "patches.size": _SIDE,
    "patches.context": SettingType("whole number", 0, _MAX_SIDE),
    "patches.count": _BATCH,
    "patches.validation_count": _BATCH,
    "patches.chunk": _BATCH,
    "voting.rule": _choice("majority", "mean_probability"),
    "training.epochs": _COUNT,
    "training.batch_size": _BATCH,
    "training.sampling": _choice("shuffled", "balanced", "oversampled"),
    "training.oversample": SettingType("whole number", 1, 10_000),
    "training.minority": SettingType("texts", 0, 10_000),
    "training.augment": _choice("all", "copies"),
    "training.augmented": _FRACTION,
    "training.loss": _choice("cross_entropy", "focal"),
    "training.class_weights": SettingType("texts or numbers", 0, _MAX_FACTOR),
    "training.focal_gamma": SettingType("number", 0, 100),
    "training.focal_alpha": SettingType("number", 0, 1e6),
    "training.optimiser": _choice("adam", "adamw", "sgd"),
    "training.momentum": SettingType("number", 0, 1),
    "training.square_momentum": SettingType("number", 0, 1),
    "training.epsilon": SettingType("number", 0, 1),
    "training.learning_rate": SettingType("number", 0, 1e6),
    "training.schedule": _choice("steps", "constant", "cosine", "one_cycle", "plateau"),
    "training.warmup": _FRACTION,
    "training.milestones": SettingType("numbers", 0, 1),
    "training.factor": _FACTOR,
    "training.cycles": _COUNT,
    "training.one_cycle": SettingType("numbers", 0, _MAX_FACTOR),
    "training.momentum_at_peak": SettingType("number", 0, 1),
    "training.plateau_metric": _TEXT,
    "training.plateau_patience": SettingType("whole number", 0, _MAX_COUNT),
    "training.plateau_delta": _FACTOR,
    "training.lowest_rate": SettingType("number", 0, 1e6),
    "training.groups": SettingType("groups", 0, _MAX_FACTOR),
    "training.unfreeze_epoch": SettingType("whole number", 0, _MAX_COUNT),
    "training.unfreeze_factor": _FACTOR,
    "training.unfreeze_augmented": _FRACTION,
    "training.decay": _FACTOR,
    "training.decay_vectors": _FLAG,
    "training.clip": _FACTOR,
    "training.average": SettingType("number", 0, 1),
    "training.l1": _FACTOR,
    "training.l2": _FACTOR,
    "training.l2_vectors": _FLAG,
    "training.background_weight": _FACTOR,
    "training.metric": _TEXT,
    "training.patience": SettingType("whole number", 1, _MAX_COUNT),
    "training.checkpoint_minutes": SettingType("number", 0, 1e6),
    "augmentation.rotation": SettingType("number", 0, 180),
    "augmentation.zoom": _FRACTION,
    "augmentation.shift": _FRACTION,
    "augmentation.contrast": _FRACTION,
    "augmentation.brightness": _FRACTION,
    "augmentation.crop": SettingType("number", 0, 0.99),
    "augmentation.upend": _FRACTION,
    "augmentation.flip": _FRACTION,
    "augmentation.each": _FRACTION,
    "augmentation.dihedral": _FRACTION,
    "augmentation.contrast_about": _choice("middle", "mean"),
    "evaluation.batch_size": _BATCH,
    "evaluation.sheet": SettingType("whole number", 0, 10_000),
    "evaluation.members": SettingType("whole number", 1, 1000),
    "saliency.scaling": _choice("peak", "range"),
    "maps.fill": _choice("black", "blur"),
    "maps.blur": _FRACTION,
    "maps.steps": SettingType("whole number", 1, 10_000),
    "maps.patches": _BATCH,
    "maps.draws": SettingType("whole number", 1, 10_000),
    "maps.levels": SettingType("whole number", 1, 10_000),
    "maps.survives": SettingType("number", -1, 1),
    "maps.seeds": SettingType("whole number", 0, 10_000),
    "maps.stable": SettingType("number", -1, 1),
    "maps.hottest": _FRACTION,
    "report.cases": SettingType("whole number", 0, _MAX_COUNT),
    "report.side": SettingType("whole number", 8, _MAX_SIDE),
    "report.megabytes": SettingType("number", 0, 1e6),
    "gate.quantile": _FRACTION,
    "gate.radiographs": _COUNT,
    "rate_finder.lowest": SettingType("number", 1e-30, 1e6),
    "rate_finder.highest": SettingType("number", 1e-30, 1e6),
    "rate_finder.steps": SettingType("whole number", 2, _MAX_COUNT),
}


class InvalidSettingError(ValueError):
    """A setting that is missing, unknown or invalid; the message names it and describes valid values."""


def check(settings: Mapping[str, Any]) -> None:
    """Check that the settings of a run are complete and valid.

    Args:
        settings: nested dicts, as `ConfigDict.to_json` writes them.

    Raises:
        InvalidSettingError: a setting is missing, unknown or invalid; the message names the first.
    """
    flat = flatten(settings)
    for key in flat:
        if key not in SETTINGS:
            raise InvalidSettingError(f"there is no setting {printable(key, SHORT_LENGTH)}")
    for key, setting_type in SETTINGS.items():
        if key not in flat:
            raise InvalidSettingError(f"the setting {key} is missing")
        problem = _find_problem(flat[key], setting_type)
        if problem:
            raise InvalidSettingError(f"{key}={printable(repr(flat[key]), SHORT_LENGTH)}: it should be {problem}")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to a dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        is_nested = isinstance(value, Mapping) and len(prefix) < SHORT_LENGTH  # no config is nested deeper
        if is_nested:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _find_problem(value: Any, setting_type: SettingType) -> str:
    """Return a description of valid values; "" if the value is valid."""
    between = f"from {setting_type.low:g} to {setting_type.high:g}"
    match setting_type.types:
        case "flag":
            return "" if isinstance(value, bool) else "true or false"
        case "text" if setting_type.choices:
            return (
                ""
                if isinstance(value, str) and value in setting_type.choices
                else f"one of {', '.join(setting_type.choices)}"
            )
        case "text":
            is_valid = isinstance(value, str) and setting_type.low <= len(value) <= setting_type.high
            return "" if is_valid else f"a text of {setting_type.low:g} to {setting_type.high:g} characters"
        case "whole number":
            is_valid = (
                isinstance(value, int)
                and not isinstance(value, bool)
                and setting_type.low <= value <= setting_type.high
            )
            return "" if is_valid else f"a whole number {between}"
        case "number":
            return "" if _is_number(value, setting_type) else f"a number {between}"
        case "numbers":
            is_valid = _is_sequence(value) and all(_is_number(item, setting_type) for item in value)
            return "" if is_valid else f"a list of numbers {between}"
        case "texts":
            is_valid = (
                _is_sequence(value)
                and setting_type.low <= len(value) <= setting_type.high
                and all(map(_is_text, value))
            )
            is_valid = is_valid and len(set(value)) == len(value)
            return (
                "" if is_valid else f"a list of {setting_type.low:g} or more different texts, as \"('a','b')\" or a,b"
            )
        case "texts or numbers":
            is_valid = _is_sequence(value) and all(_is_text(item) or _is_number(item, setting_type) for item in value)
            return "" if is_valid else "a list of texts or numbers"
        case _:
            is_valid = _is_sequence(value) and all(_is_group(item, setting_type) for item in value)
            return "" if is_valid else "a list of (regular expression, number), as \"(('stem', 0.0),)\""


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: Any, setting_type: SettingType) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and setting_type.low <= value <= setting_type.high
    )


def _is_group(value: Any, setting_type: SettingType) -> bool:
    return _is_sequence(value) and len(value) == 2 and _is_expression(value[0]) and _is_number(value[1], setting_type)


def _is_expression(value: Any) -> bool:
    """Return whether a value is a valid regular expression."""
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, RecursionError, OverflowError):
        return False
