"""Scores of audit experiments relative to chance and to the run, and flip rates of a marker."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from cxrjax.audit import criteria, markers
from cxrjax.audit import metrics as scores
from cxrjax.metrics import baselines

CLASSES = ("a", "b", "c")


def row(i: int, label: str, finding: str, p: tuple[float, ...] = (1 / 3,) * 3, source: str = "s") -> dict:
    return {"path": f"{i}.png", "patient_id": "", "source": source, "label": label, "prediction": finding,
            **{f"probability_{name}": value for name, value in zip(CLASSES, p, strict=True)}}  # fmt: skip


def draw(count: int, skill: float, seed: int, labels: np.ndarray) -> list[dict]:
    logits = np.random.default_rng(seed).normal(size=(count, 3)) + skill * np.eye(3)[labels]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return [row(i, CLASSES[labels[i]], CLASSES[p[i].argmax()], tuple(p[i])) for i in range(count)]


def test_chance_level_equals_macro_f1_of_random_guesses():
    train, test = ["a"] * 6 + ["b"] * 3 + ["c"], ["a"] * 500 + ["b"] * 300 + ["c"] * 200
    chance = baselines.chance_level(train, test, CLASSES)
    rng = np.random.default_rng(0)
    drawn = [f1_score(test, rng.choice(train, len(test)), average="macro") for _ in range(200)]
    assert chance["macro_f1"] == pytest.approx(np.mean(drawn), abs=0.005)
    assert chance["accuracy"] == 0.5 and chance["macro_auroc"] == 0.5


def test_share_is_fraction_of_the_score_above_chance():
    labels = np.arange(300) % 3
    run, control = draw(300, 2.0, 0, labels), draw(300, 1.0, 1, labels)
    chance = {"macro_f1": 1 / 3, "accuracy": 1 / 3, "macro_auroc": 0.5}
    result = scores.compare(control[::-1], run, run, CLASSES, chance)

    def auroc(rows: list[dict]) -> float:
        p = [[r[f"probability_{name}"] for name in CLASSES] for r in rows]
        return roc_auc_score([r["label"] for r in rows], p, multi_class="ovr")

    assert result["scores"]["macro_auroc"]["value"] == pytest.approx(auroc(control))
    assert result["share"]["value"] == pytest.approx((auroc(control) - 0.5) / (auroc(run) - 0.5))
    assert result["difference"]["macro_auroc"]["value"] == pytest.approx(auroc(control) - auroc(run))
    low, high = result["share"]["interval"]
    assert 0 < low < result["share"]["value"] < high < 1
    share = scores.compare(run, None, run, CLASSES, chance)["share"]
    assert share["interval"] is None and scores.share_of_score(share) == pytest.approx([1, 1])


def test_repeated_trainings_give_mean_score_and_t_interval():
    labels = np.arange(300) % 3
    run = draw(300, 2.0, 0, labels)
    each = [draw(300, skill, 1 + k, labels) for k, skill in enumerate((0.2, 0.8, 1.4))]
    chance = {"macro_f1": 1 / 3, "accuracy": 1 / 3, "macro_auroc": 0.5}
    alone = [scores.compare(one, None, run, CLASSES, chance) for one in each]
    result = scores.compare(each[0], None, run, CLASSES, chance, repeats=each[1:])
    values = [one["scores"]["macro_auroc"]["value"] for one in alone]
    assert result["scores"]["macro_auroc"]["value"] == pytest.approx(np.mean(values))
    assert result["share"]["value"] == pytest.approx(np.mean([one["share"]["value"] for one in alone]))
    half = 4.302653 * np.std(values, ddof=1) / np.sqrt(3)  # Student's t of two degrees of freedom
    low, high = result["scores"]["macro_auroc"]["interval"]
    assert np.mean(values) - low > half
    assert high - np.mean(values) > half or high == 1
    assert result["share"]["interval"][0] < min(one["share"]["interval"][0] for one in alone[1:])


def test_random_scores_of_six_radiographs_are_no_shortcut(unchecked_types):
    """An AUROC of 1 once had no interval and counted as certain, so that 6% of such data sets had a shortcut."""
    labels, found = np.array([0, 0, 1, 1, 2, 2]), 0
    chance = {"macro_f1": 1 / 3, "accuracy": 1 / 3, "macro_auroc": 0.5}
    for seed in range(60):
        run, control = draw(6, 50.0, seed, labels), draw(6, 0.0, 1000 + seed, labels)
        result = scores.compare(control, None, run, CLASSES, chance)
        assert result["scores"]["macro_auroc"]["interval"]
        found += criteria.is_found({"share": result["share"]})
    assert found <= 2


def test_share_is_none_for_a_run_at_chance():
    labels = np.arange(90) % 3
    blind = draw(90, 0.0, 0, labels)
    assert scores.compare(blind, None, blind, CLASSES, {"macro_auroc": 0.5})["share"] is None


def test_compare_refuses_rows_that_the_run_does_not_have():
    labels = np.arange(9) % 3
    rows = draw(9, 1.0, 0, labels)
    with pytest.raises(ValueError, match=r"8\.png: the run's evaluation has no row of it"):
        scores.compare(rows, None, rows[:8], CLASSES, {"macro_auroc": 0.5})


def test_within_source_auroc_ignores_differences_between_sources():
    """Predictions are perfect between sources and at chance within them."""
    probabilities = {"x": (0.5, 0.5, 0.0), "y": (0.0, 0.0, 1.0)}
    rows = [row(i, label, label, probabilities[source], source) for i, (source, label) in enumerate(
        [("x", "a"), ("x", "b"), ("x", "a"), ("x", "b"), ("y", "c"), ("y", "c")])]  # fmt: skip
    weights = np.ones((1, 6))
    assert scores.measure_predictions(rows, CLASSES, weights)["macro_auroc"][0] == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert scores.measure_within_sources(rows, CLASSES, weights)["macro_auroc"][0] == 0.5
    assert scores.mixed_sources(rows) == ["x"]


def test_against_source_auroc_uses_pairs_of_classes_sharing_sources():
    """a and b share both sources in unequal shares; c is alone in its source, so that no pair of it is against it."""
    cells = [("x", "a", 0.5), ("y", "a", 0.3), ("x", "b", 0.4), ("y", "b", 0.1), ("z", "c", 0.0)]
    rows = [row(i, label, label, (p, 1 - p, 0.0), source) for i, (source, label, p) in enumerate(cells)]
    shares = np.array([{"x": (0.8, 0.2, 0), "y": (0.2, 0.8, 0), "z": (0, 0, 1)}[source] for source, _, _ in cells])
    against = scores.measure_against_source(scores.with_source_shares(rows, CLASSES, shares), CLASSES, np.ones((1, 5)))
    # a: the one of y (0.3) against b of x (0.4), lost. b: the one of x (0.6) against a of y (0.7), lost, and c of z
    # (1.0) is no rival, since no b comes from there.
    assert {name: of_class["auroc"].value[0] for name, of_class in against["classes"].items()} == {"a": 0, "b": 0}
    along = scores.measure_against_source(scores.with_source_shares(rows, CLASSES, -shares), CLASSES, np.ones((1, 5)))
    assert along["classes"]["a"]["auroc"].value[0] == 1
    assert np.isnan(against["accuracy"]).all()


def test_classes_are_those_with_pairs_in_the_data_also_where_a_resample_lacks_them():
    """Every pair against the source of "a" has the only radiograph of it from y."""
    cells = [("y", "a", 0.3), ("x", "a", 0.5), ("x", "b", 0.4), ("y", "b", 0.1)]
    rows = [row(i, label, label, (p, 1 - p, 0.0), source) for i, (source, label, p) in enumerate(cells)]
    shares = np.array([{"x": (0.8, 0.2, 0), "y": (0.2, 0.8, 0)}[source] for source, _, _ in cells])
    resamples = np.array([[0, 2, 1, 1], [1, 1, 1, 1]])
    against = scores.measure_against_source(scores.with_source_shares(rows, CLASSES, shares), CLASSES, resamples)
    assert set(against["classes"]) == {"a", "b"}
    np.testing.assert_equal(against["classes"]["a"]["auroc"].value, [np.nan, 0])


def test_flip_rate_excludes_rows_of_or_predicted_as_the_target():
    unmarked = [row(0, "b", "b"), row(1, "b", "a"), row(2, "c", "c"), row(3, "c", "b"), row(4, "a", "b")]
    marked = [row(0, "b", "a"), row(1, "b", "a"), row(2, "c", "a"), row(3, "c", "b"), row(4, "a", "a")]
    flips = markers.flip_rate(marked, unmarked, "a")
    assert (flips["value"], flips["n"]) == (pytest.approx(2 / 3), 3)  # the second was predicted a before; the last is a


def test_occlusion_peak_locates_the_only_informative_square():
    """The network's probability is the brightness of one square."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (6, 64, 64)).astype(np.uint8)
    images[:, 48:56, 8:16] = 255
    lungs = np.zeros(images.shape, bool)
    lungs[:, 48:56, 8:16] = True

    def predict(pictures: np.ndarray) -> np.ndarray:
        p = pictures[:, 48:56, 8:16].mean((1, 2)) / 255
        return np.stack([1 - p, p], 1)

    place = markers.occlusion_peak(predict, images, lungs, 1)
    assert place["peaks"] == [[6, 1]] * 6 and place["agreement"] == place["inside_lungs"] == 1
    assert (place["row"], place["column"]) == (6.5 / 8, 1.5 / 8)
    assert markers.occlusion_peak(predict, images[:0], lungs[:0], 1) is None


def test_marker_hit_rate_accepts_own_and_adjacent_cells_only():
    lungs = np.zeros((3, 64, 64), bool)
    lungs[0, 8:16, 8:16] = lungs[1, 8:16, 8:16] = lungs[2, 40:48, 16:24] = True  # cells (1, 1) and (5, 2)
    aimed = markers.marker_hit_rate([[1, 1], [5, 2], [6, 3]], lungs, True)
    assert aimed == {"hit_rate": pytest.approx(2 / 3), "cells": [[1, 1], [1, 1], [5, 2]]}
    assert markers.marker_hit_rate([[0, 0], [7, 7], [1, 1]], lungs, False)["hit_rate"] == pytest.approx(
        2 / 3
    )  # in the upper left
