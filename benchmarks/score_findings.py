"""Measure the time of all metrics of 14 findings of 25,596 synthetic predictions, with intervals of 2,000 resamples.

    OMP_NUM_THREADS=1 python -m benchmarks.score_findings

The numbers of radiographs and patients and the prevalences are those of the test split of NIH ChestX-ray14 (Wang et al.
2017). The subgroups are two sexes, four age bands and two views.
"""

import resource
import time
from typing import Any

import numpy as np

from cxrjax.evaluation import finding_scoring
from cxrjax.io import findings
from cxrjax.metrics import bootstrap, confidence, subgroups
from cxrjax.runtime import malloc

COUNT = 25_596
PATIENTS = 2_797
PREVALENCES = {
    "Atelectasis": 0.13,
    "Cardiomegaly": 0.04,
    "Effusion": 0.18,
    "Infiltration": 0.24,
    "Mass": 0.07,
    "Nodule": 0.06,
    "Pneumonia": 0.02,
    "Pneumothorax": 0.10,
    "Consolidation": 0.07,
    "Edema": 0.04,
    "Emphysema": 0.04,
    "Fibrosis": 0.02,
    "Pleural_Thickening": 0.04,
    "Hernia": 0.003,
}


def main() -> None:
    malloc.tune_malloc()
    rows = draw_rows()
    patients = [row["patient_id"] for row in rows]
    stored_calibration = {
        "temperature": dict.fromkeys(PREVALENCES, 1.3),
        "operating_points": dict.fromkeys(PREVALENCES, {"at_specificity": 0.5, "at_sensitivity": 0.05}),
    }
    counts = {"nih": {name: [int(1000 * (1 - p)), int(1000 * p)] for name, p in PREVALENCES.items()}}
    wall = time.perf_counter()
    cpu = time.process_time()
    metric_fn = finding_scoring.metric_fn(rows, subgroups.partition(rows), stored_calibration, counts)
    confidence.summarize(bootstrap.bootstrap(metric_fn, patients), patients)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - wall:.0f} s, {time.process_time() - cpu:.0f} CPU s, peak memory {peak:.0f} MiB")


def draw_rows() -> list[dict[str, Any]]:
    """Draw rows of predictions.csv; a few patients have many radiographs, most have one to ten."""
    rng = np.random.default_rng(0)
    sizes = rng.pareto(1.2, PATIENTS) + 1
    patient = rng.choice(PATIENTS, COUNT, p=sizes / sizes.sum())
    frequency = np.array(list(PREVALENCES.values()))
    truth = (rng.random((COUNT, len(frequency))) < frequency).astype(float)
    logits = rng.normal(size=truth.shape) + 1.5 * truth + np.log(frequency)
    probability = (1 / (1 + np.exp(-logits))).astype(np.float32)
    rows = []
    for i in range(COUNT):
        probabilities = dict(zip(PREVALENCES, probability[i].tolist(), strict=True))
        row = {"path": f"{i}.png", "patient_id": str(patient[i]), "source": "nih", "view": ("PA", "AP")[i % 2]}
        row |= {"sex": "MF"[patient[i] % 2], "age": float(patient[i] % 90), "num_patches": 100, "status": "ok"}
        row |= {f"target_{name}": value for name, value in zip(PREVALENCES, truth[i].tolist(), strict=True)}
        row |= {f"probability_{name}": p for name, p in probabilities.items()}
        row |= {f"votes_{name}": round(100 * p) for name, p in probabilities.items()}
        rows.append(row | {"prediction": findings.format_label(probabilities)})
    return rows


if __name__ == "__main__":
    main()
