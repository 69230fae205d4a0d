"""Rows of predictions.csv with several findings, drawn with a known skill, and a run with such an evaluation."""

import numpy as np

from cxrjax.config import default_config
from cxrjax.io import findings, predictions_csv
from cxrjax.runs import provenance

FINDINGS = ["Effusion", "Edema", "Hernia"]
N = 120
COUNTS = {"a": {"Effusion": [30, 10], "Edema": [20, 20]}, "b": {"Effusion": [10, 30], "Edema": [10, 10]}}


def draw_rows(seed, skill=1.5):
    """Draw rows of 60 patients with two radiographs each; effusions are more frequent in source b, hernias unknown."""
    cases = np.random.default_rng(7)
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(N):
        source = "ab"[i % 2]
        truth = {"Effusion": float(cases.random() < (0.7 if source == "b" else 0.3)), "Edema": cases.choice([0, 1, -1])}
        logits = rng.normal(size=3) + skill * np.array([truth["Effusion"] - 0.5, truth["Edema"] == 1, 0])
        probabilities = dict(zip(FINDINGS, 1 / (1 + np.exp(-2 * logits)), strict=True))
        row = {"path": f"{i}.png", "patient_id": f"p{i // 2}", "source": source, "sex": "MF"[i % 2], "split": "test"}
        row |= {"label": findings.format_label(truth), "num_patches": 10, "status": "ok"}
        row |= {f"target_{name}": value for name, value in truth.items()}
        if i == 5:
            rows.append(row | {"status": "no lungs found"})
            continue
        row |= {f"probability_{name}": p for name, p in probabilities.items()}
        row |= {f"votes_{name}": round(10 * p) for name, p in probabilities.items()}
        rows.append(row | {"prediction": findings.format_label(probabilities)})
    return rows


def write(workdir, rows, split="test"):
    folder = workdir / "evaluation" / split
    folder.mkdir(parents=True)
    config = default_config()
    config.task = "classify"
    config.classifier.targets = "multi"
    config.classifier.classes = FINDINGS
    (workdir / "config.json").write_text(config.to_json())
    predictions_csv.write(folder / "predictions.csv", rows, predictions_csv.finding_columns(FINDINGS, False))
    provenance.save_finding_counts(workdir, COUNTS)
    return folder
