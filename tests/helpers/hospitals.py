"""Prediction rows of hospitals with a known truth: a network that sees the disease and a shortcut."""

import numpy as np


def draw_rows(
    rng: np.random.Generator,
    source: str,
    n: int,
    *,
    prevalence: float = 0.5,
    agreement: float = 0.9,
    disease: float = 2.0,
    shortcut: float = 2.0,
    shift: float = 0.0,
    flagged: float = 0.0,
) -> list[dict]:
    """Draw the rows of n radiographs of n / 2 patients, labeled "normal" or "covid19".

    The logit of the network is the sum of a disease that it sees, a mark, noise and a shift of all images.

    Args:
        rng: source of randomness.
        source: name of the hospital.
        n: number of radiographs.
        prevalence: share of COVID-19.
        agreement: share of the radiographs whose mark is that of their label: 0.5 breaks the shortcut.
        disease: effect of the disease on the logit.
        shortcut: effect of the mark.
        shift: of all logits of the hospital.
        flagged: share that the out-of-distribution detector flags.
    """
    is_covid = rng.random(n) < prevalence
    mark = np.where(rng.random(n) < agreement, is_covid, ~is_covid)
    logits = disease * (is_covid - 0.5) + shortcut * (mark - 0.5) + rng.normal(0, 1, n) + shift
    probabilities = 1 / (1 + np.exp(-logits))
    is_flagged = rng.random(n) < flagged
    rows = []
    for i, p in enumerate(probabilities):
        prediction = "covid19" if p > 0.5 else "normal"
        rows.append({
            "path": f"{source}/{i}.png", "patient_id": f"{source}-{i // 2}", "source": source, "split": "test",
            "label": "covid19" if is_covid[i] else "normal", "prediction": prediction,
            "confidence": max(p, 1 - p), "vote_fraction": 1.0, "source_baseline": "normal",
            "probability_normal": 1 - p, "probability_covid19": p,
            "votes_normal": int(prediction == "normal"), "votes_covid19": int(prediction == "covid19"),
            "ood_reason": "unlike" if is_flagged[i] else "", "status": "ok", "reason": "",
        })  # fmt: skip
    return rows
