"""External validation of several findings: each finding in each collection, beside the run's own split.

The pooled AUROC of a finding over collections may come from differences between them (Zech et al. 2018), as that of a
label may (`cxrjax.evaluation.external`); within a collection it cannot.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from cxrjax.evaluation import external_measure, external_verdict
from cxrjax.evaluation.external_measure import MIN_CASES
from cxrjax.metrics import bootstrap, confidence, finding_arrays, multilabel, prediction_arrays, subgroups
from cxrjax.metrics.finding_arrays import FindingArrays
from cxrjax.metrics.patient_weights import Weights
from cxrjax.runtime.formatting import format_label

FILE = "external_findings.json"
MARGIN = 0.05  # fall of the mean AUROC up to which a network holds; our choice
_TARGETED = ("at_specificity", "at_sensitivity")  # operating points that promise a rate


class _Group(NamedTuple):
    """Radiographs of the own split, of a collection, or of all collections."""

    members: Int[np.ndarray, "rows"]  # positions in the table of all rows
    ranked: tuple[str, ...]  # findings with at least MIN_CASES radiographs known to be with and without
    small: dict[str, list[int]]  # number without and with, of the other findings that a radiograph has
    measure: Callable[[Weights], dict[str, Any]]  # of the weights of all rows


class _Groups(NamedTuple):
    """The radiographs of both data sets, in groups."""

    arrays: FindingArrays  # of all rows, those of the own split first
    is_flagged: Bool[np.ndarray, "n"]  # by the out-of-distribution detector
    own: _Group  # with the findings of `pooled` alone
    pooled: _Group
    collections: dict[str, _Group]

    @property
    def common(self) -> tuple[str, ...]:
        """The findings with enough radiographs on the own split and in all collections together."""
        return self.own.ranked if len(self.own.members) else self.pooled.ranked

    @property
    def members(self) -> dict[str, Int[np.ndarray, "rows"]]:
        """Positions of the radiographs of each collection."""
        return {name: group.members for name, group in self.collections.items()}


def assess(
    rows: Sequence[Mapping],
    own_rows: Sequence[Mapping],
    own_split: str,
    stored_calibration: Mapping[str, Any] | None = None,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """Compare the rows of another data set with those of the run's own split, finding by finding.

    Args:
        rows: of `predictions_csv.read`, with several findings, at least one.
        own_rows: of the own split; empty if it was not evaluated.
        own_split: its name.
        stored_calibration: result of `calibration.load`.
        resamples: number of resamples of patients.

    Returns:
        "sentence"; "targets"; "own_split"; "n" and "patients"; "target" of the operating points, None without a
        calibration; "own" and "pooled": "auroc", the mean over the findings with at least MIN_CASES radiographs with
        and without, and "classes" ({finding: {"n", "support", "sensitivity", "specificity", "auroc"}}), of these, on
        the own split only those of "pooled"; "difference" (pooled less own, over the findings of both); "collections"
        ({name: scores, with "difference", "judged", "verdict" and "small"}); "within" (the mean "within" a collection,
        the "pooled" AUROC of the same findings, and their "difference"; {} if no collection has enough);
        "operating_points" ({finding: {kind: {"own", "pooled", "at NAME"}}}, where a finding has enough radiographs);
        "calibration" at validation's temperatures ({"own" and "external": result of `multilabel.prepare_calibration`},
        over the findings of both) and "temperature" ({finding: {"validation", "here"}}), {} without a calibration;
        "detector" ({} if no out-of-distribution detector judged the radiographs; see `external_measure.count_flagged`);
        and "warnings". Each score is {"value", "interval", "n"}.
    """
    groups = _make_groups(rows, own_rows)
    has_detector = "ood_reason" in rows[0]
    measure = _metric_fn(groups, stored_calibration, has_detector)
    patients = [f"\1{patient}" for patient in prediction_arrays.patients(own_rows)] + prediction_arrays.patients(rows)
    scores = confidence.summarize(bootstrap.bootstrap(measure, patients, resamples), patients)
    if not own_rows:
        scores["own"] = {}
    num_judged = sum(bool(group["judged"]) for group in scores["collections"].values())
    for name, group in scores["collections"].items():
        difference = group["judged"].get("difference")
        group["verdict"] = external_verdict.judge(difference, max(num_judged, 1), MARGIN, scores["own"])
        group["small"] = groups.collections[name].small
    result = {
        "targets": "multi",
        "own_split": own_split,
        "n": len(rows),
        **prediction_arrays.count_patients(rows),
        "target": stored_calibration["target"] if stored_calibration else None,
        **scores,
        "temperature": _temperatures(groups, stored_calibration) if stored_calibration else {},
    }
    return {"sentence": external_verdict.conclude(result), **result, "warnings": _list_warnings(result)}


def _make_groups(rows: Sequence[Mapping], own_rows: Sequence[Mapping]) -> _Groups:
    arrays = finding_arrays.collect([*own_rows, *rows])
    sources = np.array([row.get("source") or subgroups.UNKNOWN for row in rows])
    external = np.arange(len(own_rows), len(own_rows) + len(rows))
    pooled = _make_group(arrays, external, arrays.findings)
    return _Groups(
        arrays=arrays,
        is_flagged=np.array([bool(row.get("ood_reason")) for row in [*own_rows, *rows]]),
        own=_make_group(arrays, np.arange(len(own_rows)), pooled.ranked),
        pooled=pooled,
        collections={
            str(name): _make_group(arrays, external[sources == name], arrays.findings) for name in np.unique(sources)
        },
    )


def _make_group(arrays: FindingArrays, members: Int[np.ndarray, "rows"], allowed: Collection[str]) -> _Group:
    part = arrays.select(members)
    present = (part.positive & part.known).sum(0)
    absent = (~part.positive & part.known).sum(0)
    counts = {name: [int(n), int(m)] for name, n, m in zip(arrays.findings, absent, present, strict=True)}
    ranked = tuple(name for name, pair in counts.items() if min(pair) >= MIN_CASES and name in allowed)
    small = {name: pair for name, pair in counts.items() if min(pair) < MIN_CASES and sum(pair)}
    measure_all = multilabel.prepare_findings(part.select_findings(ranked) if ranked else part)

    def measure(weights: Weights) -> dict[str, Any]:
        scores = measure_all(weights[:, members])
        classes = {}
        for name in ranked:
            of_finding = scores["classes"][name]
            classes[name] = {key: of_finding[key] for key in ("n", "support", "specificity", "auroc")}
            classes[name]["sensitivity"] = of_finding["recall"]
        mean = _mean_auroc(classes, ranked) if ranked else np.full(len(weights), np.nan)
        return {"n": scores["n"], "no_prediction": scores["no_prediction"], "auroc": mean, "classes": classes}

    return _Group(members, ranked, small, measure)


def _mean_auroc(classes: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> confidence.Combination:
    return confidence.mean_of([classes[name]["auroc"] for name in names])


def _metric_fn(
    groups: _Groups, stored_calibration: Mapping[str, Any] | None, has_detector: bool
) -> Callable[[Weights], dict[str, Any]]:
    """Return a function that computes all scores of an external evaluation of several findings."""
    ranked = {name: group.ranked for name, group in groups.collections.items()}
    calibration_metrics = _calibration_metric_fns(groups, stored_calibration) if stored_calibration else {}
    points = stored_calibration["operating_points"] if stored_calibration else {}
    measure_flagged = _flagged_metric_fn(groups) if has_detector else lambda own, pooled, weights: {}

    def measure(weights: Weights) -> dict[str, Any]:
        own = groups.own.measure(weights)
        pooled = groups.pooled.measure(weights)
        by_collection = {name: group.measure(weights) for name, group in groups.collections.items()}
        return {
            "own": own,
            "pooled": pooled,
            "difference": external_measure.compare_classes(pooled, own),
            "collections": {name: _beside_own(scores, own) for name, scores in by_collection.items()},
            "within": external_measure.measure_within(pooled, by_collection, ranked),
            "operating_points": _measure_thresholds(groups, points, weights),
            "calibration": {name: metrics(weights) for name, metrics in calibration_metrics.items()},
            "detector": measure_flagged(own, pooled, weights),
        }

    return measure


def _beside_own(scores: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of a collection with the differences to the own split, by finding and as means ("judged")."""
    common = [name for name in scores["classes"] if name in own["classes"]]
    judged = {}
    if common:
        here = _mean_auroc(scores["classes"], common)
        before = _mean_auroc(own["classes"], common)
        judged = {"n": scores["n"], "here": here, "own": before, "difference": confidence.difference(here, before)}
    return {**scores, "difference": external_measure.compare_classes(scores, own), "judged": judged}


def _measure_thresholds(
    groups: _Groups, points: Mapping[str, Mapping[str, float | None]], weights: Weights
) -> dict[str, Any]:
    """Return sensitivity and specificity at validation's thresholds, where a finding has enough radiographs."""
    parts = external_measure.name_groups(groups.own, groups.pooled, groups.collections)
    tree = {}
    for name in groups.pooled.ranked:
        k = groups.arrays.findings.index(name)
        known = groups.arrays.known[:, k]
        members = {part: group.members for part, group in parts.items() if name in group.ranked}
        thresholds = {kind: points.get(name, {}).get(kind) for kind in _TARGETED}
        tree[name] = external_measure.measure_class_thresholds(
            thresholds,
            groups.arrays.positive[:, k],
            groups.arrays.probabilities[:, k],
            {part: rows[known[rows]] for part, rows in members.items()},
            weights,
        )
    return {name: kinds for name, kinds in tree.items() if kinds}


def _calibration_metric_fns(
    groups: _Groups, stored_calibration: Mapping[str, Any]
) -> dict[str, Callable[[Weights], dict[str, Any]]]:
    """Return functions that compute the calibration metrics at validation's temperatures, own and external."""
    arrays = groups.arrays.select_findings(groups.common)
    metrics = {}
    for name, group in (("own", groups.own), ("external", groups.pooled)):
        part = arrays.select(group.members)
        if any(len(part.rows_with_prediction(k)) for k in range(len(part.findings))):
            measure = multilabel.prepare_calibration(part, stored_calibration["temperature"])
            metrics[name] = lambda weights, measure=measure, rows=group.members: measure(weights[:, rows])
    return metrics


def _temperatures(groups: _Groups, stored_calibration: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the temperature of validation of each finding, and the one that the other data set would be given."""
    arrays = groups.arrays.select_findings(groups.common).select(groups.pooled.members)
    fitted = multilabel.fit_temperatures(arrays)
    validation = stored_calibration["temperature"]
    return {name: {"validation": validation[name], "here": here} for name, here in fitted.items() if name in validation}


def _flagged_metric_fn(
    groups: _Groups,
) -> Callable[[Mapping[str, Any], Mapping[str, Any], Weights], dict[str, Any]]:
    """Return a function of the scores own and pooled: how many radiographs the detector flagged, and their share.

    The share is that of the fall of the mean AUROC; it is left out where too few radiographs remain of a finding.
    """
    members = groups.pooled.members
    rest = members[~groups.is_flagged[members]]
    others = _make_group(groups.arrays, rest, groups.common)
    can_compare = 0 < len(rest) < len(members) and bool(groups.common) and others.ranked == groups.common

    def measure(own: Mapping[str, Any], pooled: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
        result = external_measure.count_flagged(groups.is_flagged, members, groups.members, weights)
        if can_compare and len(groups.own.members):
            scores = {"own": own, "pooled": pooled, "without": others.measure(weights)}
            means = {name: _mean_auroc(part["classes"], groups.common) for name, part in scores.items()}
            result |= external_measure.explain_fall("auroc", means, weights[:, rest].sum(1), pooled["n"])
        return result

    return measure


def _list_warnings(result: Mapping[str, Any]) -> list[str]:
    """Return a sentence on a missing own split, and on the findings of each collection that are too rare."""
    warnings = [] if result["own"] else [external_measure.warn_of_missing_own(result["own_split"])]
    for name, group in result["collections"].items():
        small = [format_label(finding) for finding in group["small"]]
        if not group["classes"]:
            warnings.append(f"{name} is too small to say anything of any finding")
        elif small:
            names = external_verdict.list_names(small)
            pronoun = "it" if len(small) == 1 else "them"
            warnings.append(f"{name} has too few radiographs with or without {names} to say anything of {pronoun}")
    return warnings
