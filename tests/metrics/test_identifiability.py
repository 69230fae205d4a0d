"""Labels that can be learned apart from sources, by hand-made tables of counts."""

import pytest

from cxrjax.metrics import identifiability

MIXED = {"a": {"normal": 50, "viral": 20}, "b": {"normal": 30, "viral": 10}}


def test_labels_of_two_mixed_sources_are_transferable():
    results = identifiability.assess(MIXED)
    assert all(result.is_transferable and not result.incomparable for result in results)
    assert identifiability.summarize(MIXED) == [
        "Every label is seen in two sources or more that have other labels too."
    ]


def test_label_alone_in_its_source_is_confounded():
    counts = MIXED | {"c": {"covid19": 40}}
    covid = identifiability.assess(counts)[0]
    assert (covid.label, covid.is_confounded, covid.incomparable) == ("covid19", True, ("normal", "viral"))
    sentences = identifiability.summarize(counts)
    assert sentences[0] == (
        "COVID-19 comes from c alone, which has no other label: no training can tell COVID-19 from it; needed: "
        "COVID-19 from a source that has other labels, such as a, or other labels from c."
    )
    assert len(sentences) == 1


def test_label_alone_in_several_sources_is_confounded():
    counts = MIXED | {"c": {"covid19": 40}, "d": {"covid19": 9}}
    assert identifiability.assess(counts)[0].is_confounded
    (sentence,) = identifiability.summarize(counts)
    assert "comes from c and d alone, none of which has another label" in sentence


def test_fewer_than_min_count_radiographs_do_not_count():
    few = {"c": {"covid19": 40, "normal": identifiability.MIN_COUNT - 1}}
    enough = {"c": {"covid19": 40, "normal": identifiability.MIN_COUNT}}
    assert identifiability.assess(MIXED | few)[0].is_confounded
    assert not identifiability.assess(MIXED | enough)[0].is_confounded
    assert identifiability.summarize(MIXED | few)[0].endswith(
        "or other labels from c (4 so far, too few to learn from)."
    )


def test_label_of_one_mixed_source_is_not_transferable():
    counts = MIXED | {"b": {"normal": 30, "viral": 10, "covid19": 20, "tuberculosis": 20}}
    covid = identifiability.assess(counts)[0]
    assert not covid.is_confounded
    assert not covid.is_transferable
    (sentence,) = identifiability.summarize(counts)
    assert sentence.startswith("COVID-19 and tuberculosis are seen beside other labels in b alone")


def test_labels_without_a_common_source_are_incomparable():
    counts = {
        "a": {"normal": 9, "viral": 9},
        "b": {"normal": 9, "viral": 9},
        "c": {"normal": 9, "covid19": 9},
        "d": {"normal": 9, "covid19": 9},
    }
    assert [result.incomparable for result in identifiability.assess(counts)] == [("viral",), (), ("covid19",)]
    (sentence,) = identifiability.summarize(counts)
    assert sentence.startswith("COVID-19 has no source in common with viral: only their sources may tell them apart")


@pytest.mark.parametrize("name", ["one", ""])
def test_one_source_leaves_other_sources_unknown(name):
    (sentence,) = identifiability.summarize({name: {"normal": 9, "viral": 9}})
    assert "another source cannot be known" in sentence


def test_summary_without_two_labels_is_empty():
    assert identifiability.summarize({}) == []
    assert identifiability.summarize({"a": {"normal": 9}}) == []


def test_summary_does_not_depend_on_the_order_of_the_table():
    counts = MIXED | {"c": {"covid19": 40}}
    reversed_counts = {
        source: dict(reversed(list(labels.items()))) for source, labels in reversed(list(counts.items()))
    }
    assert identifiability.summarize(counts) == identifiability.summarize(reversed_counts)


def test_findings_are_identifiable_in_sources_with_both_values():
    counts = {
        "a": {"Edema": [30, 20], "Effusion": [40, 10], "Hernia": [0, 9], "Mass": [0, 0]},
        "b": {"Edema": [25, 5], "Effusion": [50, 0], "Hernia": [80, 4], "Mass": [0, 0]},
    }
    by_name = {result.label: result for result in identifiability.assess_findings(counts)}
    assert set(by_name) == {"Edema", "Effusion", "Hernia"}  # no radiograph has a mass
    assert by_name["Edema"].is_transferable
    assert by_name["Effusion"].mixed_sources == ("a",) and not by_name["Effusion"].is_transferable
    assert by_name["Hernia"].is_confounded and by_name["Hernia"].sources == ("a",)
    assert identifiability.summarize_findings(counts) == [
        "Hernia is present only in radiographs from a, and known to be absent only in those from b: no training can "
        "tell it from the source; needed: radiographs with it from b, or known to be without it from a (4 so far, too "
        "few to learn from).",
        "For Effusion, a alone has both radiographs with the finding and radiographs known to be without it: what is "
        "learned there cannot be tested in another source; needed: both from a second source.",
    ]
    edema = {source: {"Edema": pairs["Edema"]} for source, pairs in counts.items()}
    assert identifiability.summarize_findings(edema) == [
        "For every finding, two sources or more have both radiographs with it and radiographs known to be without it."
    ]
    (sentence,) = identifiability.summarize_findings({"a": counts["a"]})
    assert sentence.startswith("All radiographs with known findings come from one source (a): how a finding")
    assert identifiability.summarize_findings({}) == []


def test_confounded_findings_of_the_same_sources_are_one_sentence():
    counts = {
        "a": {"Edema": [0, 9], "Effusion": [0, 8], "Hernia": [0, 20], "Mass": [60, 0], "Nodule": [3, 7]},
        "b": {"Edema": [30, 0], "Effusion": [40, 0], "Hernia": [0, 10], "Mass": [0, 4], "Nodule": [9, 0]},
        "c": {"Edema": [0, 6], "Effusion": [0, 6]},
    }
    assert all(result.is_confounded for result in identifiability.assess_findings(counts))
    assert identifiability.describe_confounded_findings(counts) == [
        "Edema and Effusion are present only in radiographs from a and c, and known to be absent only in those from b: "
        "no training can tell them from the source; needed: radiographs with them from b, or known to be without them "
        "from a and c.",
        "Hernia is known to be absent in fewer than 5 radiographs of every source: no training can tell it from the "
        "source; needed: radiographs known to be without it from a and b.",
        "Mass is present in fewer than 5 radiographs of every source: too few to learn from; needed: radiographs with "
        "it from a source that has others known to be without it.",
        "Nodule is present only in radiographs from a, and known to be absent only in those from b: no training can "
        "tell it from the source; needed: radiographs with it from b, or known to be without it from a (3 so far, too "
        "few to learn from).",
    ]
