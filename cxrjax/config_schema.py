"""Type and range of every setting, checked when a config is read and when a run is created."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cxrjax.runtime.text import SHORT, printable

_LONGEST = 1_000_000  # of steps, patches, radiographs: counts that are bounded by data and time alone
_LARGEST_SIDE = 8192  # pixels; the largest detectors have 5,000
_ANY = 1e12  # weights and factors that have no natural bound


class Kind(NamedTuple):
    """Type and range of a setting.

    `types` is the type of the value; "texts" and "numbers" are sequences, "groups" is ((text, number), …). The bounds
    are of a number, of each of "numbers", and of the length of a text or of "texts"; inclusive.
    """

    types: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


def _choice(*choices: str) -> Kind:
    return Kind("text", choices=choices)


_TEXT = Kind("text", 0, 4096)
_NAME = Kind("text", 1, 200)
_FLAG = Kind("flag")
_SHARE = Kind("number", 0, 1)
_FACTOR = Kind("number", 0, _ANY)
_COUNT = Kind("whole number", 1, _LONGEST)
_BATCH = Kind("whole number", 1, 100_000)
_CHANNELS = Kind("whole number", 1, 3)
_SIDE = Kind("whole number", 8, _LARGEST_SIDE)
_NORMALISE = _choice("none", "imagenet")
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

SETTINGS: dict[str, Kind] = {
    "task": _choice("segment", "classify"),
    "seed": Kind("whole number", 0, 2**32 - 1),
    "init": _TEXT,
    "init_head": _choice("auto", "keep", "fresh"),
    "precision": _choice("auto", "float32", "bfloat16"),
    "data.directory": _TEXT,
    "data.train": _TEXT,
    "data.validation": _TEXT,
    "data.held": Kind("number", 0, 1e9),
    "data.readers": Kind("whole number", 1, 1024),
    "image.size": _SIDE,
    "image.gamma": Kind("number", 0.01, 100),
    "image.equalise": _FLAG,
    "image.borders": _choice("uniform", "bottom"),
    "segmenter.architecture": _NAME,
    "segmenter.size": _SIDE,
    "segmenter.channels": _CHANNELS,
    "segmenter.normalise": _NORMALISE,
    "segmenter.initializer": _INITIALIZER,
    "segmenter.dropout": Kind("number", 0, 0.99),
    "segmenter.workdir": _TEXT,
    "segmenter.smallest_part": _SHARE,
    "segmenter.smallest_lungs": _SHARE,
    "classifier.architecture": _NAME,
    "classifier.head": _NAME,
    "classifier.channels": _CHANNELS,
    "classifier.normalise": _NORMALISE,
    "classifier.initializer": _INITIALIZER,
    "classifier.classes": Kind("texts", 1, 10_000),
    "patches.mode": _choice("local", "global", "crop", "dense"),
    "patches.masked": _FLAG,
    "patches.channels": _choice("grey", "contrast"),
    "patches.margin": Kind("number", 0, 10),
    "patches.confidence": Kind("number", 0, 1),
    "patches.center_crop": Kind("number", 0, 0.99),
    "patches.size": _SIDE,
    "patches.context": Kind("whole number", 0, _LARGEST_SIDE),
    "patches.count": _BATCH,
    "patches.validation_count": _BATCH,
    "patches.chunk": _BATCH,
    "voting.rule": _choice("majority", "mean_probability"),
    "training.epochs": _COUNT,
    "training.batch_size": _BATCH,
    "training.sampling": _choice("shuffled", "balanced", "oversampled"),
    "training.oversample": Kind("whole number", 1, 10_000),
    "training.minority": Kind("texts", 0, 10_000),
    "training.augment": _choice("all", "copies"),
    "training.augmented": _SHARE,
    "training.loss": _choice("cross_entropy", "focal"),
    "training.class_weights": Kind("texts or numbers", 0, _ANY),
    "training.focal_gamma": Kind("number", 0, 100),
    "training.focal_alpha": Kind("number", 0, 1e6),
    "training.optimiser": _choice("adam", "adamw", "sgd"),
    "training.momentum": Kind("number", 0, 1),
    "training.square_momentum": Kind("number", 0, 1),
    "training.epsilon": Kind("number", 0, 1),
    "training.learning_rate": Kind("number", 0, 1e6),
    "training.schedule": _choice("steps", "constant", "cosine", "one_cycle", "plateau"),
    "training.warmup": _SHARE,
    "training.milestones": Kind("numbers", 0, 1),
    "training.factor": _FACTOR,
    "training.cycles": _COUNT,
    "training.one_cycle": Kind("numbers", 0, _ANY),
    "training.momentum_at_peak": Kind("number", 0, 1),
    "training.plateau_metric": _TEXT,
    "training.plateau_patience": Kind("whole number", 0, _LONGEST),
    "training.plateau_delta": _FACTOR,
    "training.lowest_rate": Kind("number", 0, 1e6),
    "training.groups": Kind("groups", 0, _ANY),
    "training.unfreeze_epoch": Kind("whole number", 0, _LONGEST),
    "training.unfreeze_factor": _FACTOR,
    "training.unfreeze_augmented": _SHARE,
    "training.decay": _FACTOR,
    "training.decay_vectors": _FLAG,
    "training.clip": _FACTOR,
    "training.average": Kind("number", 0, 1),
    "training.l1": _FACTOR,
    "training.l2": _FACTOR,
    "training.l2_vectors": _FLAG,
    "training.background_weight": _FACTOR,
    "training.metric": _TEXT,
    "training.patience": Kind("whole number", 1, _LONGEST),
    "training.checkpoint_minutes": Kind("number", 0, 1e6),
    "augmentation.rotation": Kind("number", 0, 180),
    "augmentation.zoom": _SHARE,
    "augmentation.shift": _SHARE,
    "augmentation.contrast": _SHARE,
    "augmentation.brightness": _SHARE,
    "augmentation.crop": Kind("number", 0, 0.99),
    "augmentation.upend": _SHARE,
    "augmentation.flip": _SHARE,
    "augmentation.each": _SHARE,
    "augmentation.dihedral": _SHARE,
    "augmentation.contrast_about": _choice("middle", "mean"),
    "evaluation.batch_size": _BATCH,
    "evaluation.sheet": Kind("whole number", 0, 10_000),
    "evaluation.members": Kind("whole number", 1, 1000),
    "saliency.scaling": _choice("peak", "range"),
    "maps.fill": _choice("black", "blur"),
    "maps.blur": _SHARE,
    "maps.steps": Kind("whole number", 1, 10_000),
    "maps.patches": _BATCH,
    "maps.draws": Kind("whole number", 1, 10_000),
    "maps.levels": Kind("whole number", 1, 10_000),
    "maps.survives": Kind("number", -1, 1),
    "maps.seeds": Kind("whole number", 0, 10_000),
    "maps.stable": Kind("number", -1, 1),
    "maps.hottest": _SHARE,
    "report.cases": Kind("whole number", 0, _LONGEST),
    "report.side": Kind("whole number", 8, _LARGEST_SIDE),
    "report.megabytes": Kind("number", 0, 1e6),
    "gate.quantile": _SHARE,
    "gate.radiographs": _COUNT,
    "rate_finder.lowest": Kind("number", 1e-30, 1e6),
    "rate_finder.highest": Kind("number", 1e-30, 1e6),
    "rate_finder.steps": Kind("whole number", 2, _LONGEST),
}


class UnfitSetting(ValueError):
    """A setting that is missing, unknown or not what it may be; the message names it and says what it may be."""


def check(settings: Mapping[str, Any]) -> None:
    """Check that the settings of a run are all there, and each is what it may be.

    Args:
        settings: of dicts, as `ConfigDict.to_json` writes them.

    Raises:
        UnfitSetting: one is not; the first is named.
    """
    flat = flatten(settings)
    for key in flat:
        if key not in SETTINGS:
            raise UnfitSetting(f"there is no setting {printable(key, SHORT)}")
    for key, kind in SETTINGS.items():
        if key not in flat:
            raise UnfitSetting(f"the setting {key} is missing")
        problem = _find_problem(flat[key], kind)
        if problem:
            raise UnfitSetting(f"{key}={printable(repr(flat[key]), SHORT)}: it should be {problem}")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and len(prefix) < SHORT:  # deeper than any config is, a value that fits no kind
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _find_problem(value: Any, kind: Kind) -> str:
    """Return what a value should be, "" where it is."""
    between = f"from {kind.low:g} to {kind.high:g}"
    match kind.types:
        case "flag":
            return "" if isinstance(value, bool) else "true or false"
        case "text" if kind.choices:
            return "" if isinstance(value, str) and value in kind.choices else f"one of {', '.join(kind.choices)}"
        case "text":
            fits = isinstance(value, str) and kind.low <= len(value) <= kind.high
            return "" if fits else f"a text of {kind.low:g} to {kind.high:g} characters"
        case "whole number":
            fits = isinstance(value, int) and not isinstance(value, bool) and kind.low <= value <= kind.high
            return "" if fits else f"a whole number {between}"
        case "number":
            return "" if _is_number(value, kind) else f"a number {between}"
        case "numbers":
            fits = _is_sequence(value) and all(_is_number(each, kind) for each in value)
            return "" if fits else f"a list of numbers {between}"
        case "texts":
            fits = _is_sequence(value) and kind.low <= len(value) <= kind.high and all(map(_is_text, value))
            fits = fits and len(set(value)) == len(value)
            return "" if fits else f"a list of {kind.low:g} or more different texts, as \"('a','b')\" or a,b"
        case "texts or numbers":
            fits = _is_sequence(value) and all(_is_text(each) or _is_number(each, kind) for each in value)
            return "" if fits else "a list of texts or numbers"
        case _:
            fits = _is_sequence(value) and all(_is_group(each, kind) for each in value)
            return "" if fits else "a list of (regular expression, number), as \"(('stem', 0.0),)\""


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: Any, kind: Kind) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and kind.low <= value <= kind.high


def _is_group(value: Any, kind: Kind) -> bool:
    return _is_sequence(value) and len(value) == 2 and _is_expression(value[0]) and _is_number(value[1], kind)


def _is_expression(value: Any) -> bool:
    """Return whether a value is a regular expression."""
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, RecursionError, OverflowError):
        return False
