"""Radiographs of a source left out: those whose label or findings other sources teach."""

from typing import NamedTuple

import numpy as np

from cxrjax.audit import left_out

NAN = np.nan


class Part(NamedTuple):
    """What is needed of a batch."""

    labels: list
    sources: list
    values: list = []  # noqa: RUF012  truth of the findings

    def __len__(self):
        return len(self.labels)


class Context(NamedTuple):
    """What is needed of an audit."""

    probe_train: tuple
    probe_test: tuple
    is_multi_label: bool
    classes: tuple

    def targets(self, part):
        return np.array(part.values, float)


def test_labels_that_another_source_has():
    train = Part(["a", "b", "a", "c"], ["x", "x", "y", "y"])
    test = Part(["a", "b", "c", "a"], ["x", "x", "y", "z"])
    context = Context((train, None), (test, None), False, ("a", "b", "c"))
    selected = left_out.select(context, "x")
    assert selected.rows.tolist() == [0] and selected.targets is None and selected.classes == ("a", "b", "c")
    assert left_out.select(context, "y") is None  # c is nowhere else


def test_findings_that_another_source_has_both_with_and_without():
    """Elsewhere the first finding is both, the second always present, the third uncertain."""
    train = Part([""] * 4, ["x", "y", "y", "y"], [[1, 0, 1], [1, 1, -1], [0, 1, -1], [NAN, 1, NAN]])
    test = Part([""] * 3, ["x", "x", "y"], [[1, 0, 1], [-1, 1, 0], [0, 0, 0]])
    context = Context((train, None), (test, None), True, ("a", "b", "c"))
    selected = left_out.select(context, "x")
    assert selected.rows.tolist() == [0]  # the second radiograph has no known truth of a
    np.testing.assert_array_equal(selected.targets, [[1, NAN, NAN]])
    assert selected.classes == ("a",)
    assert left_out.select(context, "y") is None  # x has one radiograph, with one value of each
