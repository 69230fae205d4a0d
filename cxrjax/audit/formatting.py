"""Scores and image locations of an audit as text."""

from collections.abc import Mapping
from typing import Any

from cxrjax.audit import criteria
from cxrjax.audit.metrics import share_of_score
from cxrjax.runtime import formatting
from cxrjax.runtime.formatting import join_words

__all__ = ["format_ci", "format_percent", "format_share", "join_words", "name_place"]


def format_ci(estimate: Mapping[str, Any] | None) -> str:
    """Format a score and its interval to two decimals, as "0.87 (0.85 to 0.89)"; a dash where there is no score."""
    return formatting.format_ci(estimate, ".2f")


def format_percent(estimate: Mapping[str, Any] | None) -> str:
    """Format a share and its interval in percent, as "87% (85% to 89%)"; a dash where there is no share."""
    return formatting.format_ci(estimate, ".0%")


def format_share(share: Mapping[str, Any] | None, is_short: bool = False) -> str:
    """Format the share of the score that a shortcut reaches, as far as its interval allows.

    Args:
        share: "share" of an experiment in audit.json.
        is_short: whether to leave out the interval, and the number of radiographs.

    Returns:
        "87% (85% to 89%)"; "at least 60%" or "at most 20%" for an interval wider than the whole score that lies above
        `criteria.MOST` or below `criteria.MAX_UNEXPLAINED`; "too few to say (n = 12)" for another interval as wide; a
        dash without a share.
    """
    if share is None or not criteria.is_wide(share):
        value = share["value"] if share and is_short else share
        return formatting.format_ci(value, ".0%")
    if criteria.is_inconclusive(share):
        return "too few to say" if is_short else f"too few to say (n = {share['n']})"
    low, high = share_of_score(share)
    return f"at least {low:.0%}" if low >= criteria.MOST else f"at most {high:.0%}"


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
    return (
        f"{region} of the image, {'inside' if place['inside_lungs'] > criteria.MIN_AGREEMENT else 'outside'} the lungs"
    )
