"""Seconds that all scores of 10,000 made-up findings take with their intervals, of 2,000 resamples.

    OMP_NUM_THREADS=1 python -m benchmarks.score_rows

Every patient has two radiographs; subgroups are three sources, two sexes, four age bands and two views.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrjax.evaluation import scoring
from cxrjax.metrics import bootstrap, confidence, subgroups
from cxrjax.metrics.prediction_arrays import PredictionArrays
from cxrjax.runtime import malloc

COUNT, CLASSES = 10_000, ["normal", "bacterial", "tuberculosis", "viral", "covid19"]


def main() -> None:
    malloc.tune_malloc()
    cases, rows, known, patients = make_up(COUNT)
    for name, groups in (("without subgroups", {}), ("with subgroups", subgroups.partition(rows))):
        wall, cpu = time.perf_counter(), time.process_time()
        run(cases, groups, known, patients)
        print(f"{name}: {time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} s of one core")


def run(cases: PredictionArrays, groups: Mapping, known: Mapping[str, Any], patients: Sequence[str]) -> dict[str, Any]:
    """What is timed: all scores with their intervals."""
    measure = scoring.metric_fn(cases, groups, known, "majority")
    return confidence.summarize(bootstrap.bootstrap(measure, patients), patients)


def make_up(count: int) -> tuple[PredictionArrays, list[dict[str, Any]], dict[str, Any], list[str]]:
    """Findings, the rows of their subgroups, a calibration, and the patients, of `count` radiographs."""
    rng = np.random.default_rng(0)
    truth = rng.integers(len(CLASSES), size=count)
    odds = np.exp(rng.normal(size=(count, len(CLASSES))) + 1.5 * np.eye(len(CLASSES))[truth])
    probabilities = odds / odds.sum(1, keepdims=True)
    cases = PredictionArrays(
        classes=CLASSES,
        truth=truth,
        predicted=probabilities.argmax(1),
        source_baseline=truth % 2,
        probabilities=probabilities,
        votes=rng.multinomial(100, probabilities),
        certainty={name: probabilities.max(1) for name in ("vote_fraction", "confidence", "entropy")},
        lesion_energy=np.full(count, np.nan),
        is_ood=np.zeros(count, bool),
    )
    rows = [
        {"source": "abc"[i % 3], "sex": "MF"[i % 2], "age": i % 90, "view": ["PA", "AP"][i // 2 % 2]}
        for i in range(count)
    ]
    known = {"temperature": 1.5, "operating_points": dict.fromkeys(CLASSES, {"at_specificity": 0.5})}
    return cases, rows, known, [str(i // 2) for i in range(count)]


if __name__ == "__main__":
    main()
