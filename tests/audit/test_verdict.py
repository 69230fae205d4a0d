"""The sentences of the verdict on hand-made audits."""

import re
from typing import Any

import numpy as np
import pytest

from cxrjax.audit import answers, criteria, formatting, metadata_baseline, metrics, verdict

SOURCES = {"normal": {"north": 90, "south": 90}, "viral": {"north": 90}, "covid19": {"journals": 200}}


def number(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "interval": [value - half, value + half], "n": 100}


def scores_of(value: float) -> dict[str, Any]:
    return {name: number(value) for name in ("macro_auroc", "macro_f1", "accuracy")}


def experiment(name: str, title: str, value: float, kind: str = "shortcut", by: str = "metadata", **more: Any) -> dict:
    share = number((value - 0.5) / 0.4, 0.05) if kind == "shortcut" else None
    return {"name": name, "title": title, "category": kind, "model": by, "scores": scores_of(value), "share": share,
            "classes": {}, "note": "", **more}  # fmt: skip


def audit(*controls: dict, sources: dict = SOURCES) -> dict[str, Any]:
    chance = {"macro_auroc": 0.5, "macro_f1": 0.2, "accuracy": 0.3}
    return {"n": 100, "patients": 80, "scores": scores_of(0.9), "chance": chance, "sources": sources,
            "labels": dict.fromkeys(sources, 10), "selected_on_split": False,
            "experiments": list(controls)}  # fmt: skip


def probe_experiment(name: str, title: str, value: float, **more: Any) -> dict:
    return experiment(name, title, value, kind="check", by="small network", **more)


def class_scores(recall: float, specificity: float) -> dict[str, Any]:
    return {"recall": number(recall), "specificity": number(specificity), "f1": number(1.0)}


def test_shortcut_sentences_have_score_share_and_remainder():
    conclusion = verdict.conclude(
        audit(experiment("source", "source alone", 0.86), experiment("view", "view alone", 0.7))
    )
    assert (
        "On 100 radiographs of 80 patients, the network reaches macro AUROC 0.90 (0.88 to 0.92)"
        in conclusion["paragraph"]
    )
    assert (
        "From the source alone a macro AUROC of 0.86 (0.84 to 0.88) is reached, without the image: "
        "90% (85% to 95%) of what the score is above chance (view alone 50%)."
    ) in conclusion["sentences"]
    assert (
        "What the source alone does not reach is 10% (5% to 15%) of the score above chance." in conclusion["sentences"]
    )


def test_class_that_a_shortcut_explains_is_named_although_the_mean_hides_it():
    source = experiment("source", "source alone", 0.6) | {
        "classes": {
            "normal": class_scores(0.5, 0.5) | {"auroc": number(0.52)},
            "covid19": class_scores(0.8, 0.8) | {"auroc": number(0.88)},
        }
    }
    content = audit(source) | {"classes": {"normal": {"auroc": number(0.9)}, "covid19": {"auroc": number(0.94)}}}
    result = verdict.conclude(content)
    assert (
        "For COVID-19 the source alone reaches an AUROC of 0.88 (0.86 to 0.90), and the network 0.94 (0.92 to 0.96): "
        "the mean over the classes hides it."
    ) in result["sentences"]
    assert (
        "that COVID-19 is recognized by the disease: the source alone reaches an AUROC of 0.88, the network 0.94"
        in result["cannot_support"]
    )
    assert "COVID-19 the source" not in verdict.conclude(audit(source))["paragraph"]  # an older audit, without classes


def test_every_score_of_the_verdict_has_the_name_of_its_metric():
    outside = {"reference": scores_of(0.9), "difference": {"macro_auroc": number(-0.2)}}
    content = audit(
        experiment("source", "source alone", 0.86),
        experiment("background", "background alone", 0.8, by="small network"),
        probe_experiment("lung_box", "box of the lungs alone", 0.7),
        probe_experiment("full_image", "whole radiograph", 0.9),
        probe_experiment("lungs", "lungs alone", 0.8),
        probe_experiment("background_network", "background alone", 0.8),
        probe_experiment("leave_source_out", "a source left out", 0.7, **outside),
        probe_experiment("shuffled_labels_1", "labels shuffled", 0.5),
    )
    content |= {"targets": "multi", "sources": {"Edema": {"north": [9, 9], "south": [9, 9]}}}
    sentences = [one for one in verdict.conclude(content)["sentences"] if " reaches " in one or "is reached" in one]
    assert len(sentences) >= 7
    for one in sentences:
        assert re.search(r"AUROC (of )?0\.\d", one), one
        assert not re.search(r"still reaches \d|network reaches \d|alone reaches \d|, reaches \d", one), one


def test_weak_shortcuts_are_not_found_within_the_interval():
    weak = (
        experiment("source", "source alone", 0.51),
        experiment("background", "background alone", 0.53, by="small network"),
    )
    text = verdict.conclude(audit(*weak))["paragraph"]
    assert "None of the 2 shortcuts tried is found: the strongest, the background alone," in text
    assert "the intervals leave room for 13% of what the score is above chance at most" in text
    assert "does not reach" not in text
    alone = verdict.conclude(audit(weak[0]))["paragraph"]
    assert "The one shortcut tried is not found: the source alone reaches a macro AUROC of 0.51" in alone


def test_wide_intervals_leave_shortcuts_undecided():
    wide = experiment("source", "source alone", 0.75) | {"share": {"value": 0.6, "interval": [-0.1, 1.3], "n": 9}}
    text = verdict.conclude(audit(wide))["paragraph"]
    assert "The test split is too small (n = 100) to say whether a shortcut is at work" in text
    assert "not found" not in text
    assert "leave room for 100% of what the score is above chance" in text


@pytest.mark.parametrize(
    ("value", "interval", "found", "text", "short"),
    [
        (0.88, [0.8, 0.95], True, "88% (80% to 95%)", "88%"),
        (0.9, [0.2, 1.19], True, "90% (20% to 119%)", "90%"),  # not as wide as the whole score
        (1.07, [0.22, 7.83], False, "too few to say (n = 12)", "too few to say"),
        (0.4, [-0.9, 0.6], False, "too few to say (n = 12)", "too few to say"),
        (1.2, [0.6, 7.83], True, "at least 60%", "at least 60%"),
        (-0.3, [-0.9, 0.2], False, "at most 20%", "at most 20%"),
    ],
)
def test_share_is_reported_as_far_as_its_interval_allows(value, interval, found, text, short):
    share = {"value": value, "interval": interval, "n": 12}
    assert formatting.format_share(share) == text
    assert formatting.format_share(share, is_short=True) == short
    assert criteria.is_found({"share": share}) is found


def test_verdict_of_an_inconclusive_share_has_no_percentage_of_it():
    wide = experiment("source", "source alone", 0.95) | {"share": {"value": 1.07, "interval": [0.22, 7.83], "n": 12}}
    other = experiment("background", "background alone", 0.8, by="small network")
    alone = verdict.conclude(audit(wide) | {"n": 12})
    assert "The test split is too small (n = 12) to say whether a shortcut is at work" in alone["paragraph"]
    assert not re.search("107%|783%|22%", " ".join([alone["paragraph"], *alone["cannot_support"]]))
    both = verdict.conclude(audit(wide, other))["paragraph"]
    assert "From the background alone" in both and "From the source alone" not in both and "107%" not in both
    least = wide | {"share": {"value": 1.2, "interval": [0.6, 7.83], "n": 12}}
    assert "at least 60% of what the score is above chance." in verdict.conclude(audit(least))["paragraph"]


def test_share_without_interval_is_taken_as_exact():
    still = experiment("source", "source alone", 0.5) | {"share": {"value": 0.0, "interval": None, "n": 100}}
    assert "leave room for 0% of what the score" in verdict.conclude(audit(still))["paragraph"]
    assert criteria.is_found({"share": {"value": 1.0, "interval": None, "n": 100}})
    assert "nothing of the score is sure" in " ".join(
        verdict.conclude(audit(still | {"share": {"value": 1.0, "interval": None, "n": 100}}))["sentences"]
    )


@pytest.mark.parametrize(("share", "found"), [(0.149, False), (0.151, True)])
def test_shortcut_is_found_if_its_share_interval_is_above_one_tenth(share, found):
    assert criteria.is_found({"share": number(share, 0.05)}) is found


def test_score_at_chance_is_not_distinguishable_from_chance():
    blind = experiment("source", "source alone", 0.5) | {"share": None}
    assert "is not distinguishable from chance" in verdict.conclude(audit(blind))["paragraph"]


def test_shortcut_as_strong_as_the_network_leaves_nothing_for_lungs():
    text = verdict.conclude(audit(experiment("source", "source alone", 0.89)))["paragraph"]
    assert "nothing of the score is sure to be left for the lungs" in text


def test_location_of_a_shortcut_is_named_if_images_agree():
    place = {"class": "covid19", "row": 0.94, "column": 0.94, "agreement": 0.9, "inside_lungs": 0.0, "drop": 0.6}
    seen = experiment("background", "background alone", 0.7, by="small network", place=place)
    assert (
        "In the background alone, COVID-19 is recognized by the lower right corner of the image, outside the lungs."
    ) in verdict.conclude(audit(seen))["sentences"]
    for weaker in ({"agreement": 0.3}, {"drop": 0.02}):
        assert "corner" not in verdict.conclude(audit(seen | {"place": place | weaker}))["paragraph"]


@pytest.mark.parametrize(
    ("row", "column", "inside_lungs", "expected"),
    [
        (0.06, 0.06, 0, "the upper left corner of the image, outside the lungs"),
        (0.5, 0.9, 0, "the right third of the image, outside the lungs"),
        (0.9, 0.5, 0, "the lower third of the image, outside the lungs"),
        (0.5, 0.5, 1, "the middle of the image, inside the lungs"),
    ],
)
def test_name_place_of_image_regions(row, column, inside_lungs, expected):
    assert formatting.name_place({"row": row, "column": column, "inside_lungs": inside_lungs}) == expected


def test_paragraph_lists_unsupported_claims():
    classes = {
        "covid19": class_scores(1.0, 0.98),
        "normal": class_scores(1.0, 0.91),
    }  # F1 is high of both: it credits frequency
    border = experiment("border", "border alone", 0.86, by="small network", classes=classes)
    conclusion = verdict.conclude(audit(experiment("source", "source alone", 0.86, classes=classes), border))
    assert conclusion["cannot_support"] == [
        "that anything but the source distinguishes COVID-19 (alone in journals): a class that is alone in its source "
        "cannot be separated from it",
        "any score of COVID-19: knowing the source alone is enough (COVID-19: recall 1.00, specificity 0.98)",
        "that the lungs distinguish COVID-19: seeing the border alone is enough (COVID-19: recall 1.00, "
        "specificity 0.98)",
    ]
    assert (
        " This data set can therefore not support that anything but the source distinguishes COVID-19 (alone in "
        "journals); nor any score of COVID-19; nor that the lungs distinguish COVID-19. What can be tried here: "
    ) in conclusion["paragraph"]
    one = verdict.conclude(audit(sources={"a": {"north": 3}, "b": {"north": 5}}))["cannot_support"]
    assert one == ["any claim of how the network does elsewhere: all radiographs come from one source, north"]


def test_verdict_ends_with_possible_and_impossible_remedies():
    outside = experiment("border", "border alone", 0.86, by="small network")
    levels = probe_experiment("common_levels_network", "common gray levels", 0.7)
    levels |= {"difference": {"macro_auroc": number(-0.2)}, "reference": scores_of(0.9)}
    conclusion = verdict.conclude(audit(experiment("source", "source alone", 0.86), outside, levels))
    by_source, beyond, gray = conclusion["remedies"]["possible"]
    assert by_source.startswith("for normal and viral, which share sources, --config.remedy.balance=True")
    assert "--config.remedy.surroundings=1.0" in beyond and "--config.remedy.appearance=0.5" in gray
    assert conclusion["remedies"]["impossible"] == [
        "COVID-19 comes from journals alone: no training can tell it from that source; radiographs of it from a source "
        "with other labels are needed"
    ]
    assert conclusion["paragraph"].endswith("from a source with other labels are needed.")


def test_verdict_of_findings_names_the_sources_of_a_confounded_one():
    sources = {"Edema": {"north": [0, 9], "south": [9, 0]}, "Mass": {"north": [9, 9], "south": [9, 9]}}
    conclusion = verdict.conclude(audit(sources=sources) | {"targets": "multi"})
    sentence = (
        "Edema is present only in radiographs from north, and known to be absent only in those from south: no training "
        "can tell it from the source; needed: radiographs with it from south, or known to be without it from north"
    )
    assert conclusion["remedies"]["impossible"] == [sentence]
    assert conclusion["paragraph"].endswith(f"What cannot be done here: {sentence}.")
    separable = verdict.conclude(audit(sources={"Mass": sources["Mass"]}) | {"targets": "multi"})
    assert separable["remedies"]["impossible"] == []


def test_no_remedy_is_named_without_a_shortcut():
    mixed = {"normal": {"north": 9, "south": 9}, "viral": {"north": 9, "south": 9}}
    conclusion = verdict.conclude(audit(experiment("source", "source alone", 0.51), sources=mixed))
    assert conclusion["remedies"] == {"possible": [], "impossible": []}
    assert "can be tried" not in conclusion["paragraph"]


def test_frequent_class_with_uninformative_source_has_no_claim():
    """Nineteen in twenty are a: naming it always has an F1 of 0.97."""
    facts = [{"source": "xy"[i % 2]} for i in range(100)]
    truth = np.array([i % 20 == 0 for i in range(100)], int)
    p = metadata_baseline.naive_bayes(facts, truth, facts, ("source",), 2)
    rows = [
        {"path": str(i), "patient_id": "", "source": one["source"], "label": "ab"[k],
         "prediction": "ab"[guess.argmax()], "probability_a": guess[0], "probability_b": guess[1]}
        for i, (one, k, guess) in enumerate(zip(facts, truth, p, strict=True))
    ]  # fmt: skip
    conclusion = metrics.compare(rows, None, rows, ("a", "b"), {"macro_auroc": 0.5})
    assert conclusion["classes"]["a"]["f1"]["value"] > 0.95
    found = experiment("source", "source alone", 0.5) | conclusion
    assert not verdict.conclude(audit(found, sources={"a": {"x": 50, "y": 45}, "b": {"x": 5}}))["cannot_support"]


@pytest.mark.parametrize(
    ("sources", "claims"),
    [
        ({"bacterial": {"A": 100}, "normal": {"A": 100, "B": 60}, "viral": {"A": 100}}, []),
        (
            {"a": {"A": 9}, "b": {"B": 9, "C": 9}},
            ["that anything but the source distinguishes a (alone in A) and b (alone in B and C)"],
        ),
        (
            {"bacterial": {"x": 9}, "covid19": {"y": 9}, "normal": {"x": 9, "z": 9}, "tuberculosis": {"z": 9},
             "viral": {"x": 9}},
            [
                "that anything but the source distinguishes COVID-19 (alone in y)",
                "that anything but the source distinguishes bacterial and viral from tuberculosis",
            ],
        ),
    ],
)  # fmt: skip
def test_classes_alone_in_their_sources_are_inseparable_from_them(sources, claims):
    expected = verdict.conclude(audit(sources=sources))["cannot_support"]
    assert [claim.split(":")[0] for claim in expected] == claims


def test_verdict_warns_of_training_patients_in_the_split():
    conclusion = verdict.conclude(audit() | {"shared_patients": 7})
    assert "7 of the patients are in training too" in conclusion["paragraph"]
    assert "nor any score, on patients that the network has not seen" in conclusion["paragraph"]


def test_verdict_states_the_smallest_detectable_leak():
    few = [probe_experiment(f"shuffled_labels_{i}", "labels shuffled", 0.5) for i in range(3)]
    for one in few:
        one["scores"]["macro_auroc"] = number(0.5, 0.2)
    text = verdict.conclude(audit(*few))["paragraph"]
    assert "only a leak that lifts it above 0.75 could be seen among so few radiographs" in text
    assert "no leak is seen" not in text


@pytest.mark.parametrize(
    ("now", "collapsed", "expected"),
    [
        (0.2, True, "recognizes 20% (18% to 22%), where it recognized 80% (78% to 82%) with the source."),
        (0.37, True, "recognizes 37%"),  # below half of 80%, interval and all
        (0.39, False, "with the source: recognition falls by 41% (39% to 43%)."),
        (0.75, False, "with the source: recognition falls by 5% (3% to 7%)."),
        (0.79, False, "recognizes 79% (77% to 81%), where it recognized 80% (78% to 82%) with the source."),
    ],
)
def test_leave_source_out_sentence_and_collapse(now, collapsed, expected):
    left = probe_experiment(
        "leave_source_out", "a source left out", now, reference=scores_of(0.8), difference=scores_of(now - 0.8)
    )
    conclusion = verdict.conclude(audit(left))
    claim = f"that a class is recognized in a source that was not trained on: the small network recognizes {now:.0%}"
    assert expected in conclusion["paragraph"]
    assert any(one.startswith(claim) for one in conclusion["cannot_support"]) is collapsed


@pytest.mark.parametrize(
    ("interval", "end"), [([0.48, 0.97], ", which is not distinguishable from chance."), ([0.6, 0.9], ".")]
)
def test_within_source_sentence_and_chance(interval, end):
    within = experiment("within_source", "within one source", 0.8, kind="content", by="network")
    within["scores"]["macro_auroc"]["interval"] = interval
    expected = f"the network's macro AUROC is 0.80 ({interval[0]:.2f} to {interval[1]:.2f}){end}"
    assert (
        f"Among radiographs of one source, where the source cannot help, {expected}"
        in (verdict.conclude(audit(within))["sentences"])
    )


@pytest.mark.parametrize(
    ("reached", "change", "expected", "answer"),
    [
        (number(0.3), number(-0.6), ": it follows the source more than the radiograph.", "yes"),
        (number(0.8), number(-0.15), ": part of its score is the source.", "in part"),
        (number(0.9), number(0.0), ": by the source it gains less than 0.1 of AUROC.", "no"),
        (number(0.6, 0.3), number(-0.2, 0.3), ", which too few radiographs decide.", "too few to say"),
    ],
)
def test_against_source_sentence_answer_and_remedy(reached, change, expected, answer):
    entry = experiment("against_source", "pairs against the source", 0.5, kind="check", by="network")
    entry["scores"]["macro_auroc"] = reached
    entry |= {"reference": scores_of(0.95), "difference": {"macro_auroc": change}}
    entry["classes"] = {"viral": {"auroc": number(0.9)}, "covid19": {"auroc": number(0.2)}}
    content = audit(entry)
    [sentence] = [one for one in verdict.conclude(content)["sentences"] if "points to the wrong one" in one]
    assert sentence.endswith(expected)
    assert "(least for COVID-19, 20% (18% to 22%))" in sentence
    assert "95% (93% to 97%) where the source points to the right one" in sentence
    assert answers.answer_against_source(entry).answer == answer
    remedies = verdict.conclude(content)["remedies"]["possible"]
    assert any("remedy.balance=True" in remedy for remedy in remedies) is (answer in ("yes", "in part"))


@pytest.mark.parametrize(
    ("flip_rate", "hit_rate", "expected"),
    [
        (
            number(0.9),
            0.9,
            "turned 90% (88% to 92%) of the predictions and was seen in its place, the upper left corner",
        ),
        (number(0.51), 0.9, "in 90% of the images: this audit is blind to such a one"),  # hardly most of them
        (number(0.9), 0.05, "in 5% of the images: this audit is blind to such a one"),  # outside too, but elsewhere
        (
            {"value": None, "interval": None, "n": 0},
            0.9,
            "could not be tried, for every radiograph was predicted to be b",
        ),
    ],
)
def test_planted_marker_sentence(flip_rate, hit_rate, expected):
    place = {"row": 0.06, "column": 0.06, "inside_lungs": 0.0, "hit_rate": hit_rate}
    mark = probe_experiment(
        "marker_outside", "mark planted outside the lungs", 0.3, flip_rate=flip_rate, place=place, target="b"
    )
    assert expected in verdict.conclude(audit(mark))["paragraph"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            (0.42, 0.52, 0.61),
            "reaches a macro AUROC of 0.42 to 0.61 (shuffled 3 times): no leak is seen, where one that lifts it above "
            "0.57 would be.",
        ),
        ((0.62, 0.64, 0.56), "no leak is seen"),  # one of them may be at 0.54
        (
            (0.62, 0.64, 0.7),
            "still reaches a macro AUROC of 0.62 to 0.70: something leaks, and no score here can be relied on.",
        ),
    ],
)
def test_leak_is_reported_if_every_label_shuffle_shows_it(values, expected):
    shuffled = [probe_experiment(f"shuffled_labels_{i}", "labels shuffled", value) for i, value in enumerate(values)]
    assert expected in verdict.conclude(audit(*shuffled))["paragraph"]


def test_single_class_has_no_auroc_and_no_share():
    none = {"value": None, "interval": None, "n": 0}
    blind = experiment("source", "source alone", 0.5) | {"share": None}
    conclusion = audit(blind, sources={"normal": {"north": 9}}) | {"scores": scores_of(0.9) | {"macro_auroc": none}}
    text = verdict.conclude(conclusion)["paragraph"]
    assert (
        "reaches macro F1 0.90 (0.88 to 0.92), accuracy" in text and "a prediction at chance reaches 0.20, 0.30" in text
    )
    assert "There is no macro AUROC here, for all are normal." in text and "shortcut" not in text
    assert formatting.format_ci(none) == formatting.format_percent(none) == formatting.format_ci(None) == "–"


def test_verdict_warns_if_the_split_selected_the_network():
    assert "chosen by these very radiographs" in verdict.conclude(audit() | {"selected_on_split": True})["paragraph"]
