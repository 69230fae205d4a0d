"""External validation of several findings: each finding in each collection, beside the run's own split.

The pooled AUROC of a finding over collections may come from differences between them (Zech et al. 2018), as that of a
label may (`cxrjax.evaluation.external`); within a collection it cannot. Writes external_findings.json.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from cxrjax.evaluation import external_measure, external_verdict
from cxrjax.evaluation.external_measure import MIN_CASES
from cxrjax.metrics import bootstrap, confidence, finding_arrays, multilabel, prediction_arrays, subgroups
from cxrjax.metrics.finding_arrays import FindingArrays
from cxrjax.metrics.patient_weights import Weights
from cxrjax.runtime import atomic_files
from cxrjax.runtime.formatting import join_words

FILE = "external_findings.json"
MARGIN = 0.05  # fall of the mean AUROC up to which a network holds; our choice


class _Group(NamedTuple):
    """Radiographs of the own split, of a collection, or of all collections."""

    members: Int[np.ndarray, "rows"]  # positions in the table of all rows
    ranked: tuple[str, ...]  # findings with at least MIN_CASES radiographs known to be with and without
    small: dict[str, list[int]]  # number without and with, of the other findings that a radiograph has
    measure: Callable[[Weights], dict[str, Any]]  # of the weights of the members


def assess(
    rows: Sequence[Mapping], own_rows: Sequence[Mapping], own_split: str, resamples: int = bootstrap.RESAMPLES
) -> dict[str, Any]:
    """Compare the rows of another data set with those of the run's own split, finding by finding.

    Args:
        rows: of `predictions_csv.read`, with several findings, at least one.
        own_rows: of the own split; empty if it was not evaluated.
        own_split: its name.
        resamples: number of resamples of patients.

    Returns:
        "sentence"; "targets"; "own_split"; "n" and "patients"; "own" and "pooled": "auroc", the mean over the findings
        with at least MIN_CASES radiographs with and without, and "classes" ({finding: {"n", "support", "sensitivity",
        "specificity", "auroc"}}), of these; "difference" (pooled less own, over the findings of both); "collections"
        ({name: scores, with "difference", "verdict" and "small"}); "within" (the mean "within" a collection, the
        "pooled" AUROC of the same findings, and their "difference"; {} if no collection has enough). Each score is
        {"value", "interval", "n"}.
    """
    arrays = finding_arrays.collect([*own_rows, *rows])
    sources = np.array([row.get("source") or subgroups.UNKNOWN for row in rows])
    external = np.arange(len(own_rows), len(own_rows) + len(rows))
    own = _make_group(arrays, np.arange(len(own_rows)))
    pooled = _make_group(arrays, external)
    collections = {str(name): _make_group(arrays, external[sources == name]) for name in np.unique(sources)}
    ranked = {name: group.ranked for name, group in collections.items()}

    def measure(weights: Weights) -> dict[str, Any]:
        own_scores = own.measure(weights)
        pooled_scores = pooled.measure(weights)
        by_collection = {name: group.measure(weights) for name, group in collections.items()}
        return {
            "own": own_scores,
            "pooled": pooled_scores,
            "difference": external_measure.compare_classes(pooled_scores, own_scores),
            "collections": {
                name: scores | {"difference": external_measure.compare_classes(scores, own_scores)}
                for name, scores in by_collection.items()
            },
            "within": external_measure.measure_within(pooled_scores, by_collection, ranked),
        }

    patients = [f"\1{patient}" for patient in prediction_arrays.patients(own_rows)] + prediction_arrays.patients(rows)
    scores = confidence.summarize(bootstrap.bootstrap(measure, patients, resamples), patients)
    if not own_rows:
        scores["own"] = {}
    num_judged = sum("auroc" in group["difference"] for group in scores["collections"].values())
    for name, group in scores["collections"].items():
        difference = group["difference"].get("auroc")
        group["verdict"] = external_verdict.judge(difference, max(num_judged, 1), MARGIN)
        group["small"] = collections[name].small
    result = {
        "targets": "multi",
        "own_split": own_split,
        "n": len(rows),
        **prediction_arrays.count_patients(rows),
        **scores,
    }
    return {"sentence": conclude(result), **result}


def write(folder: Path, result: Mapping[str, Any]) -> None:
    """Write the result of `assess` to the folder of an evaluation."""
    atomic_files.atomic_write(folder / FILE, (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())


def conclude(result: Mapping[str, Any]) -> str:
    """Return a sentence or two on the result of `assess`: where the network falls, and what the pooled AUROC is of."""
    pooled = result["pooled"]["auroc"]["value"]
    if pooled is None:
        return f"No finding has {MIN_CASES} radiographs with and without it: nothing can be said."
    sentences = []
    share = external_verdict.pooled_share(result["within"]) if result["within"] else None
    if share is not None:
        within = result["within"]
        sentences.append(
            f"The AUROC of a finding is {within['pooled']['value']:.2f} over all collections pooled, and "
            f"{within['within']['value']:.2f} within a collection: {share:.0%} of what exceeds 0.5 comes from "
            "differences between the collections."
        )
    by_verdict: dict[str, list[str]] = {}
    for name, group in result["collections"].items():
        if group["auroc"]["value"] is not None:
            described = f"{name} (mean AUROC {group['auroc']['value']:.2f})"
            by_verdict.setdefault(group["verdict"], []).append(described)
    if not result["own"]:
        return " ".join([*sentences, f"The mean AUROC of a finding is {pooled:.2f}; the own split was not evaluated."])
    texts = {
        external_verdict.FALLS: "The network falls in {}.",
        external_verdict.HOLDS: "It holds in {}.",
        external_verdict.UNCLEAR: "There are too few radiographs to say whether it does in {}.",
    }
    for verdict, text in texts.items():
        if verdict in by_verdict:
            sentences.append(text.format(join_words(by_verdict[verdict])))
    return " ".join(sentences)


def _make_group(arrays: FindingArrays, members: Int[np.ndarray, "rows"]) -> _Group:
    part = arrays.select(members)
    present = (part.positive & part.known).sum(0)
    absent = (~part.positive & part.known).sum(0)
    counts = {name: [int(n), int(m)] for name, n, m in zip(arrays.findings, absent, present, strict=True)}
    ranked = tuple(name for name, pair in counts.items() if min(pair) >= MIN_CASES)
    small = {name: pair for name, pair in counts.items() if name not in ranked and sum(pair)}
    measure_all = multilabel.prepare_findings(part)

    def measure(weights: Weights) -> dict[str, Any]:
        scores = measure_all(weights[:, members])
        classes = {}
        for name in ranked:
            of_finding = scores["classes"][name]
            classes[name] = {key: of_finding[key] for key in ("n", "support", "specificity", "auroc")}
            classes[name]["sensitivity"] = of_finding["recall"]
        areas = [of_finding["auroc"] for of_finding in classes.values()]
        mean = confidence.mean_of(areas) if areas else np.full(len(weights), np.nan)
        return {"n": scores["n"], "no_prediction": scores["no_prediction"], "auroc": mean, "classes": classes}

    return _Group(members, ranked, small, measure)
