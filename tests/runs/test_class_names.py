"""A run is not evaluated on a data set that has none of its findings."""

from dataclasses import replace

import pytest

from cxrjax.config.settings import ClassifierConfig, Config, DataConfig
from cxrjax.io.prepared import DatasetError
from cxrjax.runs import class_names

CONFIG = Config(task="classify", classifier=ClassifierConfig(targets="multi", classes=("Effusion", "Mass")))


@pytest.fixture(autouse=True)
def report(monkeypatch):
    counts = {"train": {"Pleural Effusion": {"positive": 1}}, "test": {"Edema": {"positive": 0}}}
    monkeypatch.setattr(class_names.tfds_store, "read_report", lambda _: {"findings": counts})


def test_unknown_findings_error_suggests_label_map():
    with pytest.raises(DatasetError, match=r"data: its findings \(Pleural Effusion, Edema\) are none of .*label_map"):
        class_names.check_known(CONFIG, "data")


def test_renamed_findings_and_single_labels_are_accepted():
    renamed = replace(CONFIG, data=DataConfig(label_map=(("Pleural Effusion", "Effusion"),)))
    class_names.check_known(renamed, "data")
    class_names.check_known(replace(CONFIG, classifier=replace(CONFIG.classifier, targets="single")), "data")
