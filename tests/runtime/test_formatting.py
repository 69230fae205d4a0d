"""Numbers agree with their nouns."""

import pytest

from cxrjax.runtime.formatting import describe_counts, format_count, pick_form


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 radiographs are"), (1, "1 radiograph is"), (2, "2 radiographs are")]
)
def test_a_noun_and_its_verb_follow_the_number(number, text):
    assert f"{format_count(number, 'radiograph')} {pick_form(number, 'is', 'are')}" == text


def test_a_plural_that_takes_no_s_is_given():
    assert [format_count(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("n", "patients", "without", "text"),
    [
        (1, 1, 0, "1 radiograph of 1 patient"),
        (3, 1, 0, "3 radiographs of 1 patient"),
        (1, 1, 1, "1 radiograph, patients not known"),
        (5, 5, 4, "1 radiograph of 1 patient, and 4, patients not known"),
    ],
)
def test_radiographs_and_patients_are_counted(n, patients, without, text):
    assert describe_counts({"n": n, "patients": patients, "without_patient": without}) == text
