"""Section of a report on an external evaluation of several findings, against its numbers."""

import re

import pytest

from cxrjax.evaluation import external_findings, external_verdict
from cxrjax.report import external_view, render
from tests.helpers import axe, browser, finding_rows
from tests.helpers.report_page import THERE, Page, table

CALIBRATION = {
    "target": 0.9,
    "temperature": {"Effusion": 1.0, "Edema": 1.5},
    "operating_points": {"Effusion": {"at_sensitivity": 0.3}, "Edema": {"at_sensitivity": None}},
}


@pytest.fixture(scope="module")
def assessed(rows):
    """Evaluation at two collections, of which the network sees less than on its own split, above all of edemas."""
    known = {"target_Hernia": 1.0}
    here = [row | {"source": {"a": "ea<b>st", "b": "north"}[row["source"]], "ood_reason": ""} for row in rows]
    for i, row in enumerate(here):
        row["ood_reason"] = "unlike" if i < 8 else ""
        if row["source"] == "north" and i < 10:
            row |= known
        if row["target_Edema"] >= 0:
            row["probability_Edema"] = i / len(here)
    own = finding_rows.draw_rows(1, skill=4.0)
    unknown = {key: value for key, value in rows[5].items() if key not in own[5]}
    own[5] |= unknown
    return external_findings.assess(
        here, [{"target_Hernia": float("nan")} | row for row in own], "test", CALIBRATION, 50
    )


def show(found_findings, assessed, forecast=""):
    found = found_findings._replace(
        external=assessed, forecast=forecast, name="elsewhere-test", directory="data/there", evaluation_data=THERE
    )
    return render.render("index.html", found, []).decode()


def spell(score):
    low, high = score["interval"]
    return f"{score['value']:.2f} {low:.2f}–{high:.2f}"


def test_page_has_the_numbers_of_each_collection(found_findings, assessed):
    text = show(found_findings, assessed)
    assert Page(text) and "ea<b>st" not in text
    assert f"<h1>{assessed['sentence'].replace('<b>', '&lt;b&gt;')}</h1>" in text
    lines = table(text, "Collections, with 95% intervals")
    assert [line[0] for line in lines[1:]] == [
        "ea<b>st", "north", "mean within a collection", "all pooled", "own test split"]  # fmt: skip
    groups = assessed["collections"]
    assert [line[1] for line in lines[1:3]] == [groups[name]["verdict"] for name in ("ea<b>st", "north")]
    assert [line[2] for line in lines[1:]] == ["60", "60", "", "120", "120"]
    assert [line[3] for line in lines[1:]] == ["2 of 2", "2 of 3", "2", "2", "2"]
    areas = [groups["ea<b>st"]["auroc"], groups["north"]["auroc"], assessed["within"]["within"]]
    areas += [assessed["pooled"]["auroc"], assessed["own"]["auroc"]]
    assert [line[4] for line in lines[1:]] == [spell(area) for area in areas]
    assert "North has too few radiographs with or without Hernia to say anything of it." in text


def test_findings_come_with_the_largest_fall_first(found_findings, assessed):
    text = show(found_findings, assessed)
    changes = assessed["difference"]["classes"]
    assert changes["Edema"]["auroc"]["value"] < changes["Effusion"]["auroc"]["value"] < 0
    lines = table(text, "AUROC by finding")
    assert [line[0] for line in lines] == ["finding", "Edema", "Effusion"]
    scores = assessed["pooled"]["classes"]["Edema"]
    assert lines[1][1:4] == [
        str(scores["n"]),
        str(scores["support"]),
        spell(assessed["own"]["classes"]["Edema"]["auroc"]),
    ]
    assert f"{changes['Edema']['auroc']['value']:+.2f} (" in lines[1][4]
    assert lines[1][5] == spell(assessed["within"]["classes"]["Edema"]["within"])
    by_part = table(text, "Predictions by finding")
    assert [line[:2] for line in by_part[1:]] == [
        [name, part] for name in ("Edema", "Effusion") for part in ("all pooled", "ea<b>st", "north")
    ]
    change = assessed["collections"]["north"]["difference"]["classes"]["Effusion"]["sensitivity"]["value"]
    assert f"{change:+.2f} (" in by_part[6][3]


def test_thresholds_temperatures_and_flags_are_shown(found_findings, assessed):
    text = show(found_findings, assessed, "The audit forecast a fall.")
    thresholds = table(text, "What validation")
    assert thresholds[0] == ["finding", "chosen for", "own test split", "all pooled", "ea<b>st", "north"]
    rates = assessed["operating_points"]["Effusion"]["at_sensitivity"]
    assert [line[:2] for line in thresholds[1:]] == [["Effusion", "sensitivity of 90%"]]
    assert thresholds[1][3].startswith(f"{rates['pooled']['sensitivity']['value']:.0%} ")
    temperatures = table(text, "Temperatures, and")
    found = assessed["temperature"]["Edema"]
    assert [line[:3] for line in temperatures if line[0] == "Edema"] == [["Edema", "1.50", f"{found['here']:.2f}"]]
    assert "flagged 8 of 120 radiographs (ea&lt;b&gt;st 4 of 60, north 4 of 60)" in text
    assert '<p class="lead">The audit forecast a fall.</p>' in text


def test_what_is_undefined_is_said(found_findings, rows):
    here = [row | {"source": "far"} for row in rows[:12]]
    text = show(found_findings, external_findings.assess(here, [], "test", None, resamples=20))
    assert "The run&#39;s own test split was not evaluated with this network" in text
    assert "Far is too small to say anything of any finding." in text
    assert "The run has no calibration" in text and "No out-of-distribution detector judged these" in text
    assert "AUROC by finding" not in text and "Temperatures, and" not in text


def test_bars_are_the_numbers_of_the_sentence(found_findings, assessed):
    bars = external_view.summarize(found_findings._replace(external=assessed)).bars
    groups = assessed["collections"]
    assert {bar.name for bar in bars} == {"at ea<b>st", "at north", "own test split", "chance"}
    assert bars[-1].number == 0.5 and bars[-2].number == assessed["own"]["auroc"]
    assert f"and {bars[-2].number['value']:.2f} on its own test split" in assessed["sentence"]
    means = {bar.name: bar.number for bar in bars}
    assert all(means[f"at {name}"] == group["judged"]["here"] for name, group in groups.items())


def test_legend_explains_every_verdict(found_findings, assessed):
    legend = re.sub(r"\s+", " ", show(found_findings, assessed))
    verdicts = (external_verdict.HOLDS, external_verdict.FALLS, external_verdict.UNCLEAR, external_verdict.NOT_JUDGED)
    for verdict in verdicts:
        assert f"“{verdict[:1].upper()}{verdict[1:]}”:" in legend
    assert (
        "“Own split at chance”: the interval of the network’s mean AUROC on the own test split does not exclude chance"
        in legend
    )
    assert "excludes a fall of 0.05. “Falls”" in legend


@pytest.mark.slow
@pytest.mark.parametrize(("width", "font_size"), [(320, 16), (320, 32), (768, 16), (768, 32), (1280, 16), (1920, 32)])
def test_nothing_is_cut_or_scrolls_sideways(found_findings, assessed, tmp_path, width, font_size):
    assert browser.find_cut(show(found_findings, assessed), tmp_path, width, font_size) == "[]"


@pytest.mark.slow
def test_axe_finds_no_fault(found_findings, assessed, tmp_path):
    text = show(found_findings, assessed)
    assert [axe.find_faults(text, tmp_path, theme, width) for theme, width in (("light", 1280), ("dark", 600))] == [
        "[]", "[]"]  # fmt: skip
