"""Section of a report on an external evaluation, against its numbers."""

import re

import numpy as np
import pytest

from cxrjax.evaluation import external, external_verdict
from cxrjax.report import external_view
from tests.helpers import axe
from tests.helpers.hospitals import draw_rows
from tests.helpers.report_page import THERE, Page, page, table


@pytest.fixture(scope="module")
def assessed():
    rng = np.random.default_rng(0)
    own = draw_rows(rng, "own", 600)
    rows = draw_rows(rng, "north", 500) + draw_rows(rng, "ea<b>st", 500, agreement=0.5, flagged=0.1)
    points = {"covid19": {"at_sensitivity": 0.3}}
    return external.assess(
        rows, own, "test", {"temperature": 1.0, "target": 0.9, "operating_points": points}, resamples=50
    )


def show(found, assessed, forecast=""):
    return found._replace(
        external=assessed, forecast=forecast, name="elsewhere-test", directory="data/there", evaluation_data=THERE
    )


def test_page_has_the_numbers_of_each_collection(found, assessed):
    text = page(show(found, assessed))
    assert Page(text) and "ea<b>st" not in text
    assert f"<h1>{assessed['sentence'].replace('<b>', '&lt;b&gt;')}</h1>" in text
    lines = table(text, "Collections, with 95% intervals")
    assert [line[0] for line in lines[1:]] == [
        "ea<b>st", "north", "mean within a collection", "all pooled", "own test split"]  # fmt: skip
    assert [line[1] for line in lines[1:3]] == ["falls", "holds"]
    group = assessed["collections"]["north"]
    low, high = group["auroc"]["interval"]
    assert lines[2][4] == f"{group['auroc']['value']:.2f} {low:.2f}–{high:.2f}"
    by_class = table(text, "Class by class")
    assert [line[:2] for line in by_class[1:]] == [
        ["all pooled", "COVID-19"], ["ea<b>st", "COVID-19"], ["north", "COVID-19"]]  # fmt: skip
    change = group["difference"]["classes"]["covid19"]["sensitivity"]["value"]
    assert f"{change:+.2f} (" in by_class[3][3]
    thresholds = table(text, "What validation")
    assert thresholds[0] == ["class", "chosen for", "own test split", "all pooled", "ea<b>st", "north"]
    assert "was not audited, so that there was no forecast" in text
    assert text.count("The audit forecast a fall.") == 0


def test_legend_explains_every_verdict(found, assessed):
    legend = re.sub(r"\s+", " ", page(show(found, assessed)))
    verdicts = (external_verdict.HOLDS, external_verdict.FALLS, external_verdict.UNCLEAR, external_verdict.NOT_JUDGED)
    for verdict in verdicts:
        assert f"“{verdict[:1].upper()}{verdict[1:]}”:" in legend
    assert (
        "“Own split at chance”: the interval of the network’s mean sensitivity on the own test split does not exclude "
        "chance" in legend
    )
    assert "excludes a fall of 10 points. “Falls”" in legend


@pytest.mark.slow
def test_axe_finds_no_accessibility_fault(found, assessed, tmp_path):
    text = page(show(found, assessed))
    assert [axe.find_faults(text, tmp_path, theme, width) for theme, width in (("light", 1280), ("dark", 600))] == [
        "[]", "[]"]  # fmt: skip


def test_forecast_stands_below_the_sentence(found, assessed):
    text = page(show(found, assessed, "The audit forecast a fall."))
    assert '<p class="lead">The audit forecast a fall.</p>' in text and "was not audited" not in text


def test_bars_have_the_numbers_of_the_sentence(found, assessed):
    bars = external_view.summarize(show(found, assessed)).bars
    assert [(bar.name, bar.kind) for bar in bars] == [
        ("at ea<b>st", "shortcut"),
        ("at north", "network"),
        ("own test split", "structure"),
        ("chance", "chance"),
    ]
    shares = [f"{bar.number['value']:.0%}" for bar in bars[:3]]
    assert f"it recognizes {shares[0]} of each class there on average, and {shares[2]} on" in assessed["sentence"]
    assert bars[3].number == 0.5
    flattered = assessed | {"within": {}}
    bars = external_view.summarize(show(found, flattered)).bars
    assert [(bar.name, bar.kind) for bar in bars[:1]] == [("all pooled", "shortcut")]
    assert bars[0].number == assessed["pooled"]["auroc"]
    alone = assessed | {"collections": {"north": assessed["collections"]["north"]}}
    assert external_view.summarize(show(found, alone)).bars[0].name == "at north"
