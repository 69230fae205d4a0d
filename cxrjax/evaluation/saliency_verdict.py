"""Summary of the checks of saliency maps: each metric with its interval, the outcome of each check, and a verdict."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cxrjax.config.settings import SaliencyEvalConfig
from cxrjax.metrics import confidence
from cxrjax.runtime.formatting import format_ci, join_words

CURVES = ("deletion", "deletion_control", "insertion", "insertion_control")
# Gain of a map over chance, the higher the better: the minuend and the subtrahend of each difference.
OVER_CHANCE = {
    "deletion_gain": ("deletion_control", "deletion"),
    "insertion_gain": ("insertion", "insertion_control"),
    "energy_in_lungs_gain": ("energy_in_lungs", "energy_in_lungs_chance"),
    "energy_in_lesions_gain": ("energy_in_lesions", "energy_in_lesions_chance"),
    "pointing_game_gain": ("pointing_game", "pointing_game_chance"),
}
# Title, metric, and the metric by chance.
LOCATION_TABLE = (
    ("energy in the lungs", "energy_in_lungs", "energy_in_lungs_chance"),
    ("energy in known lesions", "energy_in_lesions", "energy_in_lesions_chance"),
    ("pointing game: highest pixel in a known lesion", "pointing_game", "pointing_game_chance"),
    ("deletion: mean probability of the prediction, low is good", "deletion", "deletion_control"),
    ("insertion: mean probability of the prediction, high is good", "insertion", "insertion_control"),
)
# Title, with a placeholder for the other map, and metric.
SIMILARITY_TABLE = (
    ("rank correlation with the map of {}", "correlation"),
    ("structural similarity to it", "ssim"),
    ("overlap of their highest pixels", "overlap"),
)


class SaliencyCheck(NamedTuple):
    """Threshold of a metric, passed when the whole interval lies on the right side, and the phrases of the verdict."""

    metric: str
    limit: Callable[[SaliencyEvalConfig], float]  # threshold, given `config.saliency_eval`
    above: bool  # whether the metric has to lie above the threshold
    passed: str  # phrase that follows "these maps"
    failed: str  # phrase that follows "these maps"


def _zero_gain(_: SaliencyEvalConfig) -> float:
    return 0.0


CHECKS = {
    "weights": SaliencyCheck(
        "randomized_100_correlation", lambda settings: settings.max_random_correlation, False,
        "change when the network's weights are randomized",
        "hardly change when the network's weights are randomized",
    ),
    "deletion": SaliencyCheck(
        "deletion_gain", _zero_gain, True, "show pixels that the prediction needs",
        "show pixels that the prediction does not need",
    ),
    "insertion": SaliencyCheck(
        "insertion_gain", _zero_gain, True, "show pixels that restore the prediction",
        "show pixels that do not restore the prediction",
    ),
    "resampling": SaliencyCheck(
        "resampled_correlation", lambda settings: settings.min_stability, True,
        "stay much the same when other patches are drawn",
        "change when other patches are drawn",
    ),
    "lungs": SaliencyCheck(
        "energy_in_lungs_gain", _zero_gain, True, "lie in the lungs more than chance would have it",
        "lie in the lungs less than chance would have it",
    ),
    "lesions": SaliencyCheck(
        "energy_in_lesions_gain", _zero_gain, True, "lie in the known lesions more than chance would have it",
        "lie in the known lesions less than chance would have it",
    ),
}  # fmt: skip
PASSED = "passed"
FAILED = "failed"
INCONCLUSIVE = "inconclusive"


def summarize_checks(
    rows: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, np.ndarray]],
    settings: SaliencyEvalConfig,
    seed: int,
) -> dict[str, Any]:
    """Compute the metrics over all radiographs, the outcome of each check, and the verdict.

    Args:
        rows: rows of saliency_metrics.csv as dicts; those without a map lack the metrics.
        curves: per row, float [steps + 1] by name; empty where there is no map.
        settings: `config.saliency_eval`.
        seed: seed of the resamples for the intervals.

    Returns:
        {"n", "without_map", "metrics": {metric: {"value", "interval", "n"}}, "curves": {"fractions", name: {"value",
        "low", "high"}}, "checks": {name: PASSED, FAILED or INCONCLUSIVE}, "verdict": a sentence}. A metric that no
        radiograph has is left out, and so is its check.

    Raises:
        ValueError: no radiograph has a map.
    """
    with_map = [i for i, row_curves in enumerate(curves) if row_curves]
    if not with_map:
        raise ValueError("no lungs were found in any radiograph, so that there is no map to check")
    patients = np.array([rows[i]["patient_id"] for i in with_map])
    names = [name for name, value in rows[with_map[0]].items() if not isinstance(value, str)]
    columns = {name: np.array([rows[i][name] for i in with_map], np.float64) for name in names}
    metrics = {name: _mean_with_ci(values, None, patients, seed, _is_bounded(name)) for name, values in columns.items()}
    for name, (minuend, subtrahend) in OVER_CHANCE.items():
        metrics[name] = _mean_with_ci(columns[minuend], columns[subtrahend], patients, seed, True)
    metrics = {name: estimate for name, estimate in metrics.items() if estimate["n"]}
    checks = {
        name: _check_outcome(check, metrics, settings) for name, check in CHECKS.items() if check.metric in metrics
    }
    return {
        "n": len(rows),
        "without_map": len(rows) - len(with_map),
        "metrics": metrics,
        "curves": _mean_curves([curves[i] for i in with_map], patients, seed),
        "checks": checks,
        "verdict": verdict(checks, metrics),
    }


def verdict(checks: Mapping[str, str], metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the outcomes of the checks as one sentence.

    Args:
        checks: outcome by name of the check; see `summarize_checks`.
        metrics: {metric: {"value", "interval"}}.
    """
    if checks["weights"] == FAILED:
        correlation = format_ci(metrics[CHECKS["weights"].metric])
        return f"These maps are worthless: they {CHECKS['weights'].failed} (rank correlation {correlation})."
    passed = [check.passed for name, check in CHECKS.items() if checks.get(name) == PASSED]
    failed = [check.failed for name, check in CHECKS.items() if checks.get(name) == FAILED]
    inconclusive = [check.passed for name, check in CHECKS.items() if checks.get(name) == INCONCLUSIVE]
    parts = []
    if passed:
        parts.append(f"these maps {join_words(passed)}")
    if failed:
        subject = "but they" if parts else "these maps"
        parts.append(f"{subject} {join_words(failed)}")
    if inconclusive:
        subject = "they" if parts else "these maps"
        parts.append(f"it is unclear whether {subject} {join_words(inconclusive)}")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def format_table(result: Mapping[str, Any]) -> str:
    """Format the metrics as a Markdown table, with the verdict below.

    Args:
        result: result of `summarize_checks`.
    """
    metrics = result["metrics"]
    percentages = sorted(
        int(name.split("_")[1]) for name in metrics if name.startswith("randomized_") and name.endswith("_correlation")
    )
    other_maps = {"resampled": "other patches"}
    for percentage in percentages:
        other_maps[f"randomized_{percentage}"] = f"a network whose weights are {percentage}% randomized"
    rows = [*LOCATION_TABLE]
    for name, description in other_maps.items():
        for title, kind in SIMILARITY_TABLE:
            rows.append((title.format(description), f"{name}_{kind}", f"phase_randomized_{kind}"))
    lines = [f"| {result['n'] - result['without_map']} maps | figure, 95 % interval | chance |", "|---|---|---|"]
    for title, name, chance in rows:
        if name in metrics:
            lines.append(f"| {title} | {format_ci(metrics[name])} | {metrics[chance]['value']:.3f} |")
    return "\n".join([*lines, "", result["verdict"]])


def _check_outcome(check: SaliencyCheck, metrics: Mapping[str, Mapping[str, Any]], settings: SaliencyEvalConfig) -> str:
    limit = check.limit(settings)
    interval = metrics[check.metric]["interval"]
    if interval is None or interval[0] <= limit <= interval[1]:
        return INCONCLUSIVE
    return PASSED if (interval[0] > limit) == check.above else FAILED


def _mean_curves(curves: Sequence[Mapping[str, np.ndarray]], patients: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the mean of each curve with its interval at each point; None for an undefined bound."""
    stacked = {name: np.stack([row_curves[name] for row_curves in curves]) for name in CURVES}
    result: dict[str, Any] = {"fractions": np.linspace(0, 1, stacked[CURVES[0]].shape[1]).tolist()}
    for name, values in stacked.items():
        low, high = confidence.mean_interval(values, patients, seed, bounded=True)
        result[name] = {
            "value": values.mean(0, dtype=np.float64).tolist(),
            "low": _nan_to_none(low),
            "high": _nan_to_none(high),
        }
    return result


def _nan_to_none(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _is_bounded(name: str) -> bool:
    """Return whether the values of a metric are in 0..1; an SSIM may be negative."""
    return not name.endswith("_ssim")


def _mean_with_ci(
    values: np.ndarray, subtrahend: np.ndarray | None, patients: np.ndarray, seed: int, bounded: bool
) -> dict[str, Any]:
    """Return the mean of values [n], or of their difference from others, with its interval and n, without NaN."""
    differences = values if subtrahend is None else values - subtrahend
    defined = ~np.isnan(differences)
    if not defined.any():
        return {"value": None, "interval": None, "n": 0}
    less = None if subtrahend is None else subtrahend[defined]
    interval = confidence.mean_interval(values[defined], patients[defined], seed, bounded, less)
    return {
        "value": float(differences[defined].mean()),
        "interval": None if np.isnan(interval).any() else interval.tolist(),
        "n": int(defined.sum()),
    }
