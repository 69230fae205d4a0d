"""Numbers in, sentences out: the verdict on audits made up by hand."""

from typing import Any

import numpy as np
import pytest

from cxrjax.audit import answers, criteria, formatting, metadata_baseline, metrics, verdict

SOURCES = {"normal": {"north": 90, "south": 90}, "viral": {"north": 90}, "covid19": {"journals": 200}}


def number(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "interval": [value - half, value + half], "n": 100}


def reach(value: float) -> dict[str, Any]:
    return {name: number(value) for name in ("macro_auroc", "macro_f1", "accuracy")}


def control(name: str, title: str, value: float, kind: str = "shortcut", by: str = "metadata", **more: Any) -> dict:
    share = number((value - 0.5) / 0.4, 0.05) if kind == "shortcut" else None
    return {"name": name, "title": title, "category": kind, "model": by, "scores": reach(value), "share": share,
            "classes": {}, "note": "", **more}  # fmt: skip


def audit(*controls: dict, sources: dict = SOURCES) -> dict[str, Any]:
    chance = {"macro_auroc": 0.5, "macro_f1": 0.2, "accuracy": 0.3}
    return {"n": 100, "patients": 80, "scores": reach(0.9), "chance": chance, "sources": sources,
            "labels": dict.fromkeys(sources, 10), "selected_on_split": False,
            "experiments": list(controls)}  # fmt: skip


def small(name: str, title: str, value: float, **more: Any) -> dict:
    return control(name, title, value, kind="check", by="small network", **more)


def told(recall: float, specificity: float) -> dict[str, Any]:
    return {"recall": number(recall), "specificity": number(specificity), "f1": number(1.0)}


def test_a_shortcut_is_named_with_its_score_its_share_and_what_is_left():
    of = verdict.conclude(audit(control("source", "source alone", 0.86), control("view", "view alone", 0.7)))
    assert "On 100 radiographs of 80 patients the network reaches macro AUROC 0.90 (0.88 to 0.92)" in of["paragraph"]
    assert (
        "From the source alone a macro AUROC of 0.86 (0.84 to 0.88) is reached, without the image: "
        "90% (85% to 95%) of what the score is above chance (view alone 50%)."
    ) in of["sentences"]
    assert "What the source alone does not reach is 10% (5% to 15%) of the score above chance." in of["sentences"]


def test_class_that_a_shortcut_explains_is_named_although_the_mean_hides_it():
    source = control("source", "source alone", 0.6) | {
        "classes": {
            "normal": told(0.5, 0.5) | {"auroc": number(0.52)},
            "covid19": told(0.8, 0.8) | {"auroc": number(0.88)},
        }
    }
    content = audit(source) | {"classes": {"normal": {"auroc": number(0.9)}, "covid19": {"auroc": number(0.94)}}}
    result = verdict.conclude(content)
    assert (
        "For COVID-19 the source alone reaches an AUROC of 0.88 (0.86 to 0.90), and the network 0.94 (0.92 to 0.96): "
        "the mean over the classes hides it."
    ) in result["sentences"]
    assert (
        "that COVID-19 is recognized by the disease: the source alone reaches 0.88, the network 0.94"
        in result["cannot_support"]
    )
    assert "COVID-19 the source" not in verdict.conclude(audit(source))["paragraph"]  # an older audit, without classes


def test_no_shortcut_is_said_to_be_none_within_the_interval():
    weak = control("source", "source alone", 0.51), control("background", "background alone", 0.53, by="small network")
    text = verdict.conclude(audit(*weak))["paragraph"]
    assert "None of the 2 shortcuts tried is found: the strongest, the background alone," in text
    assert "the intervals leave room for 13% of what the score is above chance at most" in text
    assert "does not reach" not in text
    alone = verdict.conclude(audit(weak[0]))["paragraph"]
    assert "The one shortcut tried is not found: the source alone reaches a macro AUROC of 0.51" in alone


def test_where_the_intervals_are_wide_nothing_is_said_to_be_none():
    wide = control("source", "source alone", 0.75) | {"share": {"value": 0.6, "interval": [-0.1, 1.3], "n": 9}}
    text = verdict.conclude(audit(wide))["paragraph"]
    assert "too few to decide whether a shortcut is at work" in text and "not found" not in text
    assert "leave room for 100% of what the score is above chance" in text


def test_a_number_that_no_resample_moves_is_taken_as_it_is():
    still = control("source", "source alone", 0.5) | {"share": {"value": 0.0, "interval": None, "n": 100}}
    assert "leave room for 0% of what the score" in verdict.conclude(audit(still))["paragraph"]
    assert criteria.is_found({"share": {"value": 1.0, "interval": None, "n": 100}})
    assert "nothing of the score is sure" in " ".join(
        verdict.conclude(audit(still | {"share": {"value": 1.0, "interval": None, "n": 100}}))["sentences"]
    )


@pytest.mark.parametrize(("share", "found"), [(0.149, False), (0.151, True)])
def test_a_share_is_found_when_its_interval_lies_above_a_tenth(share, found):
    assert criteria.is_found({"share": number(share, 0.05)}) is found


def test_a_score_at_chance_has_nothing_to_explain():
    blind = control("source", "source alone", 0.5) | {"share": None}
    assert "is not distinguishable from chance" in verdict.conclude(audit(blind))["paragraph"]


def test_a_shortcut_as_strong_as_the_network_leaves_nothing():
    text = verdict.conclude(audit(control("source", "source alone", 0.89)))["paragraph"]
    assert "nothing of the score is sure to be left for the lungs" in text


def test_the_place_of_a_shortcut_is_named_where_pictures_agree():
    place = {"class": "covid19", "row": 0.94, "column": 0.94, "agreement": 0.9, "inside_lungs": 0.0, "drop": 0.6}
    seen = control("background", "background alone", 0.7, by="small network", place=place)
    assert (
        "In the background alone, COVID-19 is recognized by the lower right corner of the image, outside the lungs."
    ) in verdict.conclude(audit(seen))["sentences"]
    for weaker in ({"agreement": 0.3}, {"drop": 0.02}):
        assert "corner" not in verdict.conclude(audit(seen | {"place": place | weaker}))["paragraph"]


@pytest.mark.parametrize(
    ("row", "column", "inside_lungs", "said"),
    [
        (0.06, 0.06, 0, "the upper left corner of the image, outside the lungs"),
        (0.5, 0.9, 0, "the right third of the image, outside the lungs"),
        (0.9, 0.5, 0, "the lower third of the image, outside the lungs"),
        (0.5, 0.5, 1, "the middle of the image, inside the lungs"),
    ],
)
def test_places(row, column, inside_lungs, said):
    assert formatting.name_place({"row": row, "column": column, "inside_lungs": inside_lungs}) == said


def test_what_cannot_be_supported_ends_the_paragraph():
    classes = {"covid19": told(1.0, 0.98), "normal": told(1.0, 0.91)}  # F1 is high of both: it credits frequency
    border = control("border", "border alone", 0.86, by="small network", classes=classes)
    of = verdict.conclude(audit(control("source", "source alone", 0.86, classes=classes), border))
    assert of["cannot_support"] == [
        "that anything but the source distinguishes COVID-19 (alone in journals): a class that is alone in its source "
        "cannot be separated from it",
        "any score of COVID-19: knowing the source alone is enough (COVID-19: recall 1.00, specificity 0.98)",
        "that the lungs distinguish COVID-19: seeing the border alone is enough (COVID-19: recall 1.00, "
        "specificity 0.98)",
    ]
    assert (
        " This data set can therefore not support that anything but the source distinguishes COVID-19 (alone in "
        "journals); nor any score of COVID-19; nor that the lungs distinguish COVID-19. What can be tried here: "
    ) in of["paragraph"]
    one = verdict.conclude(audit(sources={"a": {"north": 3}, "b": {"north": 5}}))["cannot_support"]
    assert one == ["any claim of how the network does elsewhere: all radiographs come from one source, north"]


def test_the_verdict_ends_with_what_can_be_done_and_what_cannot():
    outside = control("border", "border alone", 0.86, by="small network")
    levels = small("common_levels_network", "common gray levels", 0.7)
    levels |= {"difference": {"macro_auroc": number(-0.2)}, "reference": reach(0.9)}
    of = verdict.conclude(audit(control("source", "source alone", 0.86), outside, levels))
    by_source, beyond, gray = of["remedies"]["possible"]
    assert by_source.startswith("for normal and viral, which share sources, --config.remedy.balance=True")
    assert "--config.remedy.surroundings=1.0" in beyond and "--config.remedy.appearance=0.5" in gray
    assert of["remedies"]["impossible"] == [
        "COVID-19 comes from journals alone: no training can tell it from that source; radiographs of it from a source "
        "with other labels are needed"
    ]
    assert of["paragraph"].endswith("from a source with other labels are needed.")


def test_where_no_shortcut_is_found_no_remedy_is_named():
    mixed = {"normal": {"north": 9, "south": 9}, "viral": {"north": 9, "south": 9}}
    of = verdict.conclude(audit(control("source", "source alone", 0.51), sources=mixed))
    assert of["remedies"] == {"possible": [], "impossible": []}
    assert "can be tried" not in of["paragraph"]


def test_a_frequent_class_is_not_decided_by_a_source_that_tells_nothing():
    """Nineteen in twenty are a: naming it always has an F1 of 0.97."""
    facts = [{"source": "xy"[i % 2]} for i in range(100)]
    truth = np.array([i % 20 == 0 for i in range(100)], int)
    p = metadata_baseline.naive_bayes(facts, truth, facts, ("source",), 2)
    rows = [
        {"path": str(i), "patient_id": "", "source": one["source"], "label": "ab"[k],
         "prediction": "ab"[guess.argmax()], "probability_a": guess[0], "probability_b": guess[1]}
        for i, (one, k, guess) in enumerate(zip(facts, truth, p, strict=True))
    ]  # fmt: skip
    of = metrics.compare(rows, None, rows, ("a", "b"), {"macro_auroc": 0.5})
    assert of["classes"]["a"]["f1"]["value"] > 0.95
    found = control("source", "source alone", 0.5) | of
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
def test_only_a_class_alone_in_its_sources_cannot_be_separated_from_them(sources, claims):
    said = verdict.conclude(audit(sources=sources))["cannot_support"]
    assert [claim.split(":")[0] for claim in said] == claims


def test_patients_of_training_are_said_to_be_in_the_split():
    of = verdict.conclude(audit() | {"shared_patients": 7})
    assert "7 of the patients are in training too" in of["paragraph"]
    assert "nor any score, on patients that the network has not seen" in of["paragraph"]


def test_what_leak_could_have_been_seen_is_said():
    few = [small(f"shuffled_labels_{i}", "labels shuffled", 0.5) for i in range(3)]
    for one in few:
        one["scores"]["macro_auroc"] = number(0.5, 0.2)
    text = verdict.conclude(audit(*few))["paragraph"]
    assert "only a leak that lifts it above 0.75 could be seen among so few radiographs" in text
    assert "no leak is seen" not in text


@pytest.mark.parametrize(
    ("now", "collapsed", "said"),
    [
        (0.2, True, "recognizes 20% (18% to 22%), where it recognized 80% (78% to 82%) with the source."),
        (0.37, True, "recognizes 37%"),  # below half of 80%, interval and all
        (0.39, False, "with the source: recognition falls by 41% (39% to 43%)."),
        (0.75, False, "with the source: recognition falls by 5% (3% to 7%)."),
        (0.79, False, "recognizes 79% (77% to 81%), where it recognized 80% (78% to 82%) with the source."),
    ],
)
def test_a_source_left_out(now, collapsed, said):
    left = small("leave_source_out", "a source left out", now, reference=reach(0.8), difference=reach(now - 0.8))
    of = verdict.conclude(audit(left))
    claim = f"that a class is recognized in a source that was not trained on: the small network recognizes {now:.0%}"
    assert said in of["paragraph"]
    assert any(one.startswith(claim) for one in of["cannot_support"]) is collapsed


@pytest.mark.parametrize(
    ("interval", "end"), [([0.48, 0.97], ", which is not distinguishable from chance."), ([0.6, 0.9], ".")]
)
def test_within_a_source(interval, end):
    within = control("within_source", "within one source", 0.8, kind="content", by="network")
    within["scores"]["macro_auroc"]["interval"] = interval
    said = f"the network's macro AUROC is 0.80 ({interval[0]:.2f} to {interval[1]:.2f}){end}"
    assert (
        f"Among radiographs of one source, where the source cannot help, {said}"
        in (verdict.conclude(audit(within))["sentences"])
    )


@pytest.mark.parametrize(
    ("reached", "change", "said", "answer"),
    [
        (number(0.3), number(-0.6), ": it follows the source more than the radiograph.", "yes"),
        (number(0.8), number(-0.15), ": part of its score is the source.", "in part"),
        (number(0.9), number(0.0), ": by the source it gains less than 0.1 of AUROC.", "no"),
        (number(0.6, 0.3), number(-0.2, 0.3), ", which too few radiographs decide.", "too few to say"),
    ],
)
def test_pairs_against_the_source(reached, change, said, answer):
    entry = control("against_source", "pairs against the source", 0.5, kind="check", by="network")
    entry["scores"]["macro_auroc"] = reached
    entry |= {"reference": reach(0.95), "difference": {"macro_auroc": change}}
    entry["classes"] = {"viral": {"auroc": number(0.9)}, "covid19": {"auroc": number(0.2)}}
    content = audit(entry)
    [sentence] = [one for one in verdict.conclude(content)["sentences"] if "points to the wrong one" in one]
    assert sentence.endswith(said)
    assert "(least for COVID-19, 20% (18% to 22%))" in sentence
    assert "95% (93% to 97%) where the source points to the right one" in sentence
    assert answers.answer_against_source(entry).answer == answer
    remedies = verdict.conclude(content)["remedies"]["possible"]
    assert any("remedy.balance=True" in remedy for remedy in remedies) is (answer in ("yes", "in part"))


@pytest.mark.parametrize(
    ("flip_rate", "hit_rate", "said"),
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
def test_a_planted_mark(flip_rate, hit_rate, said):
    place = {"row": 0.06, "column": 0.06, "inside_lungs": 0.0, "hit_rate": hit_rate}
    mark = small("marker_outside", "mark planted outside the lungs", 0.3, flip_rate=flip_rate, place=place, target="b")
    assert said in verdict.conclude(audit(mark))["paragraph"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            (0.42, 0.52, 0.61),
            "reaches 0.42 to 0.61 (shuffled 3 times): no leak is seen, where one that lifts it above 0.57 would be.",
        ),
        ((0.62, 0.64, 0.56), "no leak is seen"),  # one of them may be at 0.54
        ((0.62, 0.64, 0.7), "still reaches 0.62 to 0.70: something leaks, and no score here holds"),
    ],
)
def test_shuffled_labels_leak_where_every_shuffle_says_so(values, said):
    shuffled = [small(f"shuffled_labels_{i}", "labels shuffled", value) for i, value in enumerate(values)]
    assert said in verdict.conclude(audit(*shuffled))["paragraph"]


def test_of_one_class_there_is_no_area_and_no_share():
    none = {"value": None, "interval": None, "n": 0}
    blind = control("source", "source alone", 0.5) | {"share": None}
    of = audit(blind, sources={"normal": {"north": 9}}) | {"scores": reach(0.9) | {"macro_auroc": none}}
    text = verdict.conclude(of)["paragraph"]
    assert (
        "reaches macro F1 0.90 (0.88 to 0.92), accuracy" in text and "a prediction at chance reaches 0.20, 0.30" in text
    )
    assert "There is no macro AUROC here, for all are normal." in text and "shortcut" not in text
    assert formatting.format_ci(none) == formatting.format_percent(none) == formatting.format_ci(None) == "–"


def test_radiographs_of_validation_are_said_to_be():
    assert "chosen by these very radiographs" in verdict.conclude(audit() | {"selected_on_split": True})["paragraph"]
