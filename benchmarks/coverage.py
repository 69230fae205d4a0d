"""Measure by simulation how often confidence intervals contain the true value.

    python -m benchmarks.coverage [--quick] [--repetitions=1000] [--output=benchmarks/COVERAGE.md]

The predictions are synthetic: four classes with prevalences of 50, 30, 15 and 5 % of the patients, and two networks,
one of moderate and one of high skill. For each set of predictions, all metrics are computed with their intervals, as in
evaluation, comparison and audit. In one setting every radiograph has its own patient; in the other a patient has 1, 2,
3, 5 or 8 radiographs, which share the label and half of the variance of the network's output. The true value is the
mean of several sets of 200,000 radiographs from the same distribution.
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
SHARED = 0.5  # fraction of the variance of an output that the radiographs of a patient share
RADIOGRAPHS_PER_PATIENT = (1, 1, 2, 3, 5, 8)  # with equal probability
CHANCE = 0.5  # AUROC of a random guess
RESAMPLES = 400
NUM_TRUTH = 200_000  # radiographs
NUM_TRUTH_SETS = 3
COVERAGE_RANGE = 93.0, 98.0  # percent, acceptable
LOWER_IS_BETTER = ("ECE", "Brier score", "log loss")


class Case(NamedTuple):
    """Synthetic predictions of n radiographs."""

    patients: NDArray  # int [n]
    truth: NDArray  # int [n]
    networks: list[NDArray]  # probabilities [n, K]: the network, another of equal skill, and a weaker shortcut
    dice: NDArray  # [n], of lungs
    failed: NDArray  # [n], `dice` with one in ten set to 0


class Column(NamedTuple):
    """Result of the simulation with one number of radiographs."""

    count: int
    clustered: bool
    truth: dict[str, float]
    counts: dict[str, NDArray]  # for each metric [4]: intervals that contain the truth, are above it, below it, missing


def draw_case(rng: np.random.Generator, count: int, skill: float, clustered: bool) -> Case:
    """Draw the predictions of `count` radiographs."""
    patients = np.arange(count)
    if clustered:
        sizes = rng.choice(RADIOGRAPHS_PER_PATIENT, count)
        patients = np.repeat(np.arange(count), sizes)[:count]
    num_patients = patients[-1] + 1
    truth = rng.choice(len(PREVALENCES), size=num_patients, p=list(PREVALENCES.values()))[patients]

    def draw(width: int) -> NDArray:
        own = rng.normal(size=(count, width))
        common = rng.normal(size=(num_patients, width))
        return np.sqrt(SHARED) * common[patients] + np.sqrt(1 - SHARED) * own

    one_hot = np.eye(len(PREVALENCES))[truth]
    both = draw(one_hot.shape[1])
    logits = [skill * one_hot + np.sqrt(0.6) * both + np.sqrt(0.4) * draw(one_hot.shape[1]) for _ in range(2)]
    logits.append(0.5 * skill * one_hot + draw(one_hot.shape[1]))
    difficulty = draw(1)[:, 0]
    dice = np.maximum(0.97 - 0.02 * np.exp(0.7 * difficulty), 0.0)
    return Case(
        patients=patients,
        truth=truth,
        networks=[softmax(1.5 * network, 1) for network in logits],
        dice=dice,
        failed=np.where(difficulty > ndtri(0.9), 0.0, dice),
    )


def measure(case: Case, weights: NDArray) -> dict[str, Any]:
    """Compute all metrics of a case over weights [r, n]: a tree for `metrics.confidence`."""
    names = list(PREVALENCES)
    first, second, weaker = [
        classification.measure_predictions(case.truth, probabilities.argmax(1), probabilities, names, weights)
        for probabilities in case.networks
    ]
    probabilities = case.networks[0]
    predicted = probabilities.argmax(1)
    calibrated = calibration.prepare_calibration(probabilities, case.truth, predicted)(weights)
    by_certainty = selective.by_certainty(predicted == case.truth, probabilities.max(1), weights)
    selected = selective.measure(by_certainty)
    macro = {f"macro {score}": first["macro"][score] for score in classification.SCORES}
    per_class = {
        f"{score}, class of {name}": scores[score]
        for score in ("recall", "precision", "specificity", "f1", "auroc", "average_precision")
        for name, scores in first["classes"].items()
    }
    return {
        "n": first["n"],
        "accuracy": first["accuracy"],
        **per_class,
        **macro,
        "difference of accuracies": confidence.difference(first["accuracy"], second["accuracy"]),
        "difference of macro f1": confidence.difference(first["macro"]["f1"], second["macro"]["f1"]),
        "difference of macro auroc": confidence.difference(first["macro"]["auroc"], second["macro"]["auroc"]),
        "difference of aurocs, class of 15 %": confidence.difference(
            first["classes"]["15 %"]["auroc"], second["classes"]["15 %"]["auroc"]
        ),
        "share of the score": confidence.share_above(weaker["macro"]["auroc"], first["macro"]["auroc"], CHANCE),
        "ECE": calibrated["ece"],
        "Brier score": calibrated["brier"],
        "log loss": calibrated["log_loss"],
        "accuracy, half referred": selected["accuracy"]["0.5"],
        "area of referral": selected["area"],
        "Dice": confidence.mean_estimate(case.dice, weights),
        "Dice, one in ten failed": confidence.mean_estimate(case.failed, weights),
    }


def find_truth(skill: float, clustered: bool) -> dict[str, float]:
    """Estimate the true metrics as the mean over `NUM_TRUTH_SETS` sets of `NUM_TRUTH` radiographs."""
    weights = np.ones((1, NUM_TRUTH))
    sets = []
    for number in range(NUM_TRUTH_SETS):
        case = draw_case(np.random.default_rng([0, number]), NUM_TRUTH, skill, clustered)
        sets.append(confidence.point_estimates(measure(case, weights)))
    return {name: float(np.mean([metrics[name] for metrics in sets])) for name in sets[0]}


def simulate(skill: float, count: int, clustered: bool, repetitions: int, truth: dict[str, float]) -> Column:
    """Count, for each metric, how often its interval contains the truth, is above it, below it, or is missing."""
    counts: dict[str, NDArray] = defaultdict(lambda: np.zeros(4, int))
    for repetition in range(repetitions):
        rng = np.random.default_rng([count, int(10 * skill), clustered, repetition])
        case = draw_case(rng, count, skill, clustered)
        tree = bootstrap.bootstrap(lambda weights, case=case: measure(case, weights), case.patients, RESAMPLES)
        has_all_classes = len(set(case.truth.tolist())) == len(PREVALENCES)
        for name, score in confidence.summarize(tree, case.patients).items():
            if name == "n" or score["value"] is None or ("macro" in name and not has_all_classes):
                continue
            low, high = score["interval"] or (np.nan, np.nan)
            counts[name] += [low <= truth[name] <= high, truth[name] < low, high < truth[name], np.isnan(low)]
    return Column(count, clustered, truth, dict(counts))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 repetitions with 40 and 100 radiographs")
    parser.add_argument(
        "--repetitions", type=int, default=1000, help="repetitions per number of radiographs (default: %(default)s)"
    )
    parser.add_argument("--skill", choices=SKILLS, help="simulate one skill only (default: all)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="parallel processes (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write the tables to")
    options = parser.parse_args(arguments)
    repetitions = 40 if options.quick else options.repetitions
    sizes = SIZES[: 2 if options.quick else None]
    skills = [options.skill] if options.skill else list(SKILLS)
    start = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
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
        tables = {skill: tabulate([column.result() for column in columns]) for skill, columns in running.items()}
    error = 100 * np.sqrt(0.95 * 0.05 / repetitions)
    minutes = (time.perf_counter() - start) / 60
    lines = [
        f"{repetitions} repetitions and {RESAMPLES} resamples: the standard error of a coverage of 95 % is {error:.1f} "
        f"points, more if a class is often missing. {minutes:.0f} minutes.",
    ]
    for skill, table in tables.items():
        lines += ["", f"## A network of {skill} skill", "", *table]
    print("\n".join(lines))
    if options.output:
        before = options.output.read_text().split("<!-- measured -->")[0] if options.output.exists() else ""
        options.output.write_text(before + "\n".join(["<!-- measured -->", "", *lines, ""]))


def tabulate(columns: Sequence[Column]) -> list[str]:
    """Return the lines of a Markdown table: the coverage and, in brackets, the flattering misses, in percent."""
    headers = [f"{column.count}{', by patient' if column.clustered else ''}" for column in columns]
    cell_counts = [counts for column in columns for counts in column.counts.values()]
    coverage = np.array([100 * counts[0] / counts[[0, 1, 2]].sum() for counts in cell_counts])
    errors = np.array([100 * np.sqrt(0.95 * 0.05 / counts[[0, 1, 2]].sum()) for counts in cell_counts])
    low, high = COVERAGE_RANGE
    lines = [
        f"Of {len(coverage)} cells {(coverage < low).sum()} are below {low:.0f} "
        f"({(coverage < low - 2 * errors).sum()} by more than two standard errors) and "
        f"{(coverage > high).sum()} above {high:.0f}; the lowest is {coverage.min():.1f}.",
        "",
        f"| score | truth | {' | '.join(headers)} |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name in columns[-1].counts:
        cells = [_format_cell(name, column.counts.get(name)) for column in columns]
        title = name.replace("auroc", "AUROC").replace("f1", "F1").replace("_", " ")
        lines.append(f"| {title} | {columns[0].truth[name]:.3f} | {' | '.join(cells)} |")
    return lines


def _format_cell(name: str, counts: NDArray | None) -> str:
    if counts is None:
        return "–"
    coverage, above, below = 100 * counts[:3] / counts[:3].sum()
    missing = 100 * counts[3] / counts.sum()
    flattering = below if name in LOWER_IS_BETTER else above
    return f"{coverage:.1f} ({flattering:.1f})" + (f", {missing:.1f} without" if missing else "")


if __name__ == "__main__":
    main()
