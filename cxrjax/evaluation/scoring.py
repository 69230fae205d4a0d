"""Scores, tables and figures of an evaluation, computed from its rows without a network.

Reads RUN/evaluation/SPLIT/predictions.csv, RUN/calibration.json and RUN/config.json; writes metrics.json and figures
beside the rows. In metrics.json every score is {"value", "interval", "n"}: what it is, its 95% interval by resampling
patients (see `statistics.estimates`), and the radiographs that it is of.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from numpy.typing import NDArray

from cxrjax.evaluation import plots
from cxrjax.io import predictions_csv
from cxrjax.metrics import (
    baselines,
    bootstrap,
    classification,
    confidence,
    prediction_arrays,
    selective,
    subgroups,
    vote_convergence,
)
from cxrjax.metrics import calibration as calibrating
from cxrjax.metrics.prediction_arrays import PredictionArrays
from cxrjax.runs import calibration, provenance, run_dir
from cxrjax.runtime import atomic_files

UNSETTLED = (
    "the patches vote by mean probability, and rows do not hold that of each patch: how findings settle is not known"
)


def score_run(workdir: Path, split: str) -> dict[str, Any]:
    """Compute metrics.json from the rows of a split, and draw its figures.

    Args:
        workdir: the run directory.
        split: one that was evaluated; of other data, as `dataset.name_results` calls it.

    Returns:
        What metrics.json says: "split", "data" (its data set), "n", "patients" and "without_patient" (see
        `prediction_arrays.count_patients`), "warnings", "all" and "subgroups" ({attribute: {group: scores}}); of a
        classifier also "source_alone" (the scores of guessing from the source, of `classification.measure_guesses`;
        null where nothing was guessed), "over_source" (the network's less those), "calibration", "operating_points" (a
        null threshold is one that cannot be reached), "referral" and "settling" (None where the votes do not tell it).

    Raises:
        UnfitRun: there is no run in the folder.
        FileNotFoundError: the split was not evaluated.
        ValueError: its rows are not what `predictions_csv.read` reads, or there are none.
    """
    config, folder = run_dir.load_config(workdir), workdir / "evaluation" / split
    rows = predictions_csv.read(folder / "predictions.csv")
    if not rows:
        raise ValueError(f"{folder / 'predictions.csv'}: there is no radiograph to score")
    patients = prediction_arrays.patients(rows)
    finds = bool(predictions_csv.class_names(rows[0], predictions_csv.COUNT_PREFIX))
    of = provenance.read(folder)
    known = calibration.load(workdir, of.step) if finds else None
    collected, groups = prediction_arrays.collect(rows) if finds else None, subgroups.partition(rows)
    if finds:
        counts = provenance.load_label_counts(workdir)
        alone = (
            baselines.source_probabilities(counts, [row.get("source", "") for row in rows], collected.classes)
            if counts
            else None
        )
        measure = metric_fn(collected, groups, known, config.voting.rule, alone)
    else:
        measure = _prepare_masks(rows, groups)
    scores = {
        "split": split,
        "data": of.data,
        "n": len(rows),
        **prediction_arrays.count_patients(rows),
        "resamples": bootstrap.RESAMPLES,
    }
    scores |= confidence.summarize(bootstrap.bootstrap(measure, patients), patients)
    scores["warnings"] = list_warnings(scores, known, config)
    atomic_files.atomic_write(folder / "metrics.json", (json.dumps(scores, indent=2, allow_nan=False) + "\n").encode())
    if finds:
        plots.draw_plots(collected, scores, folder)
    return scores


def metric_fn(
    cases: PredictionArrays,
    groups: Mapping[str, Mapping[str, NDArray]],
    known: Mapping[str, Any] | None,
    rule: str,
    by_source: NDArray | None = None,
) -> Callable[[NDArray], dict]:
    """All that is measured of findings.

    Args:
        cases: n radiographs.
        groups: of `subgroups.partition`.
        known: of `calibration.load`.
        rule: of `voting.RULES`; settling is None but of "majority", for rows hold no probabilities of each patch.
        by_source: of `baselines.guess`; None where it is not known what training holds, so that the source alone is
            what the rows say that it guesses.

    Returns:
        A measure: weights [r, n] -> the tree of `score`, for `bootstrap.bootstrap`.
    """
    everyone, claimed = np.arange(len(cases.truth)), cases.claimed
    calibrated = _prepare_calibration(cases, known) if len(claimed) else {}
    guessed = cases.guessed < len(cases.classes)  # without guesses there are no scores of them
    settled = (
        vote_convergence.vote_convergence(cases.votes, cases.probabilities, cases.truth) if rule == "majority" else None
    )

    def measure(weights: NDArray) -> dict:
        network = cases.at(everyone, weights) | {
            "energy_in_lesions": confidence.mean_estimate(cases.energy, weights),
            **({} if cases.flagged is None else {"flagged": weights @ cases.flagged}),
        }
        if by_source is None:
            alone = classification.measure_findings(cases.truth, cases.guessed, None, cases.classes, weights * guessed)
        else:
            alone = classification.measure_guesses(cases.truth, by_source, cases.classes, weights)
        return {
            "all": network,
            "source_alone": alone,
            "over_source": {
                "n": network["n"],
                "accuracy": confidence.difference(network["accuracy"], alone["accuracy"]),
                "macro_f1": confidence.difference(network["macro"]["f1"], alone["macro"]["f1"]),
                "macro_auroc": confidence.difference(network["macro"]["auroc"], alone["macro"]["auroc"]),
            },
            "calibration": {kind: one(weights[:, claimed]) for kind, one in calibrated.items()},
            "operating_points": _operate(cases, known["operating_points"], weights) if known else {},
            "referral": {
                name: selective.measure(selective.by_certainty(cases.right, certainty, weights)) | {"n": weights.sum(1)}
                for name, certainty in cases.certainties.items()
            },
            "settling": {
                str(size): {name: confidence.mean_estimate(values, weights) for name, values in each.items()}
                | {"n": weights.sum(1)}
                for size, each in settled.items()
            }
            if settled is not None
            else None,
            "subgroups": {
                attribute: {name: cases.at(rows, weights) for name, rows in parts.items()}
                for attribute, parts in groups.items()
            },
        }

    return measure


def list_warnings(scores: Mapping[str, Any], known: Mapping[str, Any] | None, config: ConfigDict) -> list[str]:
    """Return one sentence per caveat: splits that training or validation used, small groups, missing scores."""
    finds, split = "classes" in scores["all"], scores["split"]
    groups = [("class", label, of["support"]) for label, of in scores["all"].get("classes", {}).items()]
    groups += [(attribute, name, of["n"]) for attribute, of in scores["subgroups"].items() for name, of in of.items()]
    few = [f"{attribute} {name} ({n})" for attribute, name, n in groups if 0 < n < subgroups.FEW]
    warnings = []
    if few:
        warnings.append(f"fewer than {subgroups.FEW} radiographs, too few to say much of: {', '.join(few)}")
    without = scores.get("without_patient", 0)
    if without:
        who = "the patients are" if without == scores["n"] else f"the patients of {without} radiographs are"
        warnings.append(
            f"{who} not known: each radiograph counts as a patient of its own, and nothing kept those of one patient "
            "in one split"
        )
    if _share_parts(split, config.data.train):
        warnings.append(f"the network was trained on {config.data.train}: in {split} it has seen radiographs before")
    if finds and known is None:
        warnings.append("the run has no calibration.json, so there are no operating points and no temperature")
    elif known and _share_parts(split, known["split"]):
        warnings.append(f"temperature and operating points were chosen on {known['split']}, which {split} shares")
    if known and (doubt := calibration.reliability_warning(known)):
        warnings.append(doubt)
    if finds and scores["settling"] is None:
        warnings.append(UNSETTLED)
    return warnings


def _prepare_calibration(
    cases: PredictionArrays, known: Mapping[str, Any] | None
) -> dict[str, Callable[[NDArray], dict]]:
    """Measures of the calibration of the radiographs with findings, as they are and at the run's temperature."""
    rows = cases.claimed
    temperatures = {"raw": 1.0} | ({"scaled": known["temperature"]} if known else {})

    def prepare_one(temperature: float) -> Callable[[NDArray], dict]:
        probabilities = calibrating.apply_temperature(cases.probabilities[rows], temperature)
        measure = calibrating.prepare_calibration(probabilities, cases.truth[rows], cases.found[rows])
        return lambda weights: measure(weights) | {"temperature": temperature}

    return {kind: prepare_one(temperature) for kind, temperature in temperatures.items()}


def _operate(cases: PredictionArrays, points: Mapping[str, Mapping[str, float | None]], weights: NDArray) -> dict:
    """Sensitivity and specificity at each threshold that can be reached; see `calibration`."""
    tree: dict[str, dict[str, dict]] = {}
    for name, thresholds in points.items():
        positive, claims = cases.truth == cases.classes.index(name), cases.probabilities[:, cases.classes.index(name)]
        tree[name] = {}
        for kind, threshold in thresholds.items():
            if threshold is None:
                tree[name][kind] = {"threshold": None}
                continue
            called = claims >= threshold  # NaN never does
            tree[name][kind] = {
                "threshold": threshold,
                "sensitivity": confidence.proportion(weights @ (called & positive), weights @ positive),
                "specificity": confidence.proportion(weights @ ~(called | positive), weights @ ~positive),
            }
    return tree


def _prepare_masks(rows: Sequence[Mapping], groups: Mapping[str, Mapping[str, NDArray]]) -> Callable[[NDArray], dict]:
    def measure(weights: NDArray) -> dict:
        return {
            "all": classification.measure_masks(rows, weights),
            "subgroups": {
                attribute: {
                    name: classification.measure_masks([rows[i] for i in part], weights[:, part])
                    for name, part in parts.items()
                }
                for attribute, parts in groups.items()
            },
        }

    return measure


def _share_parts(split: str, other: str) -> bool:
    """Return whether two splits, each of one name or several joined by "+", share a name."""
    return bool({*split.split("+")} & {*other.split("+")})
