"""COVIDx: COVID-Net's rules, and the two patients of its missing comma."""

import json
import re
from collections import Counter

import pytest

from data_prep.covidx.patients import RADIOGRAPHY_TEST, TEST
from data_prep.record import PreparationError


def test_patients_191_and_24_are_two_test_patients(survey):
    assert {"ieee8023-191", "figure1-COVID-00024"} <= TEST
    assert (len(TEST), len(RADIOGRAPHY_TEST)) == (21 + 12 + 28, 17)
    splits = {row.patient_id: row.split for row in survey("covidx").records.values()}
    assert splits["ieee8023-191"] == splits["figure1-COVID-00024"] == splits["actualmed-ANON24"] == "test"
    assert splits["ieee8023-301"] == splits["figure1-COVID-00001"] == splits["actualmed-ANON1"] == "train|val"


def test_findings_are_mapped_to_three_classes(survey):
    found = survey("covidx")
    labels = {re.sub(r".*/", "", name): label for name, label in found.attribute("label").items()}
    assert labels == {
        "67d668e5-0015.jpg": "covid19",
        "67d668e5-05be.jpg": "covid19",
        "paper.jpg": "covid19",
        "sars.jpg": "pneumonia",
        "streptococcus.jpg": "pneumonia",
        "COVID-00024.jpg": "covid19",
        "COVID-00001.jpg": "covid19",
        "CR.1.1.jpg": "covid19",
        "CR.1.2.jpg": "covid19",
        "COVID-2.png": "covid19",
        "COVID-70.png": "covid19",
        "00313ee0.dcm": "normal",
        "00436515.dcm": "pneumonia",
        "00704310.dcm": "pneumonia",
        "00a85be6.dcm": "normal",
    }
    assert found.skipped["covid_chestxray/images/slice.jpg"] == "CT, not a radiograph"
    assert "no such file" in {reason for name, reason in found.skipped.items() if "COVID-00003" in name}


def test_radiograph_in_two_collections_is_listed_once(survey):
    """COVID-1 is ieee8023's by its URL, COVID-3 by the collection's URL, COVID-100 by its number; sirm-13 is SIRM's."""
    rows = survey("covidx").records
    radiography_ids = [name for name in rows if "radiography" in name]
    assert radiography_ids == [
        "covid_radiography/COVID/images/COVID-2.png",
        "covid_radiography/COVID/images/COVID-70.png",
    ]
    assert not any("sirm-13" in name for name in rows)


def test_all_images_of_an_nih_test_patient_are_test_images(survey, tmp_path):
    """COVID-Net's lists have one image of each patient; the other images are found with NIH's mapping."""
    folder = "rsna_pneumonia/stage_2_train_images"
    splits = {name: row.split for name, row in survey("covidx").records.items()}
    assert splits[f"{folder}/00a85be6.dcm"] == splits[f"{folder}/00704310.dcm"] == "test"
    assert splits[f"{folder}/00313ee0.dcm"] == splits[f"{folder}/00436515.dcm"] == "train|val"
    same = [{"subset_img_id": name, "img_id": f"00000012_00{name[-1]}.png"} for name in ("00a85be6", "00436515")]
    rsna = tmp_path / "upstream" / "rsna-pneumonia-detection-challenge"
    (rsna / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(same))
    splits = {name: row.split for name, row in survey("covidx", tmp_path / "upstream").records.items()}
    assert splits[f"{folder}/00436515.dcm"] == "test"
    assert splits[f"{folder}/00313ee0.dcm"] == "train|val"


def test_rsna_keeps_its_boxes(survey):
    lesions = survey("covidx").attribute("lesions")
    assert lesions["rsna_pneumonia/stage_2_train_images/00436515.dcm"]


def test_missing_members_are_named(survey, tmp_path):
    survey("covidx")
    (tmp_path / "upstream" / "Actualmed-COVID-chestxray-dataset").rename(tmp_path / "elsewhere")
    assert survey("covidx", tmp_path / "upstream").skipped["actualmed"] == "no folder actualmed"
    (tmp_path / "upstream" / "COVID-Net").rename(tmp_path / "elsewhere-too")
    with pytest.raises(PreparationError, match=r"rsna_test_patients_normal\.npy: this list of RSNA's test patients"):
        survey("covidx", tmp_path / "upstream")


def test_real_figure1_has_one_test_patient_more_than_covid_nets_list(survey, shared, tmp_path):
    """Its test_COVIDx5.txt has 11 of Figure 1 and train_COVIDx5.txt 24, including COVID-00024."""
    folder = shared / "data" / "Figure1-COVID-chestxray-dataset"
    if not folder.is_dir():
        pytest.skip("the shared data has no Figure1-COVID-chestxray-dataset")
    (tmp_path / folder.name).symlink_to(folder)
    assert Counter(row.split for row in survey("covidx", tmp_path).records.values()) == {"test": 12, "train|val": 23}
