"""Type and range of every setting, derived from the dataclasses, and the check of a config."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from ml_collections import ConfigDict

from cxrjax.config.settings import Config
from cxrjax.runtime import former_names
from cxrjax.runtime.errors import CxrjaxError
from cxrjax.runtime.text import SHORT_LENGTH, printable

_TYPES = {
    str: "text",
    int: "whole number",
    float: "number",
    tuple[float, ...]: "numbers",
    tuple[int, ...]: "whole numbers",
    tuple[str, ...]: "texts",
    tuple[str | float, ...]: "texts or numbers",
    tuple[tuple[str, float], ...]: "groups",
    tuple[tuple[str, str], ...]: "pairs",
}


class SettingType(NamedTuple):
    """Type and range of a setting.

    Attributes:
        types: type of the value: "flag", "text", "whole number", "number"; the sequences "texts", "numbers",
            "whole numbers" and "texts or numbers"; "groups", ((text, number), …); or "pairs", ((text, text), …).
        low: inclusive lower bound of a number, of each number of a sequence or of "groups", and of the length of a text
            or of "texts".
        high: inclusive upper bound of the same; "pairs" are not bounded.
        choices: the allowed texts; () allows all.
    """

    types: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()


def _list_settings(section: type, prefix: str = "") -> dict[str, SettingType]:
    """Return the type of each setting of a dataclass, by its dotted key."""
    settings: dict[str, SettingType] = {}
    for name, annotation in get_type_hints(section, include_extras=True).items():
        if isinstance(annotation, type) and is_dataclass(annotation):
            settings |= _list_settings(annotation, f"{prefix}{name}.")
        else:
            settings[f"{prefix}{name}"] = _parse_annotation(annotation)
    return settings


def _parse_annotation(annotation: Any) -> SettingType:
    if annotation is bool:
        return SettingType("flag")
    if get_origin(annotation) is Literal:
        return SettingType("text", choices=get_args(annotation))
    assert get_origin(annotation) is Annotated, annotation
    value_type, bounds = get_args(annotation)
    return SettingType(_TYPES[value_type], bounds.low, bounds.high)


SETTINGS = _list_settings(Config)


class InvalidSettingError(CxrjaxError, ValueError):
    """A setting that is missing, unknown or invalid; the message names it and describes valid values."""


def check(settings: Mapping[str, Any]) -> None:
    """Check that the settings of a run are complete and valid.

    Args:
        settings: nested dicts, as in config.json.

    Raises:
        InvalidSettingError: a setting is missing, unknown or invalid; the message names the first.
    """
    flat = flatten(settings)
    for key in flat:
        if key in former_names.SETTINGS:
            raise InvalidSettingError(former_names.explain_setting(key))
        if key not in SETTINGS:
            raise InvalidSettingError(f"there is no setting {printable(key, SHORT_LENGTH)}")
    for key, setting_type in SETTINGS.items():
        if key not in flat:
            raise InvalidSettingError(f"the setting {key} is missing")
        problem = _find_problem(flat[key], setting_type)
        if problem:
            raise InvalidSettingError(f"{key}={printable(repr(flat[key]), SHORT_LENGTH)}: it should be {problem}")


def freeze(config: ConfigDict | Config) -> Config:
    """Return a config as frozen dataclasses.

    Args:
        config: all settings, as `default_config` and recipes return them; a `Config` is returned as it is.

    Raises:
        InvalidSettingError: a setting is missing, unknown or invalid, or cannot be written as JSON.
    """
    if isinstance(config, Config):
        return config
    try:
        settings = json.loads(config.to_json())
    except (TypeError, ValueError) as error:
        raise InvalidSettingError(f"config: it cannot be written as JSON ({error})") from None
    try:
        return from_dict(settings)
    except InvalidSettingError as error:
        raise InvalidSettingError(f"config: {error}") from None


def from_dict(settings: Mapping[str, Any]) -> Config:
    """Return the config of nested dicts, as `Config.to_dict` returns them or config.json has them.

    Raises:
        InvalidSettingError: a setting is missing, unknown or invalid.
    """
    check(settings)
    return _build(Config, settings)


def _build(section: type, settings: Mapping[str, Any]) -> Any:
    """Return a dataclass with the given values."""
    annotations = get_type_hints(section)
    return section(
        **{
            name: _build(annotations[name], value) if is_dataclass(annotations[name]) else _to_tuple(value)
            for name, value in settings.items()
        }
    )


def _to_tuple(value: Any) -> Any:
    """Return lists, also nested ones, as tuples."""
    return tuple(map(_to_tuple, value)) if isinstance(value, list | tuple) else value


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
        case "whole numbers":
            is_valid = _is_sequence(value) and all(
                isinstance(item, int) and _is_number(item, setting_type) for item in value
            )
            return "" if is_valid else f"a list of whole numbers {between}"
        case "texts":
            is_valid = (
                _is_sequence(value)
                and setting_type.low <= len(value) <= setting_type.high
                and all(map(_is_text, value))
            )
            is_valid = is_valid and len(set(value)) == len(value)
            count = f"{setting_type.low:g} or more " if setting_type.low else ""
            return "" if is_valid else f"a list of {count}different texts, as \"('a','b')\" or a,b"
        case "texts or numbers":
            is_valid = _is_sequence(value) and all(_is_text(item) or _is_number(item, setting_type) for item in value)
            return "" if is_valid else "a list of texts or numbers"
        case "pairs":
            is_valid = _is_sequence(value) and all(_is_pair(item) for item in value)
            is_valid = is_valid and len({name for name, _ in value}) == len(value)
            return "" if is_valid else "a list of (name, new name), as \"(('covid19', 'viral'),)\", each name once"
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


def _is_pair(value: Any) -> bool:
    return _is_sequence(value) and len(value) == 2 and all(map(_is_text, value))


def _is_expression(value: Any) -> bool:
    """Return whether a value is a valid regular expression."""
    try:
        return isinstance(value, str) and bool(re.compile(value))
    except (re.error, RecursionError, OverflowError):
        return False
