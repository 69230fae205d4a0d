"""Hannover: frontal views of COVID-19 patients, several for some patients."""


def test_records_match_data_csv(survey):
    found = survey("hannover")
    assert found.attribute("patient_id") == {
        "png/b343e657.png": "hannover-042f06a9",
        "png/c9280a30.png": "hannover-042f06a9",
        "png/5f619d7e.png": "hannover-0f2b9fbd",
        "png/f6575117.png": "hannover-1c642000",
    }
    assert list(found.attribute("view").values()) == ["ap", "ap", "pa", "pa"]
    assert set(found.attribute("label").values()) == {"covid19"}
    assert set(found.attribute("license").values()) == {"CC BY 3.0"}
    assert found.skipped == {"png/ac4f6e4e.png": "lateral view", "png/2cd63b76.png": "no such file"}


def test_folder_can_be_the_layout_itself(survey, tmp_path):
    survey("hannover")
    assert len(survey("hannover", tmp_path / "upstream" / "covid-19-image-repository-master").examples) == 4
