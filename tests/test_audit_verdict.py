"""Numbers in, sentences out: the verdict on audits made up by hand."""

from typing import Any

import pytest

from cxrjax.audit import verdict

SOURCES = {"normal": {"north": 90, "south": 90}, "viral": {"north": 90}, "covid19": {"journals": 200}}


def number(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "interval": [value - half, value + half], "n": 100}


def scores(value: float) -> dict[str, Any]:
    return {name: number(value) for name in ("macro_auroc", "macro_f1", "accuracy")}


def control(name: str, title: str, value: float, kind: str = "shortcut", by: str = "table", **more: Any) -> dict:
    share = number((value - 0.5) / 0.4, 0.05) if kind == "shortcut" else None
    return {"name": name, "title": title, "kind": kind, "by": by, "scores": scores(value), "share": share,
            "classes": {}, "note": "", **more}  # fmt: skip


def audit(*controls: dict, sources: dict = SOURCES) -> dict[str, Any]:
    chance = {"macro_auroc": 0.5, "macro_f1": 0.2, "accuracy": 0.3}
    return {"n": 100, "patients": 80, "score": scores(0.9), "chance": chance, "sources": sources,
            "controls": list(controls)}  # fmt: skip


def test_a_shortcut_is_named_with_its_score_its_share_and_what_is_left():
    of = verdict.conclude(audit(control("source", "source alone", 0.86), control("view", "view alone", 0.7)))
    assert "On 100 radiographs of 80 patients the network reaches macro AUROC 0.90 (0.88 to 0.92)" in of["paragraph"]
    assert (
        "From the source alone a macro AUROC of 0.86 (0.84 to 0.88) is reached, with no look at the picture: "
        "90% (85% to 95%) of what the score is above chance (view alone 50%)."
    ) in of["sentences"]
    assert "What the source alone does not reach is 10% (5% to 15%) of the score above chance." in of["sentences"]


def test_no_shortcut_is_said_to_be_none_within_the_interval():
    weak = control("source", "source alone", 0.51), control("background", "background alone", 0.53, by="small network")
    text = verdict.conclude(audit(*weak))["paragraph"]
    assert "None of the 2 shortcuts tried is found: the strongest, the background alone," in text
    assert "the intervals leave room for at most 13% of the score" in text and "does not reach" not in text


def test_a_number_that_no_resample_moves_is_taken_as_it_is():
    still = control("source", "source alone", 0.5) | {"share": {"value": 0.0, "interval": None, "n": 100}}
    assert "at most 0% of the score" in verdict.conclude(audit(still))["paragraph"]
    assert verdict.is_found({"share": {"value": 1.0, "interval": None, "n": 100}})
    assert "nothing of the score is sure" in " ".join(
        verdict.conclude(audit(still | {"share": {"value": 1.0, "interval": None, "n": 100}}))["sentences"]
    )


@pytest.mark.parametrize(("share", "found"), [(0.149, False), (0.151, True)])
def test_a_share_is_found_when_its_interval_lies_above_a_tenth(share, found):
    assert verdict.is_found({"share": number(share, 0.05)}) is found


def test_a_score_at_chance_has_nothing_to_explain():
    blind = control("source", "source alone", 0.5) | {"share": None}
    assert "cannot be told from chance" in verdict.conclude(audit(blind))["paragraph"]


def test_a_shortcut_as_strong_as_the_network_leaves_nothing():
    text = verdict.conclude(audit(control("source", "source alone", 0.89)))["paragraph"]
    assert "nothing of the score is sure to be left for the lungs" in text


def test_the_place_of_a_shortcut_is_named_where_pictures_agree():
    place = {"class": "covid19", "row": 0.94, "column": 0.94, "agreement": 0.9, "inside": 0.0, "drop": 0.6}
    seen = control("background", "background alone", 0.7, by="small network", place=place)
    assert (
        "What the background alone tells of covid19 lies at the lower right corner of the picture, outside the lungs."
    ) in verdict.conclude(audit(seen))["sentences"]
    for weaker in ({"agreement": 0.3}, {"drop": 0.02}):
        assert "corner" not in verdict.conclude(audit(seen | {"place": place | weaker}))["paragraph"]


@pytest.mark.parametrize(
    ("row", "column", "inside", "words"),
    [
        (0.06, 0.06, 0, "the upper left corner of the picture, outside the lungs"),
        (0.5, 0.9, 0, "the right edge of the picture, outside the lungs"),
        (0.9, 0.5, 0, "the lower edge of the picture, outside the lungs"),
        (0.5, 0.5, 1, "the middle of the picture, inside the lungs"),
    ],
)
def test_places(row, column, inside, words):
    assert verdict.name_place({"row": row, "column": column, "inside": inside}) == words


def test_what_cannot_be_supported():
    decided = {"covid19": {"f1": number(1.0)}, "normal": {"f1": number(0.5)}}
    claims = verdict.conclude(audit(control("source", "source alone", 0.86, classes=decided)))["cannot_support"]
    assert claims == [
        "that viral (only in north) and covid19 (only in journals) are told by disease and not by source: a class of "
        "one source cannot be separated from it",
        "a score of covid19 (F1 1.00): the source alone decides the label",
    ]
    one = verdict.conclude(audit(sources={"a": {"north": 3}, "b": {"north": 5}}))["cannot_support"]
    assert one == ["how the network does elsewhere: all radiographs come from one source, north"]


def test_a_source_left_out():
    left = control("leave_source_out", "a source left out", 0.2, kind="check", by="small network")
    left |= {"against": scores(0.8), "change": scores(-0.6)}
    of = verdict.conclude(audit(left))
    assert (
        "that network recognises 20% (18% to 22%), where it recognised 80% (78% to 82%) with the source."
        in of["paragraph"]
    )
    assert "that a class is recognised in a source that was not trained on" in of["cannot_support"]


@pytest.mark.parametrize(
    ("flips", "inside", "words"),
    [
        (0.9, 0.0, "turned 90% (88% to 92%) of the findings and was seen at the upper left corner"),
        (0.51, 0.0, "was not caught, so that this audit is blind to such a one"),  # hardly most of them
        (0.9, 1.0, "was not caught"),  # the wrong place
    ],
)
def test_a_planted_mark(flips, inside, words):
    mark = control("marker_outside", "mark planted outside the lungs", 0.3, kind="check", by="small network")
    mark |= {"flips": number(flips), "wanted": False, "place": {"row": 0.06, "column": 0.06, "inside": inside}}
    assert words in verdict.conclude(audit(mark))["paragraph"]


def test_shuffled_labels_at_chance_and_not():
    shuffled = control("shuffled_labels", "labels shuffled", 0.52, kind="check", by="small network")
    assert "stays at chance, 0.52 (0.50 to 0.54), as it must" in verdict.conclude(audit(shuffled))["paragraph"]
    shuffled = control("shuffled_labels", "labels shuffled", 0.7, kind="check", by="small network")
    assert "something leaks, and no score here holds" in verdict.conclude(audit(shuffled))["paragraph"]
