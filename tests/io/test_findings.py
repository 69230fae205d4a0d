"""Findings: their text, their label, merging and the table of targets."""

import numpy as np
import pytest

from cxrjax.io import findings


def test_encoded_findings_round_trip():
    known = {"Effusion": 1.0, "Edema": -1.0, "Mass": 0.0, "Nodule": 2 / 3}
    assert findings.decode(findings.encode(known)) == known
    assert findings.encode({"Effusion": 1.0}) == '{"Effusion": 1}'
    assert findings.decode("") == {}


@pytest.mark.parametrize("known", [{"": 1.0}, {"a|b": 1.0}, {"a": 2.0}, {"a": float("nan")}, {"a": -0.5}])
def test_invalid_findings_are_not_encoded(known):
    with pytest.raises(ValueError, match="finding"):
        findings.encode(known)


@pytest.mark.parametrize(
    ("known", "label"),
    [({}, ""), ({"a": 0.0, "b": -1.0}, "no finding"), ({"a": 1.0, "b": 0.0, "c": 0.5}, "a|c")],
)
def test_label_lists_the_positive_findings(known, label):
    assert findings.format_label(known) == label
    assert findings.from_label(label) == {name: 1.0 for name, value in known.items() if value > 0}


@pytest.mark.parametrize(
    ("parts", "merged"),
    [
        ({"a": 1.0, "b": -1.0}, {"c": 1.0}),
        ({"a": 0.0, "b": -1.0}, {"c": -1.0}),
        ({"a": 0.0, "b": 0.0}, {"c": 0.0}),
        ({"a": 0.0}, {}),  # b is unknown, and it may be positive
        ({"a": 1.0}, {"c": 1.0}),
        ({"a": 0.25, "b": 0.5, "d": 0.0}, {"c": 0.5, "d": 0.0}),
        ({"a": 0.0, "b": 0.0, "c": 1.0}, {"c": 1.0}),
    ],
)
def test_merged_findings_are_positive_if_any_part_is(parts, merged):
    assert findings.rename(parts, [("a", "c"), ("b", "c")]) == merged


def test_targets_have_uncertain_and_unknown_entries():
    table = findings.to_targets([{"a": 1.0, "b": -1.0}, {"c": 0.0}], ("a", "b", "c"))
    np.testing.assert_array_equal(table, np.array([[1, -1, np.nan], [np.nan, np.nan, 0]], np.float32))
    np.testing.assert_array_equal(findings.is_known(table), [[True, False, False], [False, False, True]])
    assert findings.from_targets(table[0], ("a", "b", "c")) == {"a": 1.0, "b": -1.0}
