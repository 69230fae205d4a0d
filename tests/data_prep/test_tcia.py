"""RICORD and COVID-19-AR: frontal radiographs are selected by the table or by the DICOM file."""

import math

import pytest

from data_prep.collections.dicom import is_lateral, parse_age


def reasons(found) -> dict[str, str]:
    """Return the reasons by the path below the patient's folder."""
    return {name.split("/", 3)[-1]: reason for name, reason in found.skipped.items()}


def test_ricord_patients_labels_views_and_skipped_files(survey):
    found = survey("ricord")
    assert sorted(found.attribute("patient_id").values()) == [
        "ricord-419639-000025",
        "ricord-419639-000025",
        "ricord-419639-001464",
        "ricord-SITE2-000002",
    ]
    assert set(found.attribute("label").values()) == {"covid19"}
    assert sorted(found.attribute("view").values()) == ["AP", "AP", "AP", "PA"]
    skip_reasons = reasons(found)
    side = "08-09-2002-NA-XR CHEST PA AND LATERAL-39552/2.000000-LAT-12346/1-1.dcm"
    assert skip_reasons.pop(side) == "lateral view, by its ViewPosition"
    (reason,) = skip_reasons.values()
    assert reason.startswith("truncated")


def test_covid_19_ar_patients_ages_and_skipped_files(survey):
    found = survey("covid_19_ar")
    assert sorted(found.attribute("patient_id").values()) == [
        "covid_19_ar-16406488",
        "covid_19_ar-16406491",
        "covid_19_ar-16406491",
        "covid_19_ar-16406520",
    ]
    assert set(found.attribute("age").values()) == {62}
    assert reasons(found) == {
        "01-12-2012-NA-CT CHEST-11111/3.000000-AXIAL-22222": "CT, not a radiograph",  # three files, by the table
        "05-05-2012-NA-CT ABDOMEN-33333/1.000000-SCOUT-44444/1-1.dcm": "CT, not a radiograph, by its Modality",
        "07-07-2012-NA-XR CHEST PA AND LATERAL-55555/1.000000-LATERAL-66666/1-1.dcm": (
            "lateral view, by its SeriesDescription"
        ),
    }


@pytest.mark.parametrize("view", ["LL", "RL", "LATERAL", "Lateral", "LAT", "L LAT"])
def test_is_lateral_of_lateral_views(view):
    assert is_lateral(view)


@pytest.mark.parametrize("view", ["", "PA", "AP", "AP PORTABLE", "PA/LAT", "LLD", "PLATE"])
def test_is_lateral_of_other_views_is_false(view):
    assert not is_lateral(view)


@pytest.mark.parametrize(("text", "years"), [("045Y", 45), ("51", 51), ("006M", 0.5), ("000D", 0), ("120Y", 120)])
def test_parse_age_returns_years(text, years):
    assert parse_age(text) == years


@pytest.mark.parametrize("text", ["", "Y", "about 50", "148", "-3Y"])
def test_parse_age_of_invalid_text_is_nan(text):
    assert math.isnan(parse_age(text))
