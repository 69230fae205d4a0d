"""MIMIC-CXR-JPG: labels of studies, official splits, views, and compressed tables that are cut short."""

import pytest

from data_prep.collections.certainty import FINDINGS
from data_prep.record import PreparationError

TABLES = "upstream/physionet.org/files/mimic-cxr-jpg/2.0.0"


def by_image(values):
    return {path.rpartition("/")[2].removesuffix(".jpg"): value for path, value in values.items()}


def test_all_frontal_radiographs_of_a_study_have_its_findings(survey):
    found = survey("mimic_cxr_jpg")
    records = by_image(found.records)
    assert list(found.examples)[0] == "files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg"
    assert records["2a2277a9-b0ded155"].findings == {"Edema": 1, "Fracture": 0, "Pneumonia": -1}
    assert records["e084de3b-be89b11e"].findings == records["2a2277a9-b0ded155"].findings
    healthy = records["02aa804e-bde0afdd"].findings
    assert healthy == {name: 0.0 for name in FINDINGS if name != "Support Devices"}


def test_splits_equal_upstream_and_skipped_images_have_reasons(survey):
    found = survey("mimic_cxr_jpg")
    splits = {image: record.split for image, record in by_image(found.records).items()}
    assert splits == {
        "02aa804e-bde0afdd": "train",
        "2a2277a9-b0ded155": "train",
        "e084de3b-be89b11e": "train",
        "096052b7-d256dc40": "val",
        "dcfeeac4-1597e318": "test",
    }
    assert by_image(found.skipped) == {
        "02aa804e-bde0afdd": "listed a second time",
        "174413ec-4ec4c1f7": "its view is LATERAL, not AP or PA",
        "68b5c4b1-227d0485": "no view stated",
        "d0b71acc-b5a62046": "its study has no labels of chexpert",
        "0af9bbc8-2ae46b1e": "no such file",
    }
    assert set(found.attribute("patient_id").values()) == {"mimic-10000032", "mimic-10000898", "mimic-10000935"}


def test_labeler_negbio_is_an_option(survey):
    findings = by_image(survey("mimic_cxr_jpg", labeler="negbio").records)["2a2277a9-b0ded155"].findings
    assert findings == {"Edema": 1, "Fracture": 0}


def test_missing_or_truncated_table_is_refused(survey, tmp_path):
    survey("mimic_cxr_jpg")
    split = tmp_path / TABLES / "mimic-cxr-2.0.0-split.csv.gz"
    split.write_bytes(split.read_bytes()[:-20])
    with pytest.raises(PreparationError, match=r"split\.csv\.gz: compressed file ended"):
        survey("mimic_cxr_jpg", tmp_path / "upstream")
    split.unlink()
    with pytest.raises(PreparationError, match=r"it has no mimic-cxr-2\.0\.0-split\.csv\.gz"):
        survey("mimic_cxr_jpg", tmp_path / "upstream")
