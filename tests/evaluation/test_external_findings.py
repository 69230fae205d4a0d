"""Several findings on collections of another data set: AUROC by hand, and pooled AUROC that is too high."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrjax.evaluation import external, external_finding_tables, external_findings, external_verdict
from cxrjax.io import predictions_csv
from cxrjax.metrics.temperature import HOTTEST
from cxrjax.runs import provenance, run_dir
from tests.helpers import finding_rows


def draw(source, prevalence, skill, seed, n=150, offset=0.0):
    """Rows whose logit is `skill` standard deviations higher with an edema, and `offset` higher in this source."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        edema = float(rng.random() < prevalence)
        p = {"Edema": 1 / (1 + np.exp(-(skill * edema + offset + rng.normal()))), "Hernia": 0.1}
        row = {"path": f"{source}{i}.png", "patient_id": f"{source}{i // 2}", "source": source, "status": "ok"}
        row |= {"target_Edema": edema if i % 10 else -1.0, "target_Hernia": float(i == 3), "num_patches": 1}
        row |= {f"probability_{name}": value for name, value in p.items()} | {"votes_Edema": 0, "votes_Hernia": 0}
        rows.append(row | {"prediction": "Edema" if p["Edema"] > 0.5 else "no finding", "label": ""})
    return rows


def area(rows):
    known = [row for row in rows if row["target_Edema"] >= 0]
    return roc_auc_score([row["target_Edema"] for row in known], [row["probability_Edema"] for row in known])


def test_pooled_auroc_is_high_for_a_network_that_separates_collections():
    own = draw("own", 0.5, 2.5, 0)
    many = draw("many", 0.85, 0.3, 1, offset=3.0)
    few = draw("few", 0.15, 0.3, 2)
    result = external_findings.assess([*many, *few], own, "test", resamples=200)
    groups = result["collections"]
    for name, rows in (("many", many), ("few", few)):
        assert groups[name]["classes"]["Edema"]["auroc"]["value"] == pytest.approx(area(rows))
        assert groups[name]["verdict"] == "falls" and set(groups[name]["classes"]) == {"Edema"}
        assert groups[name]["small"] == {"Hernia": [149, 1]}
        change = area(rows) - area(own)
        assert groups[name]["difference"]["classes"]["Edema"]["auroc"]["value"] == pytest.approx(change)
    assert result["pooled"]["auroc"]["value"] == pytest.approx(area([*many, *few]))
    assert result["own"]["auroc"]["value"] == pytest.approx(area(own))
    within = (area(many) + area(few)) / 2
    assert result["within"]["within"]["value"] == pytest.approx(within)
    share = (result["pooled"]["auroc"]["value"] - within) / (result["pooled"]["auroc"]["value"] - 0.5)
    assert share > external_verdict.MOST
    assert result["sentence"] == (
        f"The pooled AUROC of {area([*many, *few]):.2f} comes mostly from differences between the collections: within "
        f"one it is {within:.2f}; the network falls at few and many: the mean AUROC of the findings is "
        f"{area(few):.2f} to {area(many):.2f} there, and {area(own):.2f} on its own test split."
    )
    text = external_finding_tables.format_findings(result)
    assert result["sentence"] in text and "| few | Edema |" in text and "radiographs with or without Hernia" in text


def test_transferable_network_holds_and_no_differences_are_reported():
    own = draw("own", 0.5, 3.0, 0, n=400)
    rows = draw("one", 0.3, 3.0, 1, n=400)
    result = external_findings.assess(rows, own, "test", resamples=200)
    assert result["sentence"] == (
        f"The network holds at one: the mean AUROC of the findings is {area(rows):.2f} there, and {area(own):.2f} on "
        "its own test split."
    )


def test_network_at_chance_on_its_own_split_neither_holds_nor_falls():
    own = draw("own", 0.5, 0.0, 0)
    same = draw("same", 0.5, 0.0, 1)
    worse = draw("worse", 0.5, -2.0, 2)  # ranked in reverse: a fall, for a network that exceeds chance
    result = external_findings.assess([*same, *worse], own, "test", resamples=200)
    low, high = result["own"]["auroc"]["interval"]
    assert low <= 0.5 <= high
    groups = result["collections"]
    assert [groups[name]["verdict"] for name in ("same", "worse")] == [external_verdict.NOT_JUDGED] * 2
    assert groups["worse"]["judged"]["difference"]["interval"][1] < 0
    assert (
        "on its own test split the network's mean AUROC does not exceed chance, so that the network can neither hold "
        "nor fall elsewhere" in result["sentence"].lower().replace("auroc", "AUROC")
    )
    skilled = external_findings.assess([*same, *worse], draw("own", 0.5, 3.0, 0), "test", resamples=200)
    assert [skilled["collections"][name]["verdict"] for name in ("same", "worse")] == [external_verdict.FALLS] * 2


def test_missing_own_split_and_too_few_radiographs_are_reported():
    rows = draw("one", 0.3, 2.0, 1)
    alone = external_findings.assess(rows, [], "test", resamples=20)
    assert alone["own"] == {} and "on its own radiographs is not known" in alone["sentence"]
    assert "the run's own test split was not evaluated with this network" in alone["warnings"][0]
    assert alone["collections"]["one"]["verdict"] == external_verdict.UNCLEAR
    few = external_findings.assess(rows[:12], draw("own", 0.5, 2.0, 0), "test", resamples=20)
    assert few["sentence"] == "Too few radiographs to say whether the network holds at one."
    assert few["warnings"] == ["one is too small to say anything of any finding"]
    text = external_finding_tables.format_findings(alone)
    assert "| one |" in text and "has no calibration" in text and "No out-of-distribution detector" in text


CALIBRATION = {
    "target": 0.9, "temperature": {"Edema": 2.0},
    "operating_points": {"Edema": {"decision": 0.5, "at_sensitivity": 0.3, "at_specificity": None}},
}  # fmt: skip


def make_group(source, absent, present, reason=""):
    """Rows with the given probabilities of an edema, and one more whose truth is uncertain."""
    cases = [(0.0, p) for p in absent] + [(1.0, p) for p in present] + [(-1.0, 0.9)]
    return [
        {"path": f"{source}{i}", "patient_id": f"{source}{i}", "source": source, "target_Edema": truth,
         "probability_Edema": p, "votes_Edema": round(p), "prediction": "Edema" if p >= 0.5 else "no finding",
         "ood_reason": reason}
        for i, (truth, p) in enumerate(cases)
    ]  # fmt: skip


def test_thresholds_temperature_and_flagged_radiographs_worked_by_hand():
    # North: all below 0.5, in perfect order. South: all above 0.5, in reverse order, and all flagged.
    north = make_group("north", [0.1] * 10, [0.4] * 10)
    south = make_group("south", [0.9] * 10, [0.6] * 10, reason="unlike")
    own = make_group("own", [0.2] * 12, [0.8] * 12)
    result = external_findings.assess(north + south, own, "test", CALIBRATION, resamples=50)
    thresholds = result["operating_points"]["Edema"]
    assert list(thresholds) == ["at_sensitivity"]  # no threshold could be chosen for a specificity
    assert {group: rates["sensitivity"]["value"] for group, rates in thresholds["at_sensitivity"].items()} == {
        "own": 1, "pooled": 1, "at north": 1, "at south": 1}  # fmt: skip
    assert {group: rates["specificity"]["value"] for group, rates in thresholds["at_sensitivity"].items()} == {
        "own": 1, "pooled": 0.5, "at north": 1, "at south": 0}  # fmt: skip
    # A temperature of 2 takes the root of the odds: 1/4 becomes 1/2, which is a probability of 1/3.
    assert result["calibration"]["own"]["macro"]["ece"]["value"] == pytest.approx(1 / 3)
    odds = np.sqrt(np.array([1 / 9, 2 / 3, 9, 3 / 2]))
    errors = np.abs(odds / (1 + odds) - [0, 1, 0, 1])
    assert result["calibration"]["external"]["macro"]["ece"]["value"] == pytest.approx(errors.mean())
    assert result["temperature"]["Edema"]["validation"] == 2
    # The wrong half is surer than the right half, so that no temperature is too high.
    assert result["temperature"]["Edema"]["here"] == pytest.approx(HOTTEST, rel=0.01)
    # Of 20 x 20 pairs, in order are those of either collection's edemas with the other ones of north.
    assert result["pooled"]["auroc"]["value"] == 0.5 and result["own"]["auroc"]["value"] == 1
    flagged = result["detector"]["flagged"]
    assert [flagged[name]["out_of_distribution"] for name in ("all", "north", "south")] == [21, 0, 21]
    assert result["detector"]["without"]["auroc"]["value"] == 1
    assert result["detector"]["share"]["of_fall"]["value"] == 1
    text = external_finding_tables.format_findings(result)
    assert "the mean AUROC is 1.00 instead of 0.50: they are 100% of the fall." in text
    line = next(line for line in text.splitlines() if "sensitivity of 90%" in line)
    assert [cell.strip()[:5] for cell in line.split("|")[3:-1]] == ["1.000"] * 4
    assert "would be higher for 1 of 1 finding (" in text


def test_what_too_few_radiographs_leave_undefined_is_said():
    own = make_group("own", [0.2] * 12, [0.8] * 12)
    rows = make_group("north", [0.2] * 12, [0.8] * 12) + make_group("south", [0.2] * 12, [0.8] * 9)
    for row in rows[:15]:
        row["ood_reason"] = "unlike"  # 9 radiographs without an edema remain in north, 21 in both
    result = external_findings.assess(rows, own, "test", CALIBRATION, resamples=20)
    assert list(result["operating_points"]["Edema"]["at_sensitivity"]) == ["own", "pooled", "at north"]
    assert result["warnings"] == ["south is too small to say anything of any finding"]
    for row in rows[25:]:
        row["ood_reason"] = "unlike"
    result = external_findings.assess(rows, own, "test", CALIBRATION, resamples=20)
    assert result["detector"]["without"] == {}
    assert "Too few radiographs are left without them" in external_finding_tables.format_findings(result)
    other = CALIBRATION | {"temperature": {"Hernia": 1.0}, "operating_points": {"Hernia": {"at_sensitivity": 0.5}}}
    result = external_findings.assess(rows, own, "test", other, resamples=20)
    assert result["operating_points"] == {} and result["temperature"] == {}
    assert "No finding has enough radiographs for" in external_finding_tables.format_findings(result)


def test_external_findings_are_written_for_another_data_set(tmp_path, monkeypatch):
    assess = external_findings.assess
    monkeypatch.setattr(external_findings, "assess", lambda *rows: assess(*rows, resamples=20))
    for name, seed in (("test", 1), ("other-test", 2)):
        folder = finding_rows.write(tmp_path, finding_rows.draw_rows(seed), name)
        provenance.write(folder, provenance.Provenance(name.removesuffix("-test"), "test", 7))
        result = external.assess_run(tmp_path, name)
        assert (folder / external_findings.FILE).exists() == (result is not None) == (name != "test")
    assert result == external.read(tmp_path, "other-test") and result["dataset"] == "other"
    assert set(result["collections"]) == {"a", "b"} and result["own"]["n"] == len(predictions_csv.read(
        tmp_path / "evaluation" / "test" / "predictions.csv"
    ))  # fmt: skip


def test_a_file_of_an_older_version_is_refused_with_the_command_that_makes_it_again(tmp_path):
    folder = tmp_path / "evaluation" / "other-test"
    folder.mkdir(parents=True)
    (folder / external_findings.FILE).write_text('{"sentence": "It holds."}')
    with pytest.raises(run_dir.RunError, match="older cxrjax; --mode=rescore --split=other-test makes it again"):
        external.read(tmp_path, "other-test")
