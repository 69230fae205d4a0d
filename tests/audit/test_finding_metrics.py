"""Scores of audit experiments over several findings: by hand, relative to chance, and flip rates of a marker."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from cxrjax.audit import advice, answers, claims, criteria, experiment_rows, finding_metrics, markers, metrics

NAMES = ("Effusion", "Edema")
NAN = np.nan


def make(targets, probabilities, sources=None, **predictions):
    sources = sources or ["s"] * len(targets)
    cases = [
        {"path": f"{i}.png", "patient_id": f"p{i}", "source": source, "label": ""} for i, source in enumerate(sources)
    ]
    return experiment_rows.make_finding_rows(
        cases, NAMES, np.array(targets, float), np.array(probabilities), **predictions
    )


def draw(seed, skill, n=200):
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(7).choice([0.0, 1.0, -1.0, NAN], (n, 2), p=[0.5, 0.3, 0.1, 0.1])
    logits = rng.normal(size=(n, 2)) + skill * (np.nan_to_num(truth) == 1)
    return make(truth, 1 / (1 + np.exp(-logits)), sources=["ab"[i % 2] for i in range(n)])


def known(rows, name):
    rows = [row for row in rows if row[f"target_{name}"] >= 0]
    return [row[f"target_{name}"] for row in rows], [row[f"probability_{name}"] for row in rows]


def test_accuracy_and_f1_of_findings_by_hand():
    rows = make([[1, 0], [0, -1], [1, 1], [0, NAN]], [[0.9, 0.6], [0.2, 0.9], [0.3, 0.8], [0.1, 0.1]])
    scores = metrics.measure_predictions(rows, NAMES, np.ones((1, 4)))
    assert scores["accuracy"].value[0] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores["macro_f1"].value[0] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert scores["classes"]["Edema"]["support"][0] == 1


def test_share_is_fraction_of_macro_auroc_above_chance_of_known_entries():
    run = draw(0, 2.0)
    control = draw(1, 1.0)
    chance = {"macro_f1": 0.3, "accuracy": 0.6, "macro_auroc": 0.5}
    result = metrics.compare(control[::-1], run, run, NAMES, chance)
    expected = [np.mean([roc_auc_score(*known(rows, name)) for name in NAMES]) for rows in (run, control)]
    assert result["scores"]["macro_auroc"]["value"] == pytest.approx(expected[1])
    assert result["share"]["value"] == pytest.approx((expected[1] - 0.5) / (expected[0] - 0.5))
    effusion = result["classes"]["Effusion"]["auroc"]
    assert effusion["value"] == pytest.approx(roc_auc_score(*known(control, "Effusion")))
    assert effusion["interval"][0] < effusion["value"] < effusion["interval"][1]


def test_chance_level_equals_score_of_random_guesses_by_prevalence():
    rng = np.random.default_rng(0)
    train = (rng.random((4000, 2)) < [0.3, 0.8]).astype(float)
    test = (rng.random((4000, 2)) < [0.4, 0.6]).astype(float)
    test[:5] = [[-1, NAN]] * 5
    chance = finding_metrics.chance_level(train.mean(0), test)
    drawn = [f1_score(test[5:, 0], rng.random(3995) < train[:, 0].mean()) for _ in range(50)]
    always = f1_score(test[5:, 1], np.ones(3995))
    assert chance["macro_f1"] == pytest.approx((np.mean(drawn) + always) / 2, abs=0.01)
    assert chance["macro_average_precision"] == pytest.approx(test[5:].mean(), abs=1e-9)
    assert chance["accuracy"] == pytest.approx((0.6 + 0.6) / 2, abs=0.03)


def test_baseline_f1_is_that_of_predictions_drawn_by_probability():
    """No probability of the first finding reaches 0.5; drawn by probability, some predictions are still positive."""
    rows = make([[1, 1], [0, 1], [1, 0], [0, 0]] * 10, [[0.4, 0.5]] * 40)
    scores = metrics.measure_baseline(rows, NAMES, np.ones((1, 40)))
    assert scores["classes"]["Effusion"]["f1"].value[0] == pytest.approx(2 * 0.5 * 0.4 / 0.9)
    assert metrics.measure_predictions(rows, NAMES, np.ones((1, 40)))["classes"]["Effusion"]["f1"].value[0] == 0


def test_mixed_sources_have_a_finding_both_present_and_absent():
    targets = [[1, NAN], [0, NAN], [1, -1], [1, 0]]
    assert metrics.mixed_sources(make(targets, [[0.5, 0.5]] * 4, ["a", "a", "b", "b"])) == ["a"]


def test_left_out_auroc_is_computed_within_each_source():
    """Each network ranks its own source perfectly; together, their probabilities would give 0.75."""
    targets = [[1, NAN], [0, NAN], [1, NAN], [0, NAN]]
    rows = make(targets, [[0.9, 0.5], [0.8, 0.5], [0.3, 0.5], [0.2, 0.5]], ["a", "a", "b", "b"])
    assert metrics.measure_predictions(rows, NAMES, np.ones((1, 4)))["macro_auroc"].value[0] == 0.75
    assert metrics.measure_left_out(rows, NAMES, np.ones((1, 4)))["macro_auroc"].value[0] == 1


def test_flip_rate_counts_only_predicted_negatives_without_the_finding():
    """The 1st has the finding, the 2nd may have it, the 3rd is predicted: one of the last two is flipped."""
    targets = [[1, 0], [-1, 0], [0, 0], [0, 0], [0, 1]]
    unmarked = make(targets, [[0.1, 0.1], [0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.1]])
    marked = make(targets, [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.9], [0.2, 0.1]])
    assert markers.flip_rate(marked, unmarked, "Effusion")["value"] == 0.5


def test_finding_constant_within_every_source_is_inseparable_from_it():
    sources = {
        "Effusion": {"a": [10, 0], "b": [0, 10]},
        "Edema": {"a": [5, 5], "b": [0, 10]},
        "Hernia": {"a": [10, 0], "b": [5, 0]},
    }
    [(claim, _)] = claims.inseparable_findings(sources)
    assert "Effusion" in claim and "Edema" not in claim and "Hernia" not in claim


def test_leave_source_out_collapse_of_findings_is_decided_by_auroc():
    """Of 0.4 above chance with the source, 0.08 is left without it: less than half."""

    def number(value):
        return {"value": value, "interval": [value - 0.05, value + 0.05], "n": 100}

    entry = {"scores": {"macro_auroc": number(0.58)}, "reference": {"macro_auroc": number(0.9)}}
    entry |= {"difference": {"macro_auroc": number(-0.32)}, "note": ""}
    audit = {"targets": "multi", "chance": {"macro_auroc": 0.5, "accuracy": 0.9}}
    assert criteria.collapses(entry, audit)
    answer = answers._answer_left_out(entry, audit)
    assert answer.answer == answers.NO and "0.58" in answer.figure
    entry["scores"]["macro_auroc"] = number(0.8)
    assert not criteria.collapses(entry, audit)


def test_advice_for_findings_counts_sources_per_finding():
    audit = {"targets": "multi", "experiments": [], "sources": {"Effusion": {"a": [10, 0], "b": [0, 10]}}}
    confounded = advice.conclude(audit)
    assert confounded["possible"] == [] and len(confounded["impossible"]) == 1
    assert confounded["impossible"][0].startswith("Effusion is present only in radiographs from b, and known to be")
    both = {"Effusion": {"a": [10, 10], "b": [0, 10]}}
    assert advice.conclude(audit | {"sources": both}) == {"possible": [], "impossible": []}
    alone = advice.conclude(audit | {"sources": {"Effusion": {"a": [10, 5]}}})
    assert len(alone["impossible"]) == 1 and "one source" in alone["impossible"][0]
