"""External validation: verdicts by collection against hospitals of known truth, and numbers worked by hand."""

import json

import numpy as np
import pytest

from cxrjax.config import default_config
from cxrjax.evaluation import external, external_tables, external_verdict
from cxrjax.io import predictions_csv
from cxrjax.runs import calibration, provenance
from tests.helpers.hospitals import draw_rows

CALIBRATION = {
    "step": 7, "split": "val", "target": 0.9, "temperature": 1.0, "version": calibration.VERSION,
    "operating_points": {"covid19": {"at_sensitivity": 0.3, "at_specificity": None}},
}  # fmt: skip


def verdicts(result: dict) -> dict[str, str]:
    return {name: group["verdict"] for name, group in result["collections"].items()}


def count_right(is_right, draws: int = 20) -> int:
    return sum(is_right(np.random.default_rng(seed)) for seed in range(draws))


@pytest.mark.slow
def test_first_sentence_names_the_hospital_whose_shortcut_is_broken():
    """North without shift, south with another prevalence, east with the shortcut broken: right in 19 of 20 draws."""

    def is_right(rng) -> bool:
        own = draw_rows(rng, "own", 600)
        rows = draw_rows(rng, "north", 500) + draw_rows(rng, "south", 500, prevalence=0.15)
        rows += draw_rows(rng, "east", 500, agreement=0.5)
        sentence = external.assess(rows, own, "test", None, resamples=200)["sentence"]
        return sentence.startswith("The network holds at north and south, and falls at east: it recognizes ")

    assert count_right(is_right) >= 19


@pytest.mark.slow
def test_first_sentence_says_when_the_pooled_score_comes_from_the_collections():
    """Two hospitals whose images shift the score with the prevalence: pooled 0.9, within 0.76; right in 19 of 20."""

    def is_right(rng) -> bool:
        settings = {"disease": 1.0, "shortcut": 0.0}
        rows = draw_rows(rng, "north", 300, prevalence=0.8, shift=2.0, **settings)
        rows += draw_rows(rng, "south", 300, prevalence=0.15, shift=-2.0, **settings)
        own = draw_rows(rng, "own", 400)
        sentence = external.assess(rows, own, "test", None, resamples=200)["sentence"]
        return "comes in part from differences between the collections" in sentence and "falls at north" in sentence

    assert count_right(is_right) >= 19


@pytest.mark.slow
def test_prevalence_shift_alone_is_neither_a_fall_nor_an_inflated_score():
    """With the same network at both hospitals, the pooled AUROC is that within one."""

    def is_right(rng) -> bool:
        own = draw_rows(rng, "own", 400)
        rows = draw_rows(rng, "north", 400, prevalence=0.7) + draw_rows(rng, "south", 400, prevalence=0.2)
        sentence = external.assess(rows, own, "test", None, resamples=200)["sentence"]
        return sentence.startswith("The network holds at both collections: ")

    assert count_right(is_right) >= 19


def test_verdicts_of_one_draw_of_three_hospitals():
    """North without shift, south with another prevalence, east with the shortcut broken."""
    rng = np.random.default_rng(0)
    own = draw_rows(rng, "own", 600)
    rows = draw_rows(rng, "north", 500) + draw_rows(rng, "south", 500, prevalence=0.15)
    rows += draw_rows(rng, "east", 500, agreement=0.5)
    result = external.assess(rows, own, "test", None, resamples=100)
    assert verdicts(result) == {"east": "falls", "north": "holds", "south": "holds"}
    assert external_verdict.pooled_share(result["within"]) is None


def make_row(source: str, name: str, label: str, probability: float, reason: str = "") -> dict:
    prediction = "covid19" if probability > 0.5 else "normal"
    return {
        "path": name, "patient_id": name, "source": source, "label": label, "prediction": prediction,
        "confidence": max(probability, 1 - probability), "probability_normal": 1 - probability,
        "probability_covid19": probability, "votes_normal": 1, "votes_covid19": 0, "ood_reason": reason,
        "status": "ok", "reason": "",
    }  # fmt: skip


def make_group(source: str, normal: list[float], covid19: list[float], reason: str = "") -> list[dict]:
    """Return rows with the given probabilities of COVID-19, by label."""
    cases = [("normal", p) for p in normal] + [("covid19", p) for p in covid19]
    return [make_row(source, f"{source}{i}", label, p, reason) for i, (label, p) in enumerate(cases)]


def test_numbers_worked_by_hand():
    # North: 10 + 10 in perfect order, all low: AUROC 1, no COVID-19 found. South: 10 + 10 in reverse order, all high.
    north = make_group("north", [0.1] * 10, [0.4] * 10)
    south = make_group("south", [0.9] * 10, [0.6] * 10, reason="unlike")
    own = make_group("own", [0.2] * 12, [0.8] * 12)
    result = external.assess(north + south, own, "test", CALIBRATION, resamples=50)
    areas = {name: group["auroc"]["value"] for name, group in result["collections"].items()}
    assert areas == {"north": 1.0, "south": 0.0}
    assert result["within"]["within"]["value"] == 0.5
    # Of 20 x 20 pairs, in order are: north's own 100 and those of south's COVID-19 with north's normal 100.
    assert result["within"]["pooled"]["value"] == result["pooled"]["auroc"]["value"] == 0.5
    assert result["within"]["difference"]["value"] == 0
    assert result["pooled"]["sensitivity"]["value"] == 0.5 and result["own"]["sensitivity"]["value"] == 1
    assert result["difference"]["sensitivity"]["value"] == -0.5
    thresholds = result["operating_points"]["covid19"]
    assert {group: rates["sensitivity"]["value"] for group, rates in thresholds["at_sensitivity"].items()} == {
        "own": 1, "pooled": 1, "at north": 1, "at south": 1}  # fmt: skip
    assert {group: rates["specificity"]["value"] for group, rates in thresholds["at_sensitivity"].items()} == {
        "own": 1, "pooled": 0.5, "at north": 1, "at south": 0}  # fmt: skip
    assert "at_specificity" not in thresholds  # no threshold could be chosen
    flagged = result["detector"]["flagged"]
    assert [flagged[name]["out_of_distribution"] for name in ("all", "north", "south")] == [20, 0, 20]
    assert result["detector"]["share"]["of_fall"]["value"] == 0  # north alone recognizes half of each class, too


def test_share_of_the_fall_that_the_detector_flags():
    # 15 of 20 COVID-19 found; without the 4 flagged, all missed, 15 of 16; on the own split all are.
    missed = [make_row("north", f"m{i}", "covid19", 0.4, "unlike" if i < 4 else "") for i in range(5)]
    rows = make_group("north", [0.1] * 20, [0.9] * 15) + missed
    result = external.assess(rows, make_group("own", [0.2] * 20, [0.8] * 20), "test", None, resamples=50)
    assert result["difference"]["sensitivity"]["value"] == pytest.approx(-0.125)
    assert result["detector"]["share"]["of_fall"]["value"] == pytest.approx((15 / 16 - 15 / 20) / 2 / 0.125)
    assert "they are 75% of the fall" in external_tables.describe_flagged(result)


def test_small_classes_and_collections_have_warnings_and_no_verdict():
    own = make_group("own", [0.2] * 40, [0.8] * 40)
    rows = make_group("north", [0.2] * 40, [0.8] * 9) + make_group("south", [0.2] * 3, [0.8] * 4)
    result = external.assess(rows, own, "test", None, resamples=50)
    assert verdicts(result)["south"] == external_verdict.UNCLEAR
    assert result["collections"]["north"]["judged"]["here"]["value"] == 1 and result["within"] == {}
    assert result["warnings"] == [
        "north has too few radiographs of COVID-19 (9) to say anything of them",
        "south is too small to say anything: normal (3) and COVID-19 (4)",
    ]
    assert "since none of them has enough radiographs of two classes" in result["sentence"]
    assert "for south there are too few radiographs to say" in result["sentence"]


def test_network_that_predicts_one_class_neither_holds_nor_falls():
    own = make_group("own", [0.6] * 40, [0.7] * 40)
    rows = make_group("north", [0.6] * 40, [0.6] * 40)
    result = external.assess(rows, own, "test", None, resamples=50)
    assert verdicts(result) == {"north": external_verdict.NOT_JUDGED}
    assert result["sentence"].startswith("On its own test split the network's mean sensitivity does not exceed chance")


def test_pooled_score_of_single_class_collections_is_questioned():
    own = make_group("own", [0.2] * 90, [0.8] * 90)
    rows = make_group("north", [0.2] * 90, []) + make_group("south", [], [0.8] * 90)
    result = external.assess(rows, own, "test", None, resamples=50)
    assert result["pooled"]["auroc"]["value"] == 1 and result["within"] == {}
    assert result["sentence"].startswith("The pooled AUROC of 1.00 may be one of collections alone, since none of them")
    assert result["sentence"].endswith(
        "it recognizes 100% of each class there on average, and 100% on its own test split."
    )


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.0, -0.05, 0.05, "holds"),
        (-0.05, -0.08, -0.02, "holds"),  # a fall, of less than the margin
        (-0.2, -0.3, -0.1, "falls"),
        (-0.1, -0.2, 0.0, "too few to say"),
        (-0.1, -0.199, -0.001, "too few to say"),  # below 0 alone, not as one of three
        (0.1, -0.2, 0.4, "too few to say"),
    ],
)
def test_verdict_of_an_interval(value, low, high, verdict):
    assert external_verdict.judge({"value": value, "interval": [low, high]}, num_judged=3) == verdict


def test_single_collection_is_judged_without_correction():
    difference = {"value": -0.1, "interval": [-0.199, -0.001]}
    assert external_verdict.judge(difference, num_judged=1) == "falls"
    assert external_verdict.judge(None, num_judged=1) == "too few to say"


def test_result_ignores_row_order_and_equal_patient_ids_of_hospitals():
    own = make_group("own", [0.2] * 15 + [0.6] * 5, [0.8] * 15 + [0.3] * 5)
    rows = make_group("north", [0.2] * 12 + [0.7] * 8, [0.8] * 20) + make_group("south", [0.4] * 20, [0.6] * 20)
    for i, row in enumerate(own):
        row["patient_id"] = f"north{i}"  # of another hospital, and another person
    result = external.assess(rows, own, "test", None, resamples=60)
    reordered = external.assess(rows[::-1], own[::-1], "test", None, resamples=60)
    renamed = external.assess(rows, [row | {"patient_id": f"x{i}"} for i, row in enumerate(own)], "test", None, 60)
    assert verdicts(result) == verdicts(reordered) and result["sentence"] == reordered["sentence"]
    assert renamed["collections"]["north"]["difference"] == result["collections"]["north"]["difference"]


@pytest.fixture
def run(tmp_path):
    """Run with an evaluation of its own test split and one of another data set."""
    config = default_config()
    config.task = "classify"
    config.classifier.classes = ("normal", "covid19")
    (tmp_path / "config.json").write_text(config.to_json())
    calibration.path(tmp_path).write_text(json.dumps(CALIBRATION))
    columns = predictions_csv.classification_columns(("normal", "covid19"))
    rng = np.random.default_rng(0)
    for name, source in (("test", "own"), ("clinics-test", "north")):
        folder = tmp_path / "evaluation" / name
        folder.mkdir(parents=True)
        predictions_csv.write(folder / "predictions.csv", draw_rows(rng, source, 60), columns)
        provenance.write(folder, provenance.Provenance(source, "test", 7))
    return tmp_path


def test_external_json_is_written_only_for_other_data_sets(run):
    assert external.assess_run(run, "test") is None and external.read(run, "test") is None
    result = external.assess_run(run, "clinics-test")
    assert result == external.read(run, "clinics-test") and result["own_split"] == "test"
    assert result["n"] == 60 and result["own"]["n"] == 60


def test_own_rows_of_another_network_are_not_compared(run):
    provenance.write(run / "evaluation" / "test", provenance.Provenance("own", "test", 6))
    result = external.assess_run(run, "clinics-test")
    assert result["own"] == {} and result["warnings"] == [
        "the run's own test split was not evaluated with this network, so that there is nothing to compare with: "
        "--mode=evaluate --split=test does it"
    ]
    assert "no fall can be measured" in external_tables.format_external(result)


def test_table_lists_each_collection_with_its_own_numbers():
    own = make_group("own", [0.2] * 60, [0.8] * 60)
    rows = make_group("north", [0.2] * 60, [0.8] * 60) + make_group("south", [0.7] * 60, [0.8] * 60)
    text = external_tables.format_external(external.assess(rows, own, "test", CALIBRATION, resamples=50))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    collections = [line for line in lines if line[-1] in ("holds", "falls")]
    assert [(line[0], line[1], line[2][:5], line[3][:5], line[4]) for line in collections] == [
        ("north", "60 normal, 60 COVID-19", "1.000", "1.000", "holds"),
        ("south", "60 normal, 60 COVID-19", "0.500", "1.000", "falls"),
    ]
    thresholds = next(line for line in lines if line[1] == "sensitivity of 90%")
    assert [cell[:5] for cell in thresholds[2:]] == ["1.000"] * 4
