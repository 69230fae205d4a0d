"""Scores and image locations of an audit as text."""

from collections.abc import Mapping
from typing import Any

from cxrjax.audit.criteria import MIN_AGREEMENT
from cxrjax.runtime import formatting
from cxrjax.runtime.formatting import join_words

__all__ = ["format_ci", "format_percent", "join_words", "name_place"]


def format_ci(estimate: Mapping[str, Any] | None) -> str:
    """Format a score and its interval to two decimals, as "0.87 (0.85 to 0.89)"; a dash where there is no score."""
    return formatting.format_ci(estimate, ".2f")


def format_percent(estimate: Mapping[str, Any] | None) -> str:
    """Format a share and its interval in percent, as "87% (85% to 89%)"; a dash where there is no share."""
    return formatting.format_ci(estimate, ".0%")


def name_place(place: Mapping[str, Any]) -> str:
    """Describe a location in words, in thirds of the image.

    Args:
        place: result of `markers.occlusion_peak`.

    Returns:
        For example "the upper left corner of the image, outside the lungs".
    """
    row = ("upper", "middle", "lower")[min(int(3 * place["row"]), 2)]
    column = ("left", "middle", "right")[min(int(3 * place["column"]), 2)]
    if "middle" in (row, column):
        region = "the middle" if row == column else f"the {row if column == 'middle' else column} third"
    else:
        region = f"the {row} {column} corner"
    return f"{region} of the image, {'inside' if place['inside_lungs'] > MIN_AGREEMENT else 'outside'} the lungs"
