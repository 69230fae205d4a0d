"""Subgroups of radiographs by source, sex, age and projection."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

UNKNOWN = "unknown"
FEW = 30  # radiographs, below which a score has a warning; Bossuyt et al. 2015 give no number: our choice
AGE_BANDS = {
    "under 18": 18,
    "18 to 39": 40,
    "40 to 64": 65,
    "65 and over": np.inf,
}  # years, exclusive upper bounds; our choice
_SEXES = {"m": "male", "f": "female"}


def partition(rows: Sequence[Mapping]) -> dict[str, dict[str, Int[np.ndarray, "rows"]]]:
    """Partition rows by source, sex, age band and view; each radiograph is in one group of each attribute.

    Args:
        rows: rows of `predictions.csv`; an absent or blank column is unknown.

    Returns:
        {attribute: {group: positions of its rows}}, groups in order and `UNKNOWN` last; an attribute that is unknown
        for all rows is left out.
    """
    names = {
        "source": [row.get("source") or UNKNOWN for row in rows],
        "sex": [_SEXES.get(row.get("sex", "").strip().lower()[:1], UNKNOWN) for row in rows],
        "age": [band(row.get("age", np.nan)) for row in rows],
        "view": [row.get("view", "").strip() or UNKNOWN for row in rows],
    }
    order = [*AGE_BANDS, *sorted({name for column in names.values() for name in column} - {*AGE_BANDS, UNKNOWN})]
    return {
        attribute: {name: np.flatnonzero(np.array(column) == name) for name in [*order, UNKNOWN] if name in set(column)}
        for attribute, column in names.items()
        if set(column) != {UNKNOWN}
    }


def band(age: float) -> str:
    """Return the age band of an age in years; `UNKNOWN` for NaN and for a negative age."""
    return next((name for name, end in AGE_BANDS.items() if 0 <= age < end), UNKNOWN)
