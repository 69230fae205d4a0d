"""How often the intervals that are printed hold the truth, by simulation.

    python -m benchmarks.coverage [--quick] [--repetitions=150] [--output=benchmarks/COVERAGE.md]

Made-up findings of four classes, which 50, 30, 15 and 5 % of the patients have, by a network of moderate and one of
high skill; of each set of findings all scores are computed with their intervals, as an evaluation, a comparison and an
audit compute them. The truth is the score of 400,000 radiographs. Once every radiograph is of a patient of its own;
once a patient has 1, 2, 3, 5 or 8, which share the label and half of the variance of what the network says of them.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, softmax

from cxrjax.metrics import bootstrap, calibration, classification, confidence, selective

SIZES = {40: 1.0, 100: 1.0, 328: 0.6, 1000: 0.4}  # radiographs, and the share of the repetitions that they have
PREVALENCES = {"50 %": 0.5, "30 %": 0.3, "15 %": 0.15, "5 %": 0.05}
SKILLS = {"moderate": 1.6, "high": 4.0}
SHARED = 0.5  # of the variance of a score, by the radiographs of a patient
SEVERAL = (1, 1, 2, 3, 5, 8)  # radiographs of a patient, each as likely
CHANCE = 0.5  # of an AUROC
RESAMPLES = 400
MANY = 400_000
LOW_IS_GOOD = ("ECE", "Brier score", "log loss")


class Case(NamedTuple):
    """Made-up findings of n radiographs."""

    patients: NDArray  # int [n]
    truth: NDArray  # int [n]
    networks: list[NDArray]  # probabilities [n, K]: the network, another as good, and a shortcut that knows less
    dice: NDArray  # [n], of lungs
    failed: NDArray  # [n], the same where one in ten is 0


def make_up(rng: np.random.Generator, count: int, skill: float, clustered: bool) -> Case:
    """Draw the findings of `count` radiographs."""
    patients = np.arange(count)
    if clustered:
        sizes = rng.choice(SEVERAL, count)
        patients = np.repeat(np.arange(count), sizes)[:count]
    several = patients[-1] + 1
    truth = rng.choice(len(PREVALENCES), size=several, p=list(PREVALENCES.values()))[patients]

    def draw(width: int) -> NDArray:
        own, common = rng.normal(size=(count, width)), rng.normal(size=(several, width))
        return np.sqrt(SHARED) * common[patients] + np.sqrt(1 - SHARED) * own

    known = np.eye(len(PREVALENCES))[truth]
    both = draw(known.shape[1])
    logits = [skill * known + np.sqrt(0.6) * both + np.sqrt(0.4) * draw(known.shape[1]) for _ in range(2)]
    logits.append(0.5 * skill * known + draw(known.shape[1]))
    hard = draw(1)[:, 0]
    dice = np.maximum(0.97 - 0.02 * np.exp(0.7 * hard), 0.0)
    failed = np.where(hard > ndtri(0.9), 0.0, dice)
    return Case(patients, truth, [softmax(1.5 * each, 1) for each in logits], dice, failed)


def measure(case: Case, weights: NDArray) -> dict[str, Any]:
    """All scores of a case over weights [r, n]: a tree for `statistics.estimates`."""
    names = list(PREVALENCES)
    first, second, weaker = (
        classification.measure_findings(case.truth, each.argmax(1), each, names, weights) for each in case.networks
    )
    probabilities = case.networks[0]
    found = probabilities.argmax(1)
    calibrated = calibration.prepare_calibration(probabilities, case.truth, found)(weights)
    kept = selective.measure(selective.by_certainty(found == case.truth, probabilities.max(1), weights))
    macro = {f"macro {score}": first["macro"][score] for score in classification.SCORES}
    each = {
        f"{score}, class of {name}": of[score]
        for score in ("recall", "precision", "specificity", "f1", "auroc", "average_precision")
        for name, of in first["classes"].items()
    }
    return {
        "n": first["n"],
        "accuracy": first["accuracy"],
        **each,
        **macro,
        "difference of accuracies": confidence.difference(first["accuracy"], second["accuracy"]),
        "difference of macro f1": confidence.difference(first["macro"]["f1"], second["macro"]["f1"]),
        "difference of macro auroc": confidence.difference(first["macro"]["auroc"], second["macro"]["auroc"]),
        "difference of aurocs, class of 15 %": confidence.difference(
            *(one["classes"]["15 %"]["auroc"] for one in (first, second))
        ),
        "share of the score": confidence.share_above(weaker["macro"]["auroc"], first["macro"]["auroc"], CHANCE),
        "ECE": calibrated["ece"],
        "Brier score": calibrated["brier"],
        "log loss": calibrated["log_loss"],
        "accuracy, half referred": kept["accuracy"]["0.5"],
        "area of referral": kept["area"],
        "Dice": confidence.MeanEstimate(weights @ case.dice / weights.sum(1), weights.sum(1)),
        "Dice, one in ten failed": confidence.MeanEstimate(weights @ case.failed / weights.sum(1), weights.sum(1)),
    }


def simulate(count: int, skill: float, clustered: bool, repetitions: int, truth: Mapping[str, float]) -> dict[str, Any]:
    """Count, for each score, how often its interval holds the truth, lies above it, below it, or is not there."""
    counts: dict[str, NDArray] = defaultdict(lambda: np.zeros(4, int))
    for repetition in range(repetitions):
        rng = np.random.default_rng([count, int(10 * skill), clustered, repetition])
        case = make_up(rng, count, skill, clustered)
        tree = bootstrap.bootstrap(lambda weights, case=case: measure(case, weights), case.patients, RESAMPLES)
        everyone_there = len(set(case.truth.tolist())) == len(PREVALENCES)
        for name, score in confidence.summarize(tree, case.patients).items():
            if name == "n" or score["value"] is None or ("macro" in name and not everyone_there):
                continue
            low, high = score["interval"] or (np.nan, np.nan)
            counts[name] += [low <= truth[name] <= high, truth[name] < low, high < truth[name], np.isnan(low)]
    return dict(counts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 repetitions, of 40 and 100 radiographs")
    parser.add_argument("--repetitions", type=int, default=150, help="of 40 and 100 radiographs; of more, fewer")
    parser.add_argument("--skill", choices=SKILLS, help="one alone")
    parser.add_argument("--output", type=Path, help="a Markdown file to write the tables to")
    asked = parser.parse_args(arguments)
    repetitions = 40 if asked.quick else asked.repetitions
    sizes = list(SIZES)[: 2 if asked.quick else None]
    started = time.perf_counter()
    columns = [(count, clustered) for count in sizes for clustered in (False, True)]
    lines = []
    for name, skill in SKILLS.items():
        if asked.skill not in (None, name):
            continue
        truth = confidence.point_estimates(
            measure(make_up(np.random.default_rng(0), MANY, skill, False), np.ones((1, MANY)))
        )
        results = [
            simulate(count, skill, clustered, round(repetitions * SIZES[count]), truth) for count, clustered in columns
        ]
        lines += [f"## A network of {name} skill", "", *tabulate(columns, results, truth), ""]
        print("\n".join(lines[-len(results[0]) - 5 :]), flush=True)
    errors = [100 * np.sqrt(0.95 * 0.05 / (repetitions * SIZES[count])) for count in sizes]
    minutes = (time.perf_counter() - started) / 60
    head = [
        f"{repetitions} repetitions, of many radiographs fewer, and {RESAMPLES} resamples: the standard error of a "
        f"coverage of 95 % is {errors[0]:.1f} to {errors[-1]:.1f} points. {minutes:.0f} minutes.",
        "",
    ]
    print("\n".join(head))
    if asked.output:
        before = asked.output.read_text().split("<!-- measured -->")[0] if asked.output.exists() else ""
        asked.output.write_text(before + "\n".join(["<!-- measured -->", "", *head, *lines]))


def tabulate(
    columns: Sequence[tuple[int, bool]], results: Sequence[Mapping[str, NDArray]], truth: Mapping[str, float]
) -> list[str]:
    """Return a table in Markdown: the coverage in percent, and in brackets the flattering misses of each hundred."""
    heads = [f"{count}{', by patient' if clustered else ''}" for count, clustered in columns]
    lines = [f"| score | truth | {' | '.join(heads)} |", "|---" * (len(columns) + 2) + "|"]
    for name in results[-1]:
        cells = [_cell(name, result.get(name)) for result in results]
        title = name.replace("auroc", "AUROC").replace("f1", "F1").replace("_", " ")
        lines.append(f"| {title} | {truth[name]:.3f} | {' | '.join(cells)} |")
    return lines


def _cell(name: str, counts: NDArray | None) -> str:
    if counts is None:
        return "–"
    held, above, below, missing = 100 * counts / counts.sum()
    flattering = below if name in LOW_IS_GOOD else above
    return f"{held:.0f} ({flattering:.0f})" + (f", {missing:.0f} without" if missing else "")


if __name__ == "__main__":
    main()
