"""Measure the time of all metrics of 10,000 synthetic predictions with their intervals, of 2,000 resamples.

    OMP_NUM_THREADS=1 python -m benchmarks.score_rows

Every patient has two radiographs. The subgroups are three sources, two sexes, four age bands and two views.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrjax.evaluation import scoring
from cxrjax.metrics import bootstrap, confidence, subgroups
from cxrjax.metrics.prediction_arrays import PredictionArrays
from cxrjax.runtime import malloc

COUNT = 10_000
CLASSES = ["normal", "bacterial", "tuberculosis", "viral", "covid19"]


def main() -> None:
    malloc.tune_malloc()
    predictions, rows, calibration, patients = draw_predictions(COUNT)
    for name, groups in (("without subgroups", {}), ("with subgroups", subgroups.partition(rows))):
        wall = time.perf_counter()
        cpu = time.process_time()
        run(predictions, groups, calibration, patients)
        print(f"{name}: {time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} CPU s")


def run(
    predictions: PredictionArrays, groups: Mapping, calibration: Mapping[str, Any], patients: Sequence[str]
) -> dict[str, Any]:
    """Compute all metrics with their intervals."""
    metric_fn = scoring.metric_fn(predictions, groups, calibration, "majority")
    return confidence.summarize(bootstrap.bootstrap(metric_fn, patients), patients)


def draw_predictions(count: int) -> tuple[PredictionArrays, list[dict[str, Any]], dict[str, Any], list[str]]:
    """Draw predictions of `count` radiographs, the rows of their subgroups, a calibration, and the patients."""
    rng = np.random.default_rng(0)
    truth = rng.integers(len(CLASSES), size=count)
    odds = np.exp(rng.normal(size=(count, len(CLASSES))) + 1.5 * np.eye(len(CLASSES))[truth])
    probabilities = odds / odds.sum(1, keepdims=True)
    predictions = PredictionArrays(
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
    calibration = {"temperature": 1.5, "operating_points": dict.fromkeys(CLASSES, {"at_specificity": 0.5})}
    return predictions, rows, calibration, [str(i // 2) for i in range(count)]


if __name__ == "__main__":
    main()
