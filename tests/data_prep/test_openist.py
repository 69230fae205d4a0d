"""OpenIST: images and masks in one folder as upstream, or in two as in copies."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.openist.source import COMMON, SOURCE
from data_prep.options import Options
from data_prep.reader import read_example
from data_prep.record import RecordError, SkippedRecord
from tests.data_prep.fixtures.openist import write
from tests.helpers.image_files import draw_lung_mask


def test_pairs_are_listed_and_incomplete_ones_named(tmp_path):
    write(tmp_path)
    rows = {row.id: row for row in SOURCE.records(tmp_path, Options())}
    assert sorted(rows) == sorted(f"{COMMON}/{n}-{n + 9}-500-500-100.jpg" for n in range(1, 11))
    alone = f"{COMMON}/10-19-500-500-100.jpg"
    assert rows[alone] == SkippedRecord(alone, "no such file")
    with pytest.raises(RecordError, match=r"its mask 9-18-500-500-100@\.png: no such file"):
        read_example(rows[f"{COMMON}/9-18-500-500-100.jpg"])
    example = read_example(rows[f"{COMMON}/1-10-500-500-100.jpg"])
    assert (example.label, example.patient_id) == ("normal", "openist-1-10-500-500-100")
    mask = cv2.imdecode(np.frombuffer(example.mask, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask, draw_lung_mask("left") | draw_lung_mask("right"))


def test_files_to_download_are_275_pairs():
    endings = Counter(file.path.removeprefix(f"{COMMON}/").rpartition("-100")[2] for file in SOURCE.files)
    assert endings == {".jpg": 275, "@.png": 275}
    assert all(len(file.sha256) == 64 for file in SOURCE.files)


@pytest.mark.slow
def test_all_real_images_are_prepared(shared, tmp_path):
    folder = shared / "data" / "openist"
    if not folder.is_dir():
        pytest.skip("the shared data has no openist")
    assert main(["openist", f"--raw_dir={folder}", f"--out={tmp_path}"]) == 0
    report = json.loads((tmp_path / "openist" / "2.0.0" / "report.json").read_text())
    assert sum(counts["normal"] for counts in report["counts"].values()) == 275
    assert not report["skipped"]
