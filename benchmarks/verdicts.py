"""Measure how often the audit's verdict is correct on six kinds of synthetic data with a known truth.

    python -m benchmarks.verdicts [--draws=20]

The predictions of the network and of the audit's probe networks are simulated, as are the training sources; no network
is trained. Every draw has 300 new radiographs of four classes.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrjax.audit import metrics as scores
from cxrjax.audit import verdict
from cxrjax.audit.context import find_shared_patients
from cxrjax.metrics import baselines, prediction_arrays
from cxrjax.runtime.formatting import format_label

CLASSES = ("normal", "bacterial", "viral", "covid19")
COUNT = 300
TRAIN_COUNT = 900
SKILL = 2.0  # logit of the true class of a network that recognizes the disease; its macro AUROC is 0.92

Rows = list[dict[str, Any]]
Sources = dict[str, dict[str, float]]  # {class: {source: fraction of its radiographs}}


class Kind(NamedTuple):
    """Synthetic data with a known truth."""

    sources: Sources
    sees_disease: bool  # whether the network uses the disease
    sees_source: bool  # whether the network uses the source
    marked: str  # class with a marker in the background; "" for none
    shared: int  # number of test radiographs whose patient is in training too
    is_correct: Callable[[dict[str, Any]], bool]  # whether a verdict is correct


def says(verdict: dict[str, Any], *parts: str) -> bool:
    """Return whether the paragraph of a verdict contains all parts."""
    return all(part in verdict["paragraph"] for part in parts)


def claims(verdict: dict[str, Any], part: str) -> bool:
    """Return whether a claim that the verdict calls unsupported contains a part."""
    return any(part in claim for claim in verdict["cannot_support"])


EVENLY = {name: {"north": 0.5, "south": 0.5} for name in CLASSES}
ALONE = {name: {f"hospital of {name}": 1.0} for name in CLASSES}
UNEVENLY = {
    name: {"north": share, "south": 1 - share} for name, share in zip(CLASSES, (0.9, 0.8, 0.2, 0.1), strict=True)
}
SHARED = {"normal": {"north": 0.6, "south": 0.4}} | {name: {"north": 1.0} for name in CLASSES[1:]}
KINDS = {
    "no shortcut": Kind(
        EVENLY, True, False, "", 0,
        lambda v: says(v, "shortcuts tried is found") and not v["cannot_support"] and not says(v, "something leaks"),
    ),
    "source alone": Kind(
        ALONE, False, True, "", 0,
        lambda v: says(v, "From the source alone a macro AUROC of 1.00", "nothing of the score is sure to be left")
        and all(claims(v, f"{format_label(name)} (alone in hospital of {name})") for name in CLASSES),
    ),
    "source beside true signal": Kind(
        UNEVENLY, True, True, "", 0,
        lambda v: says(v, "From the source alone", "What the source alone does not reach is")
        and not v["cannot_support"] and not says(v, "which is not distinguishable from chance"),
    ),
    "classes that share a source": Kind(
        SHARED, True, False, "", 0,
        lambda v: not claims(v, "anything but the source") and not says(v, "which is not distinguishable from chance")
        and says(v, "Among radiographs of one source"),
    ),
    "a marker": Kind(
        EVENLY, True, False, "covid19", 0,
        lambda v: says(v, "From the background alone") and not claims(v, "anything but the source")
        and claims(v, "that the lungs distinguish COVID-19"),
    ),
    "a leak of patients": Kind(
        EVENLY, True, False, "", 40,
        lambda v: says(v, "40 of the patients are in training too") and claims(v, "any score, on patients"),
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20, help="draws per kind of data (default: %(default)s)")
    draws = parser.parse_args(arguments).draws
    print("| synthetic data | correct verdicts |\n|---|---|")
    for name, kind in KINDS.items():
        correct = sum(kind.is_correct(conclude(kind, np.random.default_rng(seed))) for seed in range(draws))
        print(f"| {name} | {correct} of {draws} |", flush=True)


def conclude(kind: Kind, rng: np.random.Generator) -> dict[str, Any]:
    """Draw one data set and return the audit's verdict on it."""
    train = draw(kind, rng, TRAIN_COUNT, "train")
    test = draw(kind, rng, COUNT, "test")
    for i in range(kind.shared):
        test[i]["patient_id"] = train[i]["patient_id"]
        test[i]["source"] = train[i]["source"]
    truth = np.array([CLASSES.index(row["label"]) for row in test])
    counts: dict[str, Counter] = {}
    for row in train:
        counts.setdefault(row["source"], Counter())[row["label"]] += 1
    by_source = baselines.source_probabilities(counts, [row["source"] for row in test], CLASSES)
    run = simulate_predictions(
        test, kind.sees_disease * SKILL * np.eye(4)[truth] + kind.sees_source * np.log(by_source + 0.02), rng
    )
    is_marked = np.array([row["label"] == kind.marked for row in test])
    mark = np.outer(np.where(is_marked, 8, -8), [name == kind.marked for name in CLASSES])
    nothing = np.zeros((COUNT, 4))
    chance = baselines.chance_level([row["label"] for row in train], [row["label"] for row in test], CLASSES)
    plain = [
        dict(row) | prediction_columns(row_probabilities)
        for row, row_probabilities in zip(test, by_source, strict=True)
    ]
    mixed = [row for row in run if row["source"] in scores.mixed_sources(run)]
    background = [simulate_predictions(test, nothing + mark, rng) for _ in range(3)]
    controls = [
        describe("source", "source alone", "shortcut", "metadata", plain, run, chance, scores.measure_baseline),
        describe(
            "background",
            "background alone",
            "shortcut",
            "small network",
            background[0],
            run,
            chance,
            repeats=background[1:],
        ),
        *(
            describe(
                f"shuffled_labels_{i}",
                "labels shuffled",
                "check",
                "small network",
                simulate_predictions(test, nothing, rng),
                run,
                chance,
            )
            for i in range(3)
        ),
    ]
    if mixed:
        measure = scores.measure_within_sources
        controls.append(
            describe("within_source", "within one source", "content", "network", mixed, run, chance, measure)
        )
    sources_of_labels: dict[str, dict[str, int]] = {name: {} for name in CLASSES}
    for source, label_counts in counts.items():
        for name, count in label_counts.items():
            sources_of_labels[name][source] = count
    return verdict.conclude(
        {
            "n": COUNT,
            "patients": len(set(prediction_arrays.patients(test))),
            "scores": scores.compare(run, None, run, CLASSES, chance)["scores"],
            "chance": chance,
            "labels": Counter(row["label"] for row in test),
            "selected_on_split": False,
            "shared_patients": len(find_shared_patients(train, test)),
            "sources": sources_of_labels,
            "experiments": controls,
        }
    )


def draw(kind: Kind, rng: np.random.Generator, count: int, split: str) -> Rows:
    """Draw `count` radiographs with cyclic classes, each of a different patient."""
    rows = []
    for i in range(count):
        label = CLASSES[i % len(CLASSES)]
        source = rng.choice(list(kind.sources[label]), p=list(kind.sources[label].values()))
        rows.append({"path": f"{split}/{i}.png", "patient_id": f"{split} {i}", "source": str(source), "label": label})
    return rows


def simulate_predictions(rows: Rows, logits: NDArray, rng: np.random.Generator) -> Rows:
    """Return rows with the predictions of a network with `logits` [n, K] plus noise of standard deviation 1."""
    odds = np.exp(logits + rng.normal(size=logits.shape))
    probabilities = odds / odds.sum(1, keepdims=True)
    return [
        row | prediction_columns(row_probabilities) for row, row_probabilities in zip(rows, probabilities, strict=True)
    ]


def prediction_columns(probabilities: NDArray) -> dict[str, Any]:
    """Return the columns of a prediction from its probabilities [K]."""
    columns = {f"probability_{name}": float(p) for name, p in zip(CLASSES, probabilities, strict=True)}
    return columns | {"prediction": CLASSES[int(probabilities.argmax())]}


def describe(
    name: str, title: str, kind: str, by: str, rows: Rows, run: Rows, chance: dict[str, float],
    measure: scores.Measure = scores.measure_predictions, repeats: Sequence[Rows] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return an entry of audit.json."""
    comparison = scores.compare(rows, None, run, CLASSES, chance, measure, repeats)
    if kind != "shortcut":
        comparison["share"] = None
    return {"name": name, "title": title, "category": kind, "model": by, "note": ""} | comparison


if __name__ == "__main__":
    main()
