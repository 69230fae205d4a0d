"""Numbers and places of an audit in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from cxrjax.audit.criteria import TOGETHER

NONE = "–"


def format_ci(number: Mapping[str, Any] | None) -> str:
    """ "0.87 (0.85 to 0.89)"; a dash where there is no number."""
    return _write(number, ".2f")


def format_percent(number: Mapping[str, Any] | None) -> str:
    """ "87% (85% to 89%)"; likewise."""
    return _write(number, ".0%")


def name_place(place: Mapping[str, Any]) -> str:
    """ "the upper left corner of the picture, outside the lungs", of a place of `markers.locate`; in thirds."""
    row = ("upper", "middle", "lower")[min(int(3 * place["row"]), 2)]
    column = ("left", "middle", "right")[min(int(3 * place["column"]), 2)]
    if "middle" in (row, column):
        where = "the middle" if row == column else f"the {row if column == 'middle' else column} third"
    else:
        where = f"the {row} {column} corner"
    return f"{where} of the picture, {'inside' if place['inside'] > TOGETHER else 'outside'} the lungs"


def join_words(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""


def _write(number: Mapping[str, Any] | None, form: str) -> str:
    if number is None or number["value"] is None:
        return NONE
    if not number["interval"]:
        return f"{number['value']:{form}}"
    low, high = number["interval"]
    return f"{number['value']:{form}} ({low:{form}} to {high:{form}})"
