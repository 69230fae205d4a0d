"""What a table of sources and labels allows to learn, by tables worked out by hand."""

import pytest

from cxrjax.metrics import identifiability

MIXED = {"a": {"normal": 50, "viral": 20}, "b": {"normal": 30, "viral": 10}}


def test_labels_of_two_mixed_sources_have_nothing_amiss():
    results = identifiability.assess(MIXED)
    assert all(result.is_transferable and not result.incomparable for result in results)
    assert identifiability.summarize(MIXED) == [
        "Every label is seen in two sources or more that have other labels too."
    ]


def test_a_label_that_is_alone_in_its_source_cannot_be_separated_from_it():
    counts = MIXED | {"c": {"covid19": 40}}
    covid = identifiability.assess(counts)[0]
    assert (covid.label, covid.is_confounded, covid.incomparable) == ("covid19", True, ("normal", "viral"))
    sentences = identifiability.summarize(counts)
    assert sentences[0] == (
        "COVID-19 comes from c alone, which has no other label: no training can tell COVID-19 from it; needed: "
        "COVID-19 from a source that has other labels, such as a, or other labels from c."
    )
    assert len(sentences) == 1


def test_several_sources_of_one_label_alone_do_not_help():
    counts = MIXED | {"c": {"covid19": 40}, "d": {"covid19": 9}}
    assert identifiability.assess(counts)[0].is_confounded
    (sentence,) = identifiability.summarize(counts)
    assert "comes from c and d alone, none of which has another label" in sentence


def test_fewer_radiographs_than_can_be_learned_from_do_not_count():
    few = {"c": {"covid19": 40, "normal": identifiability.MIN_COUNT - 1}}
    enough = {"c": {"covid19": 40, "normal": identifiability.MIN_COUNT}}
    assert identifiability.assess(MIXED | few)[0].is_confounded
    assert not identifiability.assess(MIXED | enough)[0].is_confounded
    assert identifiability.summarize(MIXED | few)[0].endswith(
        "or other labels from c (4 so far, too few to learn from)."
    )


def test_a_label_of_one_mixed_source_is_learned_there_and_not_tested_elsewhere():
    counts = MIXED | {"b": {"normal": 30, "viral": 10, "covid19": 20, "tuberculosis": 20}}
    covid = identifiability.assess(counts)[0]
    assert not covid.is_confounded
    assert not covid.is_transferable
    (sentence,) = identifiability.summarize(counts)
    assert sentence.startswith("COVID-19 and tuberculosis are seen beside other labels in b alone")


def test_labels_without_a_common_source_are_told_apart_by_their_sources():
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


def test_nothing_is_said_without_two_labels():
    assert identifiability.summarize({}) == []
    assert identifiability.summarize({"a": {"normal": 9}}) == []


def test_the_order_of_the_table_does_not_matter():
    counts = MIXED | {"c": {"covid19": 40}}
    reversed_counts = {
        source: dict(reversed(list(labels.items()))) for source, labels in reversed(list(counts.items()))
    }
    assert identifiability.summarize(counts) == identifiability.summarize(reversed_counts)


def test_a_finding_is_told_from_its_absence_within_a_source_that_has_both():
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
        "No source has both 5 radiographs with Hernia and 5 known to be without: no training can tell it from the "
        "source; needed: a source with both.",
        "Effusion is known with both values in a alone: what is learned there cannot be tested in another source; "
        "needed: radiographs with and without it from a second source.",
    ]
    edema = {source: {"Edema": pairs["Edema"]} for source, pairs in counts.items()}
    assert identifiability.summarize_findings(edema) == [
        "Every finding is known with both values in two sources or more."
    ]
    (sentence,) = identifiability.summarize_findings({"a": counts["a"]})
    assert sentence.startswith("Every finding comes from the source a:")
    assert identifiability.summarize_findings({}) == []
