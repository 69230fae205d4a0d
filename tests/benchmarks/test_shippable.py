"""Bundled weights are trained on radiographs whose license allows derivatives."""

from pathlib import Path

import pytest

from benchmarks import shippable


@pytest.mark.parametrize("license_name, allowed", [
    ("CC BY 4.0", True),
    ("CC BY-NC-SA", True),
    ("CC BY-NC-ND", False),
    ("CC BY-NC-ND 4.0", False),
    ("cc by-nd", False),
    ("Independent use", True),
    ("", False),
    (" ", False),
])  # fmt: skip
def test_license_must_be_known_and_allow_derivatives(license_name, allowed):
    assert shippable.allows_derivatives(license_name) is allowed


def test_license_filter_applies_to_train_and_val_only():
    def row(dataset, name, split):
        return {"dataset": dataset, "path": f"images/{name}", "mask": f"masks/{name}", "split": split}

    rows = [
        row("jsrt", "a.png", "train"),
        row(shippable.COLLECTION, "b.jpg", "train"),
        row(shippable.COLLECTION, "c.jpg", "train"),
        row(shippable.COLLECTION, "d.jpg", "val"),
        row(shippable.COLLECTION, "d.jpg", "test"),
    ]
    licenses = {"b.jpg": "CC BY 4.0", "c.jpg": "CC BY-NC-ND", "d.jpg": ""}
    selected, left_out = shippable.select(rows, licenses, Path("/data"))
    assert [(item["path"], item["license"]) for item in selected] == [
        ("/data/images/a.png", "research use"),
        ("/data/images/b.jpg", "CC BY 4.0"),
        ("/data/images/d.jpg", ""),
    ]
    assert left_out == {"train": 1, "val": 1}
