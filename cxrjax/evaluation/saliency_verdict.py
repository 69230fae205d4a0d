"""What the checks of maps say together: each figure with its interval, what is passed, and a verdict in words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from cxrjax.metrics.mean_ci import interval

CURVES = ("deletion", "deletion_control", "insertion", "insertion_control")
# How far a map is from what chance would reach, the better the higher: figure, figure to take away.
OVER_CHANCE = {
    "deletion_gain": ("deletion_control", "deletion"),
    "insertion_gain": ("insertion", "insertion_control"),
    "energy_in_lungs_gain": ("energy_in_lungs", "energy_in_lungs_chance"),
    "energy_in_lesions_gain": ("energy_in_lesions", "energy_in_lesions_chance"),
    "pointing_game_gain": ("pointing_game", "pointing_game_chance"),
}
# Title, figure, what chance reaches of it.
TABLE = (
    ("energy in the lungs", "energy_in_lungs", "energy_in_lungs_chance"),
    ("energy in known lesions", "energy_in_lesions", "energy_in_lesions_chance"),
    ("pointing game: hottest pixel in a known lesion", "pointing_game", "pointing_game_chance"),
    ("deletion: mean probability of the finding, low is good", "deletion", "deletion_control"),
    ("insertion: mean probability of the finding, high is good", "insertion", "insertion_control"),
)
# The same of another map, by what the other map is of.
LIKENESS = (
    ("rank correlation with the map of {}", "correlation"),
    ("structural similarity to it", "similarity"),
    ("overlap of their hottest pixels", "overlap"),
)


class SaliencyCheck(NamedTuple):
    """What a figure has to reach, its whole interval on the good side; and what is then said of the maps."""

    figure: str
    limit: Callable[[ConfigDict], float]  # of `config.maps`
    above: bool  # whether it is good to be above it
    passed: str
    failed: str


def _chance(_: ConfigDict) -> float:
    return 0.0  # of a gain


CHECKS = {
    "weights": SaliencyCheck(
        "redrawn_100_correlation", lambda maps: maps.survives, False,
        "change when the network's weights are drawn anew",
        "hardly change when the network's weights are drawn anew",
    ),
    "deletion": SaliencyCheck(
        "deletion_gain", _chance, True, "show what the finding cannot spare", "show what the finding can spare"
    ),
    "insertion": SaliencyCheck(
        "insertion_gain", _chance, True, "show what brings the finding back",
        "show what does not bring the finding back",
    ),
    "seeds": SaliencyCheck(
        "seeds_correlation", lambda maps: maps.stable, True, "stay much the same when other patches are drawn",
        "change when other patches are drawn",
    ),
    "lungs": SaliencyCheck(
        "energy_in_lungs_gain", _chance, True, "lie in the lungs more than chance would have it",
        "lie in the lungs less than chance would have it",
    ),
    "lesions": SaliencyCheck(
        "energy_in_lesions_gain", _chance, True, "lie in the known lesions more than chance would have it",
        "lie in the known lesions less than chance would have it",
    ),
}  # fmt: skip
PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "open"


def judge(
    rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, np.ndarray]], settings: ConfigDict, seed: int
) -> dict[str, Any]:
    """Bring the checks of radiographs together.

    Args:
        rows: of checks.csv, as dicts; those without a map have no figures.
        curves: of each row, float [steps + 1] by name; none where there is no map.
        settings: `config.maps`.
        seed: of the intervals.

    Returns:
        {"n", "no_map", "figures": {name: {"value", "interval", "n"}}, "curves": {"shares", name: {"value", "low",
        "high"}}, "checks": {name: PASSED, FAILED or OPEN}, "verdict": a sentence}. A figure that no radiograph has is
        left out, and so is its check.

    Raises:
        ValueError: no radiograph has a map.
    """
    mapped = [i for i, each in enumerate(curves) if each]
    if not mapped:
        raise ValueError("no lungs were found in any radiograph, so that there is no map to check")
    patients = np.array([rows[i]["patient_id"] for i in mapped])
    numbers = [name for name, value in rows[mapped[0]].items() if not isinstance(value, str)]
    columns = {name: np.array([rows[i][name] for i in mapped], np.float64) for name in numbers}
    figures = {name: _describe(values, None, patients, seed, _is_bounded(name)) for name, values in columns.items()}
    figures |= {
        name: _describe(columns[of], columns[less], patients, seed, True) for name, (of, less) in OVER_CHANCE.items()
    }
    figures = {name: figure for name, figure in figures.items() if figure["n"]}
    checks = {name: _weigh(check, figures, settings) for name, check in CHECKS.items() if check.figure in figures}
    return {
        "n": len(rows),
        "no_map": len(rows) - len(mapped),
        "figures": figures,
        "curves": _mean_curves([curves[i] for i in mapped], patients, seed),
        "checks": checks,
        "verdict": verdict(checks, figures),
    }


def verdict(checks: Mapping[str, str], figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The checks in one plain sentence; see `judge`."""
    if checks["weights"] == FAILED:
        reason = _write(figures[CHECKS["weights"].figure])
        return f"These maps are worthless: they {CHECKS['weights'].failed} (rank correlation {reason})."
    said = {result: [name for name in checks if checks[name] == result] for result in (PASSED, FAILED, INCONCLUSIVE)}
    parts = []
    if said[PASSED]:
        parts.append(f"these maps {_list([CHECKS[name].passed for name in said[PASSED]])}")
    if said[FAILED]:
        subject = "but they" if parts else "these maps"
        parts.append(f"{subject} {_list([CHECKS[name].failed for name in said[FAILED]])}")
    if said[INCONCLUSIVE]:
        subject = "they" if parts else "these maps"
        parts.append(f"it stays open whether {subject} {_list([CHECKS[name].passed for name in said[INCONCLUSIVE]])}")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def summarize(judged: Mapping[str, Any]) -> str:
    """The figures as a table in Markdown, and the verdict beneath it."""
    figures = judged["figures"]
    percents = sorted(
        int(name.split("_")[1]) for name in figures if name.startswith("redrawn_") and name.endswith("_correlation")
    )
    others = {"seeds": "other patches"}
    others |= {f"redrawn_{percent}": f"a network whose weights are {percent}% drawn anew" for percent in percents}
    rows = [*TABLE]
    for name, other in others.items():
        rows += [(title.format(other), f"{name}_{kind}", f"misplaced_{kind}") for title, kind in LIKENESS]
    lines = [f"| {judged['n'] - judged['no_map']} maps | figure, 95 % interval | chance |", "|---|---|---|"]
    for title, name, chance in rows:
        if name in figures:
            lines.append(f"| {title} | {_write(figures[name])} | {figures[chance]['value']:.3f} |")
    return "\n".join([*lines, "", judged["verdict"]])


def _weigh(check: SaliencyCheck, figures: Mapping[str, Mapping[str, Any]], settings: ConfigDict) -> str:
    limit, ends = check.limit(settings), figures[check.figure]["interval"]
    if ends is None or ends[0] <= limit <= ends[1]:
        return INCONCLUSIVE
    return PASSED if (ends[0] > limit) == check.above else FAILED


def _mean_curves(curves: Sequence[Mapping[str, np.ndarray]], patients: np.ndarray, seed: int) -> dict[str, Any]:
    stacked = {name: np.stack([each[name] for each in curves]) for name in CURVES}
    result: dict[str, Any] = {"shares": np.linspace(0, 1, stacked[CURVES[0]].shape[1]).tolist()}
    for name, values in stacked.items():
        low, high = (
            [x if x == x else None for x in ends] for ends in interval(values, patients, seed, bounded=True).tolist()
        )
        result[name] = {"value": values.mean(0, dtype=np.float64).tolist(), "low": low, "high": high}
    return result


def _is_bounded(name: str) -> bool:
    """Return whether a figure's values are in 0..1; those of structural similarity may be negative."""
    return not name.endswith("_similarity")


def _describe(
    values: np.ndarray, less: np.ndarray | None, patients: np.ndarray, seed: int, bounded: bool
) -> dict[str, Any]:
    """Return the mean of values [n], less that of others if there are any, with its interval and n; NaN is left out."""
    apart = values if less is None else values - less
    there = ~np.isnan(apart)
    if not there.any():
        return {"value": None, "interval": None, "n": 0}
    ends = interval(values[there], patients[there], seed, bounded, None if less is None else less[there])
    known = None if np.isnan(ends).any() else ends.tolist()
    return {"value": float(apart[there].mean()), "interval": known, "n": int(there.sum())}


def _write(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval"] or (np.nan, np.nan)
    return f"{figure['value']:.3f} ({low:.3f} to {high:.3f})"


def _list(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
