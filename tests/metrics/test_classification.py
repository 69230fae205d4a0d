"""Scores equal scikit-learn where it defines them, and hand-worked numbers elsewhere."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn

from cxrjax.metrics import baselines, classification, confidence

CLASSES = ["normal", "bacterial", "tuberculosis", "viral", "covid19"]


def draw(seed: int, k: int) -> tuple[list[str], list[str], np.ndarray, list[str]]:
    """Draw labels of very unequal classes, predictions, and probabilities coarse enough for many ties."""
    rng = np.random.default_rng(seed)
    classes, n = CLASSES[:k], int(rng.integers(2 * k, 120))
    truth = np.concatenate([np.arange(k), rng.choice(k, n - k, p=rng.dirichlet(np.ones(k)))])
    probabilities = np.round(rng.dirichlet(np.ones(k), n) + 0.5 * np.eye(k)[truth] * rng.random((n, 1)), 1)
    found = probabilities.argmax(1)
    return [classes[t] for t in truth], [classes[f] for f in found], probabilities, classes


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("seed", range(12))
def test_classification_metrics_equal_scikit_learn(seed, k):
    labels, findings, probabilities, classes = draw(seed, k)
    ours = classification.classification_metrics(labels, findings, probabilities, classes)

    matrix = sklearn.confusion_matrix(labels, findings, labels=classes)
    np.testing.assert_array_equal(classification.confusion_matrix(labels, findings, classes)[:, :-1], matrix)
    assert ours["accuracy"] == pytest.approx(sklearn.accuracy_score(labels, findings))
    reference = sklearn.precision_recall_fscore_support(labels, findings, labels=classes, zero_division=0)
    for score, values in zip(("precision", "recall", "f1", "support"), reference, strict=True):
        assert [ours["classes"][name][score] for name in classes] == pytest.approx(values.tolist())
    for score, value in zip(("precision", "recall", "f1"), reference, strict=False):
        assert ours["macro"][score] == pytest.approx(value.mean())
    assert ours["macro"]["recall"] == pytest.approx(sklearn.balanced_accuracy_score(labels, findings))
    for k, name in enumerate(classes):
        truth, found = np.asarray(labels) == name, np.asarray(findings) == name
        assert ours["classes"][name]["specificity"] == pytest.approx(sklearn.recall_score(~truth, ~found))
        assert ours["classes"][name]["auroc"] == pytest.approx(sklearn.roc_auc_score(truth, probabilities[:, k]))
        precision = sklearn.average_precision_score(truth, probabilities[:, k])
        assert ours["classes"][name]["average_precision"] == pytest.approx(precision)


def test_classes_without_radiographs_are_null_and_not_in_macro_scores():
    labels, findings, probabilities, classes = draw(3, 3)
    wider = np.pad(probabilities, ((0, 0), (0, 2)))
    findings = ["covid19", *findings[1:]]
    ours = classification.classification_metrics(labels, findings, wider, CLASSES)
    absent = ours["classes"]["covid19"]
    assert [absent[score] for score in ("precision", "recall", "f1", "auroc", "support")] == [None, None, None, None, 0]
    assert absent["specificity"] == pytest.approx(1 - 1 / len(labels))
    reference = sklearn.f1_score(labels, findings, labels=classes, average="macro", zero_division=0)
    assert ours["macro"]["f1"] == pytest.approx(reference)
    assert json.loads(json.dumps(ours, allow_nan=False)) == ours


def test_one_class_alone_has_no_specificity_and_no_auroc():
    ours = classification.classification_metrics(["viral"] * 2, ["viral", "normal"], np.eye(2), ["normal", "viral"])
    assert ours["macro"] == {
        "precision": 1.0, "recall": 0.5, "specificity": None, "f1": 2 / 3, "auroc": None, "average_precision": 1.0,
    }  # fmt: skip


def test_radiograph_without_a_prediction_is_a_miss_by_hand():
    classes = ["normal", "covid19"]
    labels = ["normal", "normal", "normal", "covid19", "covid19"]
    findings = ["normal", "normal", "covid19", "covid19", classification.NO_PREDICTION]
    probabilities = [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [np.nan, np.nan]]
    ours = classification.classification_metrics(labels, findings, probabilities, classes)
    assert classification.confusion_matrix(labels, findings, classes).tolist() == [[2, 1, 0], [0, 1, 1]]
    assert (ours["n"], ours["no_prediction"], ours["accuracy"]) == (5, 1, 3 / 5)
    # Of 3 x 2 pairs, the 3 of the read COVID-19 radiograph are won and the 3 of the unread one are lost.
    expected = {"precision": 1 / 2, "recall": 1 / 2, "specificity": 2 / 3, "f1": 1 / 2, "auroc": 1 / 2, "support": 2}
    expected["average_precision"] = (1 + 2 / 5) / 2  # found first, and last of all five
    assert ours["classes"]["covid19"] == pytest.approx(expected)
    assert ours["classes"]["normal"]["auroc"] == pytest.approx(1 / 2)
    # Refusing can only cost: the probabilities of a refused radiograph do not count, however right they were.
    refused = [*probabilities[:4], [0.0, 1.0]]
    assert classification.classification_metrics(labels, findings, refused, classes) == ours


@pytest.mark.parametrize(
    ("labels", "findings", "probabilities", "message"),
    [
        ([], [], None, "no radiograph"),
        (["normal"], [], None, "1 labels but 0 predictions"),
        (["flu"], ["normal"], None, "the label 'flu' is none of normal, viral"),
        (["normal"], ["flu"], None, "the prediction 'flu' is none of normal, viral"),
        (["normal"], ["normal"], [[0.1, 0.2, 0.7]], r"probabilities are \(1, 3\), not \(1, 2\)"),
    ],
)
def test_invalid_inputs_are_refused(labels, findings, probabilities, message):
    with pytest.raises(ValueError, match=message):
        classification.classification_metrics(labels, findings, probabilities, ["normal", "viral"])


def test_source_baseline_predicts_the_most_frequent_label():
    sources = ["a", "a", "a", "b", "b", "c", "c", "c", "c"]
    labels = ["normal", "viral", "viral", "covid19", "bacterial", "normal", "normal", "normal", "viral"]
    # b is a draw, which the first name wins; d is unknown, and normal is the commonest of all.
    assert baselines.source_baseline(sources, labels, ["a", "b", "c", "d"]) == [
        "viral",
        "bacterial",
        "normal",
        "normal",
    ]
    with pytest.raises(ValueError, match="to learn from"):
        baselines.source_baseline([], [], ["a"])


def test_source_baseline_scores_high_if_labels_depend_on_sources():
    guesses = baselines.source_baseline(["a", "b"], ["normal", "covid19"], ["a", "b", "b", "a"])
    scores = classification.classification_metrics(["normal", "covid19", "covid19", "covid19"], guesses, None, CLASSES)
    assert scores["accuracy"] == 3 / 4
    assert scores["macro"]["recall"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["macro"]["auroc"] is None


def test_source_probabilities_reach_the_highest_expected_scores():
    """Two equally frequent labels of one source are drawn at random: F1 1/2 each, where always one has 2/3 and 0."""
    p = baselines.source_probabilities(
        {"a": {"normal": 90, "viral": 90}, "b": {"covid19": 30}}, ["a"] * 20 + ["b"] * 10, CLASSES
    )
    names = list(CLASSES)
    truth = np.array([names.index(name) for name in ["normal"] * 10 + ["viral"] * 10 + ["covid19"] * 10])
    scores = confidence.point_estimates(classification.measure_baseline(truth, p, names, np.ones((1, 30))))
    assert scores["accuracy"] == pytest.approx(20 / 30)
    assert scores["macro"]["f1"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert scores["macro"]["auroc"] == pytest.approx((0.75 + 0.75 + 1) / 3)
    # Of 99 to 1 both are alike: by lot (2 · 9 · 0.99 / 18.9 + 2 · 0.01 / 1.1) / 2, always the first (18 / 19) / 2.
    p = baselines.source_probabilities({"a": {"normal": 99, "viral": 1}}, ["a"] * 10, CLASSES)
    truth = np.array([names.index("normal")] * 9 + [names.index("viral")])
    scores = confidence.point_estimates(classification.measure_baseline(truth, p, names, np.ones((1, 10))))
    assert scores["macro"]["f1"] == pytest.approx((2 * 9 * 0.99 / 18.9 + 2 * 0.01 / 1.1) / 2)


def test_baseline_scores_equal_the_mean_of_many_draws():
    rng = np.random.default_rng(0)
    counts = {"a": {"normal": 5, "viral": 3}, "b": {"normal": 2, "covid19": 6}}
    sources = rng.choice(["a", "b", "c"], 300)
    p = baselines.source_probabilities(counts, sources, CLASSES)
    assert p[sources == "c"][0].tolist() == pytest.approx(
        [{"normal": 7, "viral": 3, "covid19": 6}.get(c, 0) / 16 for c in CLASSES]
    )
    truth = (p.cumsum(1) < rng.random((300, 1))).sum(1)
    drawn = [(p.cumsum(1) < rng.random((300, 1))).sum(1) for _ in range(300)]
    present = sorted(set(truth.tolist()))
    of = confidence.point_estimates(classification.measure_baseline(truth, p, list(CLASSES), np.ones((1, 300))))
    by_lot = np.mean([sklearn.f1_score(truth, each, average="macro", labels=present) for each in drawn])
    always = sklearn.f1_score(truth, p.argmax(1), average="macro", labels=present)
    assert of["macro"]["f1"] == pytest.approx(max(by_lot, always), abs=0.01)


@pytest.mark.parametrize("seed", range(10))
def test_dice_and_jaccard_equal_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 16, 16)) < rng.random((2, 1, 1))
    assert classification.dice(a, b) == pytest.approx(sklearn.f1_score(a.ravel(), b.ravel(), zero_division=0))
    assert classification.jaccard(a, b) == pytest.approx(sklearn.jaccard_score(a.ravel(), b.ravel(), zero_division=0))


def test_dice_and_jaccard_by_hand_and_of_empty_masks():
    a, b = np.array([1, 1, 1, 0], bool), np.array([0, 1, 1, 1], bool)
    assert (classification.dice(a, b), classification.jaccard(a, b)) == (2 / 3, 1 / 2)
    empty = np.zeros(4, bool)
    assert (classification.dice(empty, empty), classification.jaccard(empty, empty)) == (1, 1)
    assert (classification.dice(a, empty), classification.jaccard(empty, a)) == (0, 0)
    with pytest.raises(ValueError, match="different shapes"):
        classification.dice(a, empty[:3])


def test_segmentation_metrics_count_failures_as_0_and_ignore_no_truth():
    nan = np.nan
    rows = [
        {"status": "ok", "dice_lungs": 0.9, "dice_heart": 0.8, "jaccard_lungs": 0.8, "jaccard_heart": 0.6},
        {"status": "ok", "dice_lungs": 0.6, "dice_heart": nan, "jaccard_lungs": 0.4, "jaccard_heart": nan},
        {"status": "unreadable", "dice_lungs": nan, "dice_heart": nan, "jaccard_lungs": nan, "jaccard_heart": nan},
    ]
    ours = classification.segmentation_metrics(rows)
    assert (ours["n"], ours["failed"]) == (3, 1)
    assert ours["structures"]["lungs"] == pytest.approx({"dice": 0.5, "jaccard": 0.4, "support": 3})
    assert ours["structures"]["heart"] == pytest.approx({"dice": 0.4, "jaccard": 0.3, "support": 2})
    assert ours["macro"] == pytest.approx({"dice": 0.45, "jaccard": 0.35})
    with pytest.raises(ValueError, match="no radiograph"):
        classification.segmentation_metrics([])


def test_areas_do_not_store_counts_of_every_threshold():
    weights = np.ones((4, 30))
    areas = classification.measure_areas(np.arange(30) < 9, np.arange(30.0), weights)
    for leaf in areas.values():
        assert all(part.base is None or part.base.size <= 4 * weights.size // 30 for part in leaf)
