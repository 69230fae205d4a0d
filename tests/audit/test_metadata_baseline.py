"""Naive Bayes against hand counts and scikit-learn, and the metadata features of file formats."""

import cv2
import numpy as np
import pytest
from sklearn.naive_bayes import CategoricalNB

from cxrjax.audit import metadata_baseline


def test_naive_bayes_of_one_attribute_smooths_class_frequencies():
    seen = [{"source": source} for source in "aaab"]
    guesses = metadata_baseline.naive_bayes(
        seen, np.array([0, 0, 1, 1]), [{"source": s} for s in "abc"], ("source",), 2
    )
    # Class 0: a 3 of 4, b 1 of 4; class 1: a 2 of 4, b 2 of 4; both as frequent; c is not known.
    np.testing.assert_allclose(guesses, [[0.6, 0.4], [1 / 3, 2 / 3], [0.5, 0.5]])


def test_naive_bayes_of_several_attributes_equals_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    table = np.stack([(labels + rng.integers(0, 2, 200)) % 4, rng.integers(0, 3, 200)], 1)
    facts = [{"view": str(a), "format": str(b)} for a, b in table]
    ours = metadata_baseline.naive_bayes(facts[:150], labels[:150], facts[150:], ("view", "format"), 3)
    theirs = CategoricalNB(alpha=1.0).fit(table[:150], labels[:150]).predict_proba(table[150:])
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("suffix", "shape", "dtype", "form"),
    [
        (".png", (40, 50), np.uint16, ("PNG", "16", "1")),
        (".png", (40, 50, 3), np.uint8, ("PNG", "8", "3")),
        (".jpg", (40, 50), np.uint8, ("JPEG", "8", "1")),
    ],
)
def test_metadata_features_of_png_and_jpeg(suffix, shape, dtype, form):
    file = cv2.imencode(suffix, np.arange(np.prod(shape)).reshape(shape).astype(dtype))[1].tobytes()
    example = dict.fromkeys(("path", "patient_id", "source", "label", "view"), "") | {"height": 512, "width": 256}
    features = metadata_baseline.metadata_features(example | {"image": file})
    assert (features["format"], features["bits"], features["color"]) == form
    assert (features["height"], features["width"]) == ("36", "32")  # four steps an octave


def test_metadata_features_of_dicom(shared):
    file = next((shared / "data" / "dicom").rglob("*.dcm")).read_bytes()
    features = metadata_baseline.metadata_features(
        {key: "" for key in metadata_baseline.ROW_FIELDS} | {"view": "", "height": 64, "width": 64, "image": file}
    )
    assert features["format"] == "DICOM" and features["bits"].isdigit() and features["color"].startswith("MONOCHROME")
