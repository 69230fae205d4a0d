"""The 502 radiographs of Oh, Park and Ye: the list, and the available files."""

from collections import Counter
from pathlib import Path

import pytest

from data_prep.collections.spreadsheet import read_csv
from data_prep.oh2020 import source
from data_prep.options import Options
from data_prep.record import Record


def test_list_matches_the_authors_sheet():
    """The paper counts 57 of tuberculosis and 180 of COVID-19; the other counts and the sum are equal."""
    rows = read_csv(source._LIST)
    assert Counter(row["label"] for row in rows) == {
        "normal": 191,
        "bacterial": 54,
        "tuberculosis": 58,
        "viral": 20,
        "covid19": 179,
    }
    assert Counter((row["collection"], row["label"]) for row in rows) == {
        ("jsrt_scr", "normal"): 20,
        ("montgomery", "normal"): 73,
        ("montgomery", "tuberculosis"): 58,
        ("coronahack", "normal"): 98,
        ("coronahack", "bacterial"): 21,
        ("covid_chestxray", "bacterial"): 33,
        ("covid_chestxray", "viral"): 20,
        ("covid_chestxray", "covid19"): 179,
    }
    assert len({row["file"] for row in rows}) == 502


def test_available_radiographs_are_listed_and_missing_ones_named(survey):
    found = survey("oh2020")
    assert len(found.records) + len(found.skipped) == 502
    labels = {"normal": 6, "tuberculosis": 2, "bacterial": 3, "viral": 1, "covid19": 2}
    assert Counter(found.attribute("label").values()) == labels
    assert found.skipped["covid_chestxray/nejmc2001573_f1b.jpeg"] == "no such file"
    assert found.skipped["jsrt_scr/JPCNN042.IMG"] == "no such file"
    assert not any("later" in name or "person1_bacteria_1." in name for name in found.records)


def test_records_keep_collection_and_patient(survey):
    found = survey("oh2020")
    sars = next(example for name, example in found.examples.items() if "Fig4a-day7" in name)
    assert (sars.source, sars.label, sars.upstream_label) == ("covid_chestxray", "viral", "SARS")
    assert (sars.patient_id, sars.sex, sars.age) == ("ieee8023-7", "M", 29)
    normal = found.examples["jsrt_scr/JPCNN015.IMG"]
    assert (normal.height, normal.spacing, normal.license) == (2048, (0.175, 0.175), "research use")
    assert not any(row.split for row in found.records.values())  # jsrt_scr's own splits are not the paper's


def test_file_is_found_in_an_alternative_collection(survey):
    twice = [name for name in survey("oh2020").examples if "F051E018" in name]
    assert twice == ["covid_chestxray/images/F051E018-DAD1-4506-AD43-BE4CA29E960B.jpeg"]


def test_missing_folder_is_named(survey, tmp_path):
    survey("oh2020")
    (tmp_path / "upstream" / "coronahack").rename(tmp_path / "elsewhere")
    skipped_records = survey("oh2020", tmp_path / "upstream").skipped
    assert (
        skipped_records["coronahack/person1429_bacteria_3690.jpeg"] == "no such file"
    )  # the other collections are looked into
    (tmp_path / "upstream" / "JSRT").rename(tmp_path / "elsewhere-too")
    assert survey("oh2020", tmp_path / "upstream").skipped["jsrt_scr/JPCNN015.IMG"] == "no folder jsrt_scr"


def test_ieee8023_files_are_all_in_its_real_metadata(shared, tmp_path):
    """Only available files are listed; F051E018 can replace CoronaHack's copy."""
    folder = shared / "data" / "covid-chestxray-dataset"
    if not folder.is_dir():
        pytest.skip("the shared data has no covid-chestxray-dataset")
    (tmp_path / folder.name).symlink_to(folder)
    found = [one for one in source.SOURCE.records(tmp_path, Options()) if one.id.startswith("covid_chestxray/")]
    stems = {path.stem for path in (folder / "images").iterdir()}
    for one in found:
        assert isinstance(one, Record) == (Path(one.id).stem in stems)
        assert isinstance(one, Record) or one.reason == "no such file"
    assert len([one for one in found if "F051E018" not in one.id]) == 232
    assert sum(isinstance(one, Record) for one in found) > 100
