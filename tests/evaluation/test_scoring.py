"""From rows to metrics.json: known truths, subgroups that add up, and comparison of runs."""

import json
import re

import numpy as np
import pytest

from benchmarks import score_rows
from cxrjax.config import default_config
from cxrjax.evaluation import compare_runs, fit_calibration, plots, scoring, tables
from cxrjax.io import predictions_csv
from cxrjax.metrics import bootstrap, classification, prediction_arrays
from cxrjax.runs import calibration, provenance
from cxrjax.runtime import formatting

CLASSES = ["normal", "viral", "covid19"]
N = 90


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap.bootstrap, "__defaults__", (200, 0))


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(plots, "draw_plots", lambda *_: None)


def draw_rows(seed, skill=1.5, sharpened=4.5):
    """Draw rows whose probabilities are sharpened, for patients with two radiographs each."""
    cases, rng = np.random.default_rng(7), np.random.default_rng(seed)
    truth = cases.integers(0, 3, N)
    logits = rng.normal(size=(N, 3)) + skill * np.eye(3)[truth]
    probabilities = np.exp(sharpened * logits)
    probabilities /= probabilities.sum(1, keepdims=True)
    rows = []
    for i, (t, p) in enumerate(zip(truth, probabilities, strict=True)):
        row = {
            "path": f"{i}.png",
            "patient_id": f"p{i // 2}",
            "source": "ab"[int(t == 2)],
            "split": "test",
            "status": "ok",
        }
        row |= {"sex": "MF"[i % 2], "age": 10.0 + i, "view": "" if i % 3 else "PA"}
        row |= {"label": CLASSES[t], "source_baseline": ["normal", "covid19"][int(t == 2)]}
        if i == 5:
            rows.append(row | {"status": "no lungs found"})
            continue
        votes = np.floor(100 * p).astype(int)
        votes[p.argmax()] += 100 - votes.sum()
        row |= {"prediction": CLASSES[p.argmax()], "confidence": p.max(), "vote_fraction": votes.max() / 100}
        row |= {"expected_entropy": 0.1, "mutual_information": -(p * np.log(p)).sum() - 0.1}
        row |= {f"probability_{name}": x for name, x in zip(CLASSES, p, strict=True)}
        rows.append(row | {f"votes_{name}": int(x) for name, x in zip(CLASSES, votes, strict=True)})
    return rows


def classify_config():
    config = default_config()
    config.task = "classify"
    config.classifier.classes = CLASSES
    return config


def write(workdir, rows, split="test", columns=None):
    folder = workdir / "evaluation" / split
    folder.mkdir(parents=True)
    (workdir / "config.json").write_text(classify_config().to_json())
    predictions_csv.write(folder / "predictions.csv", rows, columns or predictions_csv.classification_columns(CLASSES))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    write(workdir, draw_rows(1), "val")
    write(workdir, draw_rows(0))
    fit_calibration.fit(workdir, "val")
    return workdir


@pytest.fixture(scope="module")
def scores(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap.bootstrap, "__defaults__", (200, 0))
        return scoring.score_run(run, "test")


def every_score(tree):
    if not isinstance(tree, dict):
        return []
    return [tree] if "value" in tree else [leaf for part in tree.values() for leaf in every_score(part)]


def test_values_equal_the_metrics_and_lie_in_their_intervals(run, scores):
    rows = predictions_csv.read(run / "evaluation" / "test" / "predictions.csv")
    labels, findings = ([row[key] for row in rows] for key in ("label", "prediction"))
    plain = classification.classification_metrics(
        labels, findings, predictions_csv.probabilities(rows, CLASSES), CLASSES
    )

    def values(tree):
        if not isinstance(tree, dict):
            return tree
        return tree["value"] if "value" in tree else {key: values(part) for key, part in tree.items()}

    assert {key: values(scores["all"][key]) for key in plain} == plain
    assert (scores["n"], scores["patients"], scores["all"]["no_prediction"]) == (N, N // 2, 1)
    assert scores["without_patient"] == 0 and not any("not known" in line for line in scores["warnings"])
    for leaf in [leaf for part in ("all", "selective_prediction", "calibration") for leaf in every_score(scores[part])]:
        assert leaf["value"] is None or leaf["interval"][0] <= leaf["value"] <= leaf["interval"][1]
    guessed = classification.classification_metrics(labels, [row["source_baseline"] for row in rows], None, CLASSES)
    over = scores["gain_over_source"]["accuracy"]
    assert over["value"] == pytest.approx(plain["accuracy"] - guessed["accuracy"])


def test_subgroups_add_up(scores):
    assert set(scores["subgroups"]) == {"source", "sex", "age", "view"}
    for groups in scores["subgroups"].values():
        assert sum(group["n"] for group in groups.values()) == N
        right = sum(group["n"] * group["accuracy"]["value"] for group in groups.values())
        assert right == pytest.approx(N * scores["all"]["accuracy"]["value"])
        for name in CLASSES:
            support = sum(group["classes"][name]["support"] for group in groups.values())
            assert support == scores["all"]["classes"][name]["support"]
    assert any("fewer than 30" in line and "age under 18 (8)" in line for line in scores["warnings"])


def test_temperature_and_thresholds_come_from_validation_and_are_used_on_test(run, scores):
    known = json.loads((run / "calibration.json").read_text())
    assert known["split"] == "val" and 2 < known["temperature"] < 4.5  # 4.5 / 1.5, for it is right at 1.5
    assert scores["calibration"]["scaled"]["ece"]["value"] < scores["calibration"]["raw"]["ece"]["value"]
    assert scores["calibration"]["raw"]["n"] == N - 1
    confident = [
        row for row in predictions_csv.read(run / "evaluation" / "val" / "predictions.csv") if row["prediction"]
    ]
    by_confidence = sorted(confident, key=lambda row: -row["confidence"])
    right = np.cumsum([row["prediction"] == row["label"] for row in by_confidence])
    more = 2  # each patient has two radiographs
    enough = np.flatnonzero(right >= 0.9 * (np.arange(1, len(right) + 1) + more))
    if len(enough):
        edge = [row["confidence"] for row in by_confidence[enough[-1] : enough[-1] + 2]]
        assert known["min_confidence"] == pytest.approx(np.mean(edge))
    else:
        assert known["min_confidence"] is None
    rows = predictions_csv.read(run / "evaluation" / "test" / "predictions.csv")
    positive = np.array([row["label"] == "viral" for row in rows])
    point = scores["operating_points"]["viral"]["at_specificity"]
    called = predictions_csv.probabilities(rows, CLASSES)[:, 1] >= known["operating_points"]["viral"]["at_specificity"]
    assert point["threshold"] == known["operating_points"]["viral"]["at_specificity"]
    assert point["sensitivity"]["value"] == pytest.approx(called[positive].mean())
    assert point["specificity"]["value"] == pytest.approx((~called)[~positive].mean())
    validation = predictions_csv.read(run / "evaluation" / "val" / "predictions.csv")
    negative = np.array([row["label"] != "viral" for row in validation])
    assert (predictions_csv.probabilities(validation, CLASSES)[negative, 1] < point["threshold"]).mean() >= 0.9


def test_scores_and_figures_are_reproducible(run, scores):
    folder = run / "evaluation" / "test"
    names = [
        "metrics.json",
        "roc.svg",
        "reliability.svg",
        "selective_prediction.svg",
        "vote_convergence.svg",
        "confusion.svg",
    ]
    before = {name: (folder / name).read_bytes() for name in names}
    assert scoring.score_run(run, "test") == scores
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert json.loads(before["metrics.json"]) == scores
    area = scores["all"]["classes"]["viral"]["auroc"]
    low, high = area["interval"]
    support = scores["all"]["classes"]["viral"]["support"]
    entry = f"viral: {area['value']:.2f} ({low:.2f} to {high:.2f}), n = {support}<"
    assert entry in before["roc.svg"].decode()
    assert f"ROC curves of {scores['n']} radiographs" in before["roc.svg"].decode()
    assert f"{area['value']:.3f} ({low:.3f} to {high:.3f})" in tables.format_scores(scores)


def test_rows_of_older_versions_are_scored(tmp_path, no_figures):
    columns = [c for c in predictions_csv.classification_columns(CLASSES) if c not in ("view", "sex", "age")]
    columns = [c for c in columns if c not in ("expected_entropy", "mutual_information")]
    rows = [{key: value for key, value in row.items() if key in columns} for row in draw_rows(0)]
    write(tmp_path, rows, columns=columns)
    scores = scoring.score_run(tmp_path, "test")
    assert list(scores["subgroups"]) == ["source"] and set(scores["selective_prediction"]) == {
        "vote_fraction",
        "confidence",
    }
    assert not scores["operating_points"] and "no calibration.json" in scores["warnings"][-1]


def test_segmentation_scores_have_intervals_by_patient(tmp_path):
    rng = np.random.default_rng(0)
    dice = rng.beta(20, 2, 60)
    rows = [
        {"path": f"{i}", "patient_id": f"{i % 20}", "source": "ab"[i % 2], "status": "ok", "dice_lungs": d}
        | {"jaccard_lungs": d / (2 - d), "dice_heart": np.nan if i % 2 else 0.9, "jaccard_heart": 0.8}
        for i, d in enumerate(dice)
    ]
    write(tmp_path, rows, columns=predictions_csv.segmentation_columns(["lungs", "heart"]))
    scores = scoring.score_run(tmp_path, "test")
    lungs = scores["all"]["structures"]["lungs"]
    assert lungs["dice"]["value"] == pytest.approx(dice.mean()) and lungs["dice"]["n"] == 60
    by_patient = dice.reshape(3, 20).mean(0).std() / np.sqrt(20)
    low, high = lungs["dice"]["interval"]
    # Fay and Feuer's interval allows for one more radiograph as low as any seen, and for few patients.
    assert 1 < (high - low) / (2 * 1.96) / by_patient < 1.5
    assert scores["all"]["structures"]["heart"]["support"] == 30
    assert "| a | heart | 30 | 0.900" in tables.format_scores(scores)


def test_run_is_compared_with_a_weaker_baseline(run, tmp_path):
    write(tmp_path, draw_rows(0, skill=0.3))
    result = compare_runs.compare_runs(run, tmp_path, "test")
    for name, difference in result["difference"].items():
        pair = [result[part][name]["value"] for part in ("run", "baseline")]
        assert difference["value"] == pytest.approx(pair[0] - pair[1])
    assert result["difference"]["accuracy"]["interval"][0] > 0 and result["p"]["accuracy"] < 0.001
    assert (
        json.loads((run / "evaluation" / "test" / compare_runs.comparison_path(run, tmp_path, "test").name).read_text())
        == result
    )
    assert result["runs"] == {"run": str(run), "baseline": str(tmp_path)}
    assert not result["warnings"] and "< 0.001" in tables.format_comparison(result)
    assert all(result["p_holm"][name] >= p for name, p in result["p"].items())
    assert compare_runs.comparison_path(run, tmp_path / "a" / "run", "test") != compare_runs.comparison_path(
        run, tmp_path / "b" / "run", "test"
    )
    same = compare_runs.compare_runs(run, run, "test")
    assert all(d["value"] == 0 and d["interval"] in (None, [0, 0]) for d in same["difference"].values())
    assert set(same["p"].values()) == {1}
    assert (
        json.loads((run / "evaluation" / "test" / compare_runs.comparison_path(run, tmp_path, "test").name).read_text())
        == result
    )
    assert "| – |" in tables.format_comparison(result | {"p": result["p"] | {"AUROC viral": None}})


def test_runs_with_different_radiographs_are_not_compared(run, tmp_path):
    rows = draw_rows(2)
    others = [row | {"path": f"other_{row['path']}"} for row in rows[80:85]]
    write(tmp_path / "other_split", [*rows[:80], *others])
    expected = re.compile(
        r"the runs were evaluated on different radiographs: \S+/run\d*/evaluation/test/predictions.csv has 90, "
        r"\S+/other_split/evaluation/test/predictions.csv has 85, and 80 are in both; evaluate both runs on one data "
        r"set that neither was trained on \(--mode=evaluate --dataset=DATA_SET\), then compare them with the same "
        r"--dataset$"
    )
    with pytest.raises(ValueError, match=expected):
        compare_runs.compare_runs(run, tmp_path / "other_split", "test")
    write(tmp_path / "fewer", rows[:-1])
    with pytest.raises(ValueError, match=r"has 89, .*has 90, and 89 are in both"):
        compare_runs.compare_runs(tmp_path / "fewer", run, "test")
    write(tmp_path / "twice", [*rows, rows[3]])
    with pytest.raises(ValueError, match=r"3.png is there twice"):
        compare_runs.compare_runs(run, tmp_path / "twice", "test")
    write(tmp_path / "moved", [rows[0] | {"source": "elsewhere"}, *rows[1:]])
    with pytest.raises(ValueError, match=r"0.png is not of the source"):
        compare_runs.compare_runs(run, tmp_path / "moved", "test")
    write(tmp_path / "other", [rows[0] | {"label": "viral" if rows[0]["label"] != "viral" else "normal"}, *rows[1:]])
    with pytest.raises(ValueError, match=r"the label of 0.png is"):
        compare_runs.compare_runs(run, tmp_path / "other", "test")


def test_scores_of_1_have_intervals(tmp_path):
    rows = [row for row in draw_rows(0, skill=50) if row["status"] == "ok"][:6]
    write(tmp_path, [row | {"patient_id": ""} for row in rows])
    scores = scoring.score_run(tmp_path, "test")
    accuracy, f1 = scores["all"]["accuracy"], scores["all"]["macro"]["f1"]
    lows = [
        class_scores["f1"]["interval"][0]
        for class_scores in scores["all"]["classes"].values()
        if class_scores["support"]
    ]
    assert accuracy["value"] == f1["value"] == 1 and accuracy["interval"] == [pytest.approx(0.025 ** (1 / 6)), 1]
    assert all(
        class_scores["auroc"]["interval"]
        for class_scores in scores["all"]["classes"].values()
        if class_scores["support"]
    )
    assert f1["interval"] == [pytest.approx(np.mean(lows), abs=0.2), 1] and f1["interval"][0] > min(lows)
    assert (
        scores["vote_convergence"]["1"]["stability"]["value"] == 1
        and (tmp_path / "evaluation/test/vote_convergence.svg").exists()
    )
    assert f"| macro F1 | 1.000 ({f1['interval'][0]:.3f} to 1.000) | " in tables.format_scores(scores)


def test_one_patient_gives_no_interval(tmp_path, no_figures):
    write(tmp_path, [row | {"patient_id": "one"} for row in draw_rows(0)])
    assert all(leaf["interval"] is None for leaf in every_score(scoring.score_run(tmp_path, "test")))


def test_unreachable_threshold_is_reported(tmp_path, no_figures):
    """Half of the viral ones have no lungs: no threshold finds nine in ten of them."""
    rows = draw_rows(1)
    viral = [i for i, row in enumerate(rows) if row["label"] == "viral"]
    for i in viral[::2]:
        rows[i] = {key: value for key, value in rows[i].items() if key in rows[5]} | {"status": "no lungs found"}
    write(tmp_path, rows, "val")
    fit_calibration.fit(tmp_path, "val")
    chosen = calibration.load(tmp_path, None)["operating_points"]["viral"]
    assert chosen["at_sensitivity"] is None
    scores = scoring.score_run(tmp_path, "val")
    assert scores["operating_points"]["viral"]["at_sensitivity"] == {"threshold": None}
    assert scores["operating_points"]["viral"]["at_specificity"]["specificity"]["value"] >= 0.9
    assert "| viral | sensitivity 90% | not reachable | not reachable |" in tables.format_scores(scores)
    assert "chosen on val" in scores["warnings"][-1]


def test_vote_convergence_is_left_out_without_majority_vote(run, tmp_path):
    folder = write(tmp_path, draw_rows(0))
    assert (
        list(scoring.score_run(tmp_path, "test")["vote_convergence"])[-1] == "100"
        and (folder / "vote_convergence.png").exists()
    )
    config = classify_config()
    config.voting.aggregation = "mean_probability"
    (tmp_path / "config.json").write_text(config.to_json())
    scores = scoring.score_run(tmp_path, "test")
    assert scores["vote_convergence"] is None and scores["warnings"][-1] == scoring.NO_CONVERGENCE
    assert not (folder / "vote_convergence.png").exists() and (folder / "selective_prediction.png").exists()


def test_splits_that_share_a_fold_have_a_warning(tmp_path, no_figures):
    config = classify_config()
    config.data.train = "fold1+fold2"
    write(tmp_path, draw_rows(0), "fold0+fold1")
    (tmp_path / "config.json").write_text(config.to_json())
    known = {"split": "fold0", "temperature": 1.0, "operating_points": {}}
    calibration.path(tmp_path).write_text(json.dumps(known))
    warnings = scoring.score_run(tmp_path, "fold0+fold1")["warnings"]
    assert any("trained on fold1+fold2" in line for line in warnings)
    assert any("chosen on fold0" in line for line in warnings)


def test_equal_split_names_of_another_data_set_have_no_warning(tmp_path, no_figures):
    config = classify_config()
    config.data.train, config.data.validation = "fold1+fold2", "fold0"
    folder = write(tmp_path, draw_rows(0), "elsewhere-fold3+fold1")
    provenance.write(folder, provenance.Provenance("elsewhere", "fold3+fold1"))
    (tmp_path / "config.json").write_text(config.to_json())
    warnings = scoring.score_run(tmp_path, "elsewhere-fold3+fold1")["warnings"]
    assert not [line for line in warnings if "trained on" in line or "chosen on" in line]


def test_network_that_predicts_one_class_has_a_warning(tmp_path, no_figures):
    rows = [row | {"prediction": "viral"} if "prediction" in row else row for row in draw_rows(0)]
    write(tmp_path / "viral", rows)
    scores = scoring.score_run(tmp_path / "viral", "test")
    assert any(
        line.startswith("every prediction is viral, whatever the AUROC: the best epoch") for line in scores["warnings"]
    )
    config = classify_config()
    config.training.metric = "loss"
    (tmp_path / "viral" / "config.json").write_text(config.to_json())
    scores = scoring.score_run(tmp_path / "viral", "test")
    assert "every prediction is viral, whatever the AUROC" in scores["warnings"]
    write(tmp_path / "any", draw_rows(0))
    scores = scoring.score_run(tmp_path / "any", "test")
    assert not any(line.startswith("every prediction") for line in scores["warnings"])


def test_n_of_a_mean_counts_known_values_only(tmp_path, no_figures):
    rows = [row | {"energy_in_lesions": i / 100} if i % 3 == 0 else row for i, row in enumerate(draw_rows(0))]
    write(tmp_path, rows)
    energy = scoring.score_run(tmp_path, "test")["all"]["energy_in_lesions"]
    assert energy["n"] == 30 and energy["value"] == pytest.approx(np.mean(np.arange(0, 90, 3)) / 100)


def test_rows_without_patients_count_singly_and_labels_are_required(tmp_path, no_figures):
    columns = [column for column in predictions_csv.classification_columns(CLASSES) if column != "patient_id"]
    rows = [{key: value for key, value in row.items() if key in columns} for row in draw_rows(0)]
    folder = write(tmp_path, rows, columns=columns)
    scores = scoring.score_run(tmp_path, "test")
    assert (scores["patients"], scores["without_patient"]) == (N, N)
    assert any(line.startswith("the patients are not known: each radiograph counts") for line in scores["warnings"])
    assert f"| {N} radiographs, patients not known |" in tables.format_scores(scores)
    assert len(set(prediction_arrays.patients(predictions_csv.read(folder / "predictions.csv")))) == N
    assert compare_runs.compare_runs(tmp_path, tmp_path, "test")["patients"] == N
    rows = [{key: value for key, value in row.items() if key != "label"} for row in rows]
    predictions_csv.write(folder / "predictions.csv", rows, [column for column in columns if column != "label"])
    for ask in (
        lambda: scoring.score_run(tmp_path, "test"),
        lambda: compare_runs.compare_runs(tmp_path, tmp_path, "test"),
    ):
        with pytest.raises(ValueError, match=r"predictions.csv: line 1: there is no column label"):
            ask()


def test_scoring_benchmark_scores_its_synthetic_rows():
    cases, rows, known, patients = score_rows.draw_predictions(60)
    tree = score_rows.run(cases, score_rows.subgroups.partition(rows), known, patients)
    assert tree["all"]["n"] == 60 and set(tree["subgroups"]) == {"source", "sex", "age", "view"}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ({"value": 0.8123, "interval": [0.7614, 0.858]}, "0.812 (0.761 to 0.858)"),
        ({"value": 0.8123, "interval": None}, "0.812"),
        ({"value": None, "interval": None}, "–"),
        (0.5, "0.500"),
        (None, "–"),
    ],
)
def test_format_ci(number, words):
    assert formatting.format_ci(number) == words


def test_study_ids_do_not_count_as_patients():
    study = "study-" + "0123456789ab" * 2
    rows = [{"patient_id": name} for name in ("p1", "p1", "p2", "", "", study, study)]
    assert prediction_arrays.count_patients(rows) == {"patients": 6, "without_patient": 4}
