"""Scores, audit and first sentence of a report, against the numbers of the run."""

import re

import pytest

from cxrjax.audit import experiments, progress
from cxrjax.report import cases, render
from tests.helpers.report_page import AUDIT, HOSTILE, PICTURE, ROWS, Page, estimate, page, shown, table


@pytest.mark.parametrize("audit", [None, AUDIT])
def test_page_has_the_scores_of_the_run(found, audit):
    found = found._replace(audit=audit)
    text = page(found)
    head = table(text, "Scores of the network")
    assert head[3][:4] == ["accuracy", "0.812 0.700–0.900", "0.457 0.700–0.900", "0.310"]
    assert head[1][:4] == ["macro AUROC", "–", "0.765 0.700–0.800" if audit else "–", "0.500"]
    by_class = table(text, "Scores by class")
    assert by_class[2][:3] == ["viral", "20 few", "0.812 0.762–0.862"] and by_class[1][1] == "50"
    counts = table(text, "Label \\(rows\\)")
    assert [line[1:] for line in counts[1:]] == [["1", "0", "1", "1"], ["1", "1", "0", "0"], ["0", "0", "0", "0"]]
    assert [line[1] for line in table(text, "By sex")[1:]] == ["12 few", "28 few"]
    card = render.render("model_card.md", found, shown()).decode()
    assert "| accuracy | 0.812 (0.700 to 0.900) | 0.457 (0.700 to 0.900) | 0.310 |" in card
    assert "macro F1 0.812 (0.762 to 0.862)" in render.render("checklist.md", found, shown()).decode()
    if audit:
        controls = table(text, "Controls")
        assert controls[1][3:6] == ["0.765 0.700–0.800", "0.543 0.500–0.600", "66% 50–80%"]
        assert controls[2][2:6] == ["Is it? not done", "–", "–", "–"]
        answered = table(text, "Questions of the audit")
        guessed = ["Yes", "Source alone: 0.77 (0.70 to 0.80), 66% (50% to 80%) of the score above chance"]
        assert answered[1] == ["Can the label be guessed before the image is seen?", *guessed]
        assert answered[2][1] == "Not tried"


def test_controls_without_a_conclusive_share_have_no_percentage(found):
    share = {"value": 1.07, "interval": [0.22, 7.83], "n": 12}
    wide = AUDIT | {"n": 12, "experiments": [AUDIT["experiments"][0] | {"share": share}]}
    macro = found.scores["all"]["macro"] | {"auroc": AUDIT["scores"]["macro_auroc"]}
    text = page(found._replace(audit=wide, scores=found.scores | {"all": found.scores["all"] | {"macro": macro}}))
    assert table(text, "Controls")[1][5] == "too few to say (n = 12)"
    assert "<h1>Too few radiographs (n = 12) to say whether a shortcut is at work" in text
    assert "107%" not in text and "783%" not in text
    least = AUDIT["experiments"][0] | {"share": share | {"interval": [0.6, 7.83]}}
    text = page(found._replace(audit=wide | {"experiments": [least]}))
    assert table(text, "Controls")[1][5] == "at least 60%"


def test_audit_precedes_scores_and_missing_parts_have_their_command(found):
    stale = page(found._replace(audit=AUDIT))  # the scores of `found` have no AUROC
    assert stale.index(
        "<h1>On 5 radiographs the network reaches an accuracy of 0.81, where chance is 0.31"
    ) < stale.index("The audit is of other")
    assert stale.count("The audit is of other predictions") == 2
    assert "cxrjax audit" in stale[stale.index('<section id="missing"') :]
    macro = found.scores["all"]["macro"] | {"auroc": AUDIT["scores"]["macro_auroc"]}
    audited = found._replace(audit=AUDIT, scores=found.scores | {"all": found.scores["all"] | {"macro": macro}})
    text = page(audited)
    sentence = (
        "The label goes with the source of the radiographs (hospital or collection): a guess that never sees the image "
        "reaches a macro AUROC of 0.77, the network 0.90."
    )
    assert f"<h1>{sentence}</h1>" in text and text.index(sentence) < text.index("0.812")
    assert "cxrjax audit" not in text and "That any is seen" in text and "Most of it is the hospital." in text
    text = page(found)
    section = text[text.index('<section id="missing"') :]
    modes = re.findall(rf"cxrjax (\w+) --workdir={found.workdir}", section)
    assert modes == ["report", "audit", "evaluate", "evaluate_saliency", "fit_ood", "evaluate", "morphometry"]
    assert text.index("cxrjax audit") < text.index("Scores of the network")
    judged = found._replace(ood_detector={}, rows=[each | {"ood_reason": ""} for each in ROWS])
    assert "fit_ood" not in page(judged) and "0 of 5 radiographs are unlike those of training" in page(judged)


def test_identifiability_is_listed_with_and_without_an_audit(found):
    for audited in (found, found._replace(audit=AUDIT)):
        assert "Covid19 comes from c alone &amp; cannot be told from it." in page(audited)
    assert "By the sources and labels" not in page(found._replace(identifiability=[]))


def test_checks_of_maps_are_in_words(found):
    maps = {
        "n": 4,
        "without_map": 0,
        "metrics": {},
        "verdict": "So so.",
        "checks": {"weights": "passed", "lungs": "inconclusive"},
    }
    rows = table(page(found._replace(maps=maps)), "Checks of the maps")
    assert rows[1:] == [["change when the network's weights are randomized", "yes"],
                        ["lie in the lungs more than chance would have it", "inconclusive"]]  # fmt: skip


def test_unavailable_results_are_reported(found):
    reached = {
        "threshold": 0.5,
        "sensitivity": estimate(0.8, 0.7, 0.9),
        "specificity": {"value": 1.0, "interval": None},
    }
    points = {"viral": {"at_sensitivity": {"threshold": None}, "at_specificity": reached}}
    text = page(found._replace(scores=found.scores | {"vote_convergence": None, "operating_points": points}))
    assert "Convergence of the vote is not available" in text
    lines = table(text, "Thresholds chosen on validation")[1:]
    assert lines == [
        ["viral", "at sensitivity", "not reachable", "–", "–"],
        ["viral", "at specificity", "0.500", "0.800 0.700–0.900", "1.000"],
    ]


def test_segmenter_run_has_a_report(found):
    structure = {"dice": estimate(0.9432, 0.93, 0.95), "jaccard": estimate(0.9, 0.8, 0.95), "support": 40}
    every = {"n": 2, "failed": 1, "structures": {"lungs": structure}}
    masks = {"path": HOSTILE, "source": "here", "status": "ok", "reason": "", "dice_lungs": 0.9, "jaccard_lungs": 0.8,
             "lung_confidence": 0.7}  # fmt: skip
    found.config.task = "segment"
    found = found._replace(chance={}, rows=[masks], scores={
        "all": every, "subgroups": {"source": {"here": every}}, "n": 2, "patients": 2, "num_resamples": 9,
        "warnings": [],
    })  # fmt: skip
    text = render.render(
        "index.html", found, [cases.CaseView(masks, PICTURE._replace(saliency="", true_lungs="M1,1 2,2 3,1Z"), 1)]
    )
    assert table(text.decode(), "Overlap")[1] == ["all", "lungs", "40", "0.943 0.930–0.950", "0.900 0.800–0.950"]
    assert Page(text.decode()) and "0.943 (0.930 to 0.950)" in render.render("model_card.md", found, []).decode()
    assert "Dice of the lungs 0.943" in render.render("checklist.md", found, []).decode()


def test_first_sentence_without_audit_has_the_source_baseline(found):
    auroc = {"auroc": estimate(0.9, 0.85, 0.95), "f1": estimate(0.8, 0.7, 0.9)}
    for reached, sentence in (
        (
            0.71,
            "The label goes with the source of the radiographs (hospital or collection): a guess that never sees the "
            "image reaches a macro AUROC of 0.71, the network 0.90.",
        ),
        (
            0.69,
            "On 5 radiographs the network reaches a macro AUROC of 0.90, where chance is 0.50; whether it sees the "
            "disease",
        ),
    ):
        scores = found.scores | {"all": found.scores["all"] | {"macro": found.scores["all"]["macro"] | auroc}}
        source = {"auroc": estimate(reached, 0.6, 0.8), "f1": estimate(0.4, 0.3, 0.5)}
        scores["source_baseline"] = scores["source_baseline"] | {"macro": scores["source_baseline"]["macro"] | source}
        text = page(found._replace(scores=scores))
        assert f"<h1>{sentence}" in text
        assert "Measured so far is what the source alone reaches, without the image. No audit of the image" in text
        one_source = page(found._replace(scores=scores, rows=[each | {"source": "here"} for each in ROWS]))
        assert "none was made." in one_source


def test_an_interrupted_audit_is_told_by_what_is_done_what_is_missing_and_the_command(found, tmp_path):
    saved = [control for control in experiments.EXPERIMENTS if control.saved]
    for number in (1, 2):
        (tmp_path / "audit/test/experiments" / saved[number - 1].name).mkdir(parents=True)
        partial = progress.read(tmp_path / "audit/test")
        text = page(found._replace(audit_progress=partial))
        verb = "is" if number == 1 else "are"
        sentence = f"The audit is not finished: {number} of its 23 controls {verb} done, and {23 - number} are missing;"
        assert sentence in text
        assert "No audit" not in text and "has not been measured" not in text
        assert f"<h3>Done: {number} of 23 controls</h3>\n<ul><li>Source alone, by the metadata:" in text
        assert f"<h3>Missing: {23 - number} of 23 controls</h3>" in text
        assert f"{23 - number} controls of 23 are missing, and the command continues with them." in text
        assert f"<code>cxrjax audit --workdir={found.workdir} --split=test</code> continues it." in text


def test_one_source_has_no_baseline_and_equal_thresholds_are_one_row(found):
    point = {"threshold": 0.4, "sensitivity": estimate(0.5, 0.4, 0.6), "specificity": estimate(0.9, 0.8, 0.95)}
    scores = found.scores | {"operating_points": {"viral": {"at_specificity": point, "at_sensitivity": point}}}
    text = page(found._replace(scores=scores, rows=[each | {"source": "here"} for each in ROWS]))
    assert table(text, "Scores of the network")[0] == ["score", "network", "chance", "0 to 1"]
    assert [line[1] for line in table(text, "Thresholds chosen")[1:]] == ["at specificity and at sensitivity"]


def test_predictions_below_the_threshold_are_called_undecided(found):
    rows = [each | {"decision": "decided" if each["confidence"] >= 0.5 else "undecided"} for each in ROWS]
    rows[2]["decision"] = ""  # there is no prediction
    calibration = {"split": "val", "target": 0.9, "min_confidence": 0.5, "temperature": 1.0}
    text = page(found._replace(rows=rows, calibration=calibration, min_confidence=0.5))
    assert (
        "1 of 4 predictions is undecided (confidence below 50%). Of the predictions above, at least 90% were correct "
        "on the validation split (val), and here 67% of 3."
    ) in text
