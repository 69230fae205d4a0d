"""From the rows of an evaluation to its scores, tables and figures: no network is asked again.

Reads RUN/evaluation/SPLIT/predictions.csv and RUN/calibration.json; writes metrics.json and figures beside the rows.
In metrics.json every score is {"value", "interval", "n"}: what it is, its 95% interval by resampling patients (see
`statistics.estimates`), and the radiographs that it is of.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrjax import calibration, charts, findings, metrics, origin, predictions, whole
from cxrjax.findings import Findings
from cxrjax.statistics import calibration as calibrating
from cxrjax.statistics import estimates, referral, resampling, settling, subgroups


def score(workdir: Path, split: str) -> dict[str, Any]:
    """Compute metrics.json from the rows of a split, and draw its figures.

    Args:
        workdir: the run directory.
        split: one that was evaluated; of other data, as `data.name_results` calls it.

    Returns:
        What metrics.json says: "split", "data" (its data set), "n", "patients", "warnings", "all" and "subgroups"
        ({attribute: {group: scores}}); of a classifier also "source_alone" (the scores of guessing from the source;
        null where nothing was guessed), "over_source" (the network's less those), "calibration", "operating_points",
        "referral" and "settling".

    Raises:
        FileNotFoundError: the split was not evaluated.
        ValueError: its rows are not what `predictions.read` reads, or there are none.
    """
    folder = workdir / "evaluation" / split
    rows = predictions.read(folder / "predictions.csv")
    if not rows:
        raise ValueError(f"{folder / 'predictions.csv'}: there is no radiograph to score")
    patients = findings.patients(rows)
    finds = bool(predictions.names(rows[0], predictions.COUNT_PREFIX))
    of = origin.read(folder)
    known = calibration.load(workdir, of.step) if finds else None
    collected = findings.collect(rows) if finds else None
    measure = prepare(collected, subgroups.partition(rows), known) if finds else _prepare_masks(rows)
    crowding = resampling.crowding(patients)
    scores = {
        "split": split,
        "data": of.data,
        "n": len(rows),
        "patients": len(set(patients)),
        "resamples": resampling.RESAMPLES,
    }
    scores |= estimates.describe(resampling.bootstrap(measure, patients), crowding)
    scores["warnings"] = warn(scores, known)
    whole.write(folder / "metrics.json", (json.dumps(scores, indent=2, allow_nan=False) + "\n").encode())
    if finds:
        charts.draw(collected, scores, folder)
    return scores


def prepare(
    cases: Findings, groups: Mapping[str, Mapping[str, NDArray]], known: Mapping[str, Any] | None
) -> Callable[[NDArray], dict]:
    """All that is measured of findings.

    Args:
        cases: n radiographs.
        groups: of `subgroups.partition`.
        known: of `calibration.load`.

    Returns:
        A measure: weights [r, n] -> the tree of `score`, for `resampling.bootstrap`.
    """
    everyone, claimed = np.arange(len(cases.truth)), cases.claimed
    calibrated = _prepare_calibration(cases, known) if len(claimed) else {}
    guessed = cases.guessed < len(cases.classes)  # without guesses there are no scores of them
    settled = settling.settle(cases.votes, cases.probabilities, cases.truth)

    def measure(weights: NDArray) -> dict:
        network = cases.at(everyone, weights) | {
            "energy_in_lesions": _mean(cases.energy, weights),
            **({} if cases.flagged is None else {"flagged": weights @ cases.flagged}),
        }
        alone = metrics.measure_findings(cases.truth, cases.guessed, None, cases.classes, weights * guessed)
        return {
            "all": network,
            "source_alone": alone,
            "over_source": {
                "n": network["n"],
                "accuracy": network["accuracy"].value - alone["accuracy"].value,
                "macro_f1": network["macro"]["f1"] - alone["macro"]["f1"],
            },
            "calibration": {kind: one(weights[:, claimed]) for kind, one in calibrated.items()},
            "operating_points": _operate(cases, known["operating_points"], weights) if known else {},
            "referral": {
                name: referral.measure(referral.keep(cases.right, certainty, weights)) | {"n": weights.sum(1)}
                for name, certainty in cases.certainties.items()
            },
            "settling": {
                str(size): {name: _mean(values, weights) for name, values in each.items()} | {"n": weights.sum(1)}
                for size, each in settled.items()
            },
            "subgroups": {
                attribute: {name: cases.at(rows, weights) for name, rows in parts.items()}
                for attribute, parts in groups.items()
            },
        }

    return measure


def warn(scores: Mapping[str, Any], known: Mapping[str, Any] | None) -> list[str]:
    """A sentence for whatever a reader must not overlook: groups of few radiographs, and what could not be done."""
    small = [f"{label} ({s['support']})" for label, s in scores["all"].get("classes", {}).items()]
    small += [f"{name} ({part['n']})" for parts in scores["subgroups"].values() for name, part in parts.items()]
    small = [name for name in small if 0 < int(name.rpartition("(")[2][:-1]) < subgroups.FEW]
    warnings = []
    if small:
        warnings.append(f"fewer than {subgroups.FEW} radiographs, too few to say much of: {', '.join(small)}")
    if "classes" in scores["all"] and known is None:
        warnings.append("the run has no calibration.json, so there are no operating points and no temperature")
    elif known and known["split"] == scores["split"]:
        warnings.append("temperature and operating points were chosen on these very radiographs")
    return warnings


def _prepare_calibration(cases: Findings, known: Mapping[str, Any] | None) -> dict[str, Callable[[NDArray], dict]]:
    """Measures of the calibration of the radiographs with findings, as they are and at the run's temperature."""
    rows = cases.claimed
    temperatures = {"raw": 1.0} | ({"scaled": known["temperature"]} if known else {})

    def prepare_one(temperature: float) -> Callable[[NDArray], dict]:
        probabilities = calibrating.apply_temperature(cases.probabilities[rows], temperature)
        measure = calibrating.prepare(probabilities, cases.truth[rows], cases.found[rows])
        claimed = probabilities[np.arange(len(rows)), cases.found[rows]]
        chance = calibrating.error_if_calibrated(claimed, calibrating.bin_equally(claimed))
        return lambda weights: measure(weights) | {"ece_if_calibrated": chance, "temperature": temperature}

    return {kind: prepare_one(temperature) for kind, temperature in temperatures.items()}


def _operate(cases: Findings, points: Mapping[str, Mapping[str, float | None]], weights: NDArray) -> dict:
    """Sensitivity and specificity at each threshold; a radiograph without a finding is called nothing."""
    tree = {}
    for name, thresholds in points.items():
        positive = cases.truth == cases.classes.index(name)
        tree[name] = {}
        for kind, threshold in thresholds.items():
            called = cases.probabilities[:, cases.classes.index(name)] >= (np.inf if threshold is None else threshold)
            tree[name][kind] = {
                "threshold": threshold,
                "sensitivity": estimates.share(weights @ (called & positive), weights @ positive),
                "specificity": estimates.share(weights @ ~(called | positive), weights @ ~positive),
            }
    return tree


def _prepare_masks(rows: Sequence[Mapping]) -> Callable[[NDArray], dict]:
    groups = subgroups.partition(rows)

    def measure(weights: NDArray) -> dict:
        return {
            "all": metrics.measure_masks(rows, weights),
            "subgroups": {
                attribute: {
                    name: metrics.measure_masks([rows[i] for i in part], weights[:, part])
                    for name, part in parts.items()
                }
                for attribute, parts in groups.items()
            },
        }

    return measure


def _mean(values: NDArray, weights: NDArray) -> NDArray:
    """Weighted mean [r] of the values [n] that are not NaN."""
    return estimates.divide(weights @ np.nan_to_num(values), weights @ ~np.isnan(values))
