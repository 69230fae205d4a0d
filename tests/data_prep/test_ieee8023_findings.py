"""The tree of ieee8023's findings: parents are implied, siblings excluded, children of a stated finding unknown."""

import pytest

from data_prep.collections.ieee8023_findings import find_parents, read_findings
from data_prep.covid_chestxray.source import SOURCE, CovidChestXrayOptions
from data_prep.record import Record, SkippedRecord
from tests.data_prep.fixtures.covid_chestxray import write

STATED = (
    "Pneumonia/Viral/COVID-19",
    "Pneumonia/Bacterial/Klebsiella",
    "Pneumonia",
    "Tuberculosis",
    "No Finding",
    "todo",
)
PARENTS = find_parents([*STATED, "COVID-19, ARDS"])


def test_find_parents_of_all_findings():
    assert PARENTS == {
        "Pneumonia": "",
        "Viral": "Pneumonia",
        "COVID-19": "Viral",
        "Bacterial": "Pneumonia",
        "Klebsiella": "Bacterial",
        "Tuberculosis": "",
        "ARDS": "",
    }


@pytest.mark.parametrize(
    "statement,positive,unknown",
    [
        ("Pneumonia/Viral/COVID-19", {"Pneumonia", "Viral", "COVID-19"}, set()),
        ("COVID-19", {"Pneumonia", "Viral", "COVID-19"}, set()),  # in older versions of the file
        ("COVID-19, ARDS", {"Pneumonia", "Viral", "COVID-19", "ARDS"}, set()),
        ("Pneumonia/Viral", {"Pneumonia", "Viral"}, {"COVID-19"}),
        ("Pneumonia", {"Pneumonia"}, {"Viral", "COVID-19", "Bacterial", "Klebsiella"}),
        ("Bacterial", {"Pneumonia", "Bacterial"}, {"Klebsiella"}),
        ("Tuberculosis", {"Tuberculosis"}, set()),
        ("No Finding", set(), set()),
    ],
)
def test_read_findings_implies_parents_and_excludes_siblings(statement, positive, unknown):
    values = read_findings(statement, PARENTS)
    assert {name for name, value in values.items() if value == 1} == positive
    assert set(PARENTS) - set(values) == unknown
    assert all(value in (0, 1) for value in values.values())


@pytest.mark.parametrize("statement", ["todo", "", "Unknown"])
def test_read_findings_of_an_unstated_finding_is_empty(statement):
    assert read_findings(statement, PARENTS) == {}


def test_records_with_a_positive_child_have_positive_parents(tmp_path):
    write(tmp_path)
    options = CovidChestXrayOptions(findings=True)
    entries = list(SOURCE.records(tmp_path, options))
    records = [entry for entry in entries if isinstance(entry, Record)]
    assert SOURCE.has_findings(options) and not SOURCE.has_findings(CovidChestXrayOptions())
    assert len(records) == 9 and any(isinstance(entry, SkippedRecord) for entry in entries)
    assert all(record.findings and not record.label for record in records)
    covid = [record.findings for record in records if record.findings.get("COVID-19") == 1]
    assert len(covid) == 4 and all(found["Viral"] == found["Pneumonia"] == 1 for found in covid)
    second = next(record for record in records if record.id == "images/second.png")
    assert second.findings["ARDS"] == 1
