"""How often the intervals that are printed hold the truth, by simulation.

    python -m benchmarks.coverage [--quick] [--repetitions=1000] [--output=benchmarks/COVERAGE.md]

Made-up findings of four classes, which 50, 30, 15 and 5 % of the patients have, by a network of moderate and one of
high skill; of each set of findings all scores are computed with their intervals, as an evaluation, a comparison and an
audit compute them. Once every radiograph is of a patient of its own; once a patient has 1, 2, 3, 5 or 8, which share
the label and half of the variance of what the network says of them. The truth is the mean score of several sets of
200,000 radiographs that are drawn in the same way.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, softmax

from cxrjax.metrics import bootstrap, calibration, classification, confidence, selective

SIZES = (40, 100, 328, 1000)  # radiographs
PREVALENCES = {"50 %": 0.5, "30 %": 0.3, "15 %": 0.15, "5 %": 0.05}
SKILLS = {"moderate": 1.6, "high": 4.0}
SHARED = 0.5  # of the variance of a score, by the radiographs of a patient
SEVERAL = (1, 1, 2, 3, 5, 8)  # radiographs of a patient, each as likely
CHANCE = 0.5  # of an AUROC
RESAMPLES = 400
MANY = 200_000
TRUTHS = 3  # sets of as many
WANTED = 93.0, 98.0  # percent
LOW_IS_GOOD = ("ECE", "Brier score", "log loss")


class Case(NamedTuple):
    """Made-up findings of n radiographs."""

    patients: NDArray  # int [n]
    truth: NDArray  # int [n]
    networks: list[NDArray]  # probabilities [n, K]: the network, another as good, and a shortcut that knows less
    dice: NDArray  # [n], of lungs
    failed: NDArray  # [n], the same where one in ten is 0


class Column(NamedTuple):
    """What was simulated of one number of radiographs."""

    count: int
    clustered: bool
    truth: dict[str, float]
    counts: dict[str, NDArray]  # of each score [4]: intervals that hold the truth, are above it, below it, missing


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
    """All scores of a case over weights [r, n]: a tree for `metrics.confidence`."""
    names = list(PREVALENCES)
    first, second, weaker = (
        classification.measure_predictions(case.truth, each.argmax(1), each, names, weights) for each in case.networks
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
        "Dice": confidence.mean_estimate(case.dice, weights),
        "Dice, one in ten failed": confidence.mean_estimate(case.failed, weights),
    }


def find_truth(skill: float, clustered: bool) -> dict[str, float]:
    """Return the scores of all radiographs that might be drawn, a mean over `TRUTHS` sets of `MANY`."""
    everyone = np.ones((1, MANY))
    sets = []
    for number in range(TRUTHS):
        case = make_up(np.random.default_rng([0, number]), MANY, skill, clustered)
        sets.append(confidence.point_estimates(measure(case, everyone)))
    return {name: float(np.mean([each[name] for each in sets])) for name in sets[0]}


def simulate(skill: float, count: int, clustered: bool, repetitions: int, truth: dict[str, float]) -> Column:
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
    return Column(count, clustered, truth, dict(counts))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 repetitions, of 40 and 100 radiographs")
    parser.add_argument("--repetitions", type=int, default=1000, help="of each number of radiographs")
    parser.add_argument("--skill", choices=SKILLS, help="one alone")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at once")
    parser.add_argument("--output", type=Path, help="a Markdown file to write the tables to")
    asked = parser.parse_args(arguments)
    repetitions = 40 if asked.quick else asked.repetitions
    sizes = SIZES[: 2 if asked.quick else None]
    skills = [asked.skill] if asked.skill else list(SKILLS)
    started = time.perf_counter()
    with ProcessPoolExecutor(asked.processes) as pool:
        both = (False, True)
        truths = {
            (skill, clustered): pool.submit(find_truth, SKILLS[skill], clustered)
            for skill in skills
            for clustered in both
        }
        running = {
            skill: [
                pool.submit(simulate, SKILLS[skill], count, clustered, repetitions, truths[skill, clustered].result())
                for count in sizes
                for clustered in both
            ]
            for skill in skills
        }
        tables = {skill: tabulate([column.result() for column in of]) for skill, of in running.items()}
    error = 100 * np.sqrt(0.95 * 0.05 / repetitions)
    minutes = (time.perf_counter() - started) / 60
    lines = [
        f"{repetitions} repetitions and {RESAMPLES} resamples: the standard error of a coverage of 95 % is {error:.1f} "
        f"points, more where a class is often not there. {minutes:.0f} minutes.",
    ]
    for skill, table in tables.items():
        lines += ["", f"## A network of {skill} skill", "", *table]
    print("\n".join(lines))
    if asked.output:
        before = asked.output.read_text().split("<!-- measured -->")[0] if asked.output.exists() else ""
        asked.output.write_text(before + "\n".join(["<!-- measured -->", "", *lines, ""]))


def tabulate(columns: Sequence[Column]) -> list[str]:
    """Return a table in Markdown: the coverage in percent, and in brackets the flattering misses of each hundred."""
    heads = [f"{column.count}{', by patient' if column.clustered else ''}" for column in columns]
    known = [counts for column in columns for counts in column.counts.values()]
    held = np.array([100 * counts[0] / counts[[0, 1, 2]].sum() for counts in known])
    errors = np.array([100 * np.sqrt(0.95 * 0.05 / counts[[0, 1, 2]].sum()) for counts in known])
    lines = [
        f"Of {len(held)} cells {(held < WANTED[0]).sum()} are below {WANTED[0]:.0f} "
        f"({(held < WANTED[0] - 2 * errors).sum()} by more than two standard errors) and "
        f"{(held > WANTED[1]).sum()} above {WANTED[1]:.0f}; the least is {held.min():.1f}.",
        "",
        f"| score | truth | {' | '.join(heads)} |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name in columns[-1].counts:
        cells = [_cell(name, column.counts.get(name)) for column in columns]
        title = name.replace("auroc", "AUROC").replace("f1", "F1").replace("_", " ")
        lines.append(f"| {title} | {columns[0].truth[name]:.3f} | {' | '.join(cells)} |")
    return lines


def _cell(name: str, counts: NDArray | None) -> str:
    if counts is None:
        return "–"
    held, above, below = 100 * counts[:3] / counts[:3].sum()
    missing = 100 * counts[3] / counts.sum()
    flattering = below if name in LOW_IS_GOOD else above
    return f"{held:.1f} ({flattering:.1f})" + (f", {missing:.1f} without" if missing else "")


if __name__ == "__main__":
    main()
