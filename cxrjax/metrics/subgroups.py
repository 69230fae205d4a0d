"""Who the radiographs are of: parts of a table of rows that together are the whole of it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "unknown"
FEW = 30  # radiographs, below which a score is read with a warning; Bossuyt et al. 2015 name no number: ours
AGE_BANDS = {"under 18": 18, "18 to 39": 40, "40 to 64": 65, "65 and over": np.inf}  # years, up to but not; ours
_SEXES = {"m": "male", "f": "female"}


def partition(rows: Sequence[Mapping]) -> dict[str, dict[str, NDArray[np.intp]]]:
    """The rows by source, sex, age band and view; each radiograph is in one group of each.

    Args:
        rows: of `predictions.csv`; a column that is absent or blank is not known.

    Returns:
        {attribute: {group: positions of its rows}}, groups in order and `UNKNOWN` last; an attribute of which nothing
        is known is left out.
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
    """The age band of an age in years; `UNKNOWN` of NaN and of what is no age."""
    return next((name for name, end in AGE_BANDS.items() if 0 <= age < end), UNKNOWN)
