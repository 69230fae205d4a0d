"""Test radiographs of a source left out: only those whose label or findings occur in other sources."""

from typing import NamedTuple

import numpy as np

from cxrjax.audit import left_out

NAN = np.nan


class Part(NamedTuple):
    """The fields of a batch that `left_out` reads."""

    labels: list
    sources: list
    values: list = []  # noqa: RUF012  truth of the findings

    def __len__(self):
        return len(self.labels)


class Context(NamedTuple):
    """The fields of an audit's context that `left_out` reads."""

    probe_train: tuple
    probe_test: tuple
    is_multi_label: bool
    classes: tuple

    def targets(self, part):
        return np.array(part.values, float)


def test_left_out_rows_have_labels_of_other_sources():
    train = Part(["a", "b", "a", "c"], ["x", "x", "y", "y"])
    test = Part(["a", "b", "c", "a"], ["x", "x", "y", "z"])
    context = Context((train, None), (test, None), False, ("a", "b", "c"))
    selected = left_out.select(context, "x")
    assert selected.rows.tolist() == [0] and selected.targets is None and selected.classes == ("a", "b", "c")
    assert left_out.select(context, "y") is None  # no other source has c


def test_left_out_findings_are_present_and_absent_in_other_sources():
    """In the other source, the first finding is present and absent, the second always present, the third uncertain."""
    train = Part([""] * 4, ["x", "y", "y", "y"], [[1, 0, 1], [1, 1, -1], [0, 1, -1], [NAN, 1, NAN]])
    test = Part([""] * 3, ["x", "x", "y"], [[1, 0, 1], [-1, 1, 0], [0, 0, 0]])
    context = Context((train, None), (test, None), True, ("a", "b", "c"))
    selected = left_out.select(context, "x")
    assert selected.rows.tolist() == [0]  # the second radiograph has no known truth of a
    np.testing.assert_array_equal(selected.targets, [[1, NAN, NAN]])
    assert selected.classes == ("a",)
    assert left_out.select(context, "y") is None  # x has one radiograph, with one value of each
