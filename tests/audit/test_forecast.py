"""The forecast of an audit for other hospitals, and its check against external results."""

import pytest

from cxrjax.audit import forecast


def estimate(value, low, high):
    return {"value": value, "interval": [low, high]}


def make_audit(share):
    """Return an audit whose strongest shortcut has this share of the score above chance."""
    shortcut = {
        "name": "source", "title": "source alone", "category": "shortcut", "share": share, "model": "metadata",
        "scores": {"macro_auroc": estimate(0.7, 0.6, 0.8)},
    }  # fmt: skip
    return {
        "experiments": [shortcut], "scores": {"macro_auroc": estimate(0.9, 0.85, 0.95)},
        "chance": {"macro_auroc": 0.5}, "labels": {"normal": 5}, "n": 12,
    }  # fmt: skip


def make_external(**verdicts):
    collections = {name: {"verdict": verdict} for name, verdict in verdicts.items()}
    return {"collections": collections, "within": {"within": estimate(0.72, 0.65, 0.79)}}


FOUND = estimate(0.5, 0.3, 0.7)
NOT_FOUND = estimate(0.05, -0.1, 0.2)


@pytest.mark.parametrize(
    ("share", "verdicts", "outcome"),
    [
        (FOUND, {"north": "falls", "south": "falls"}, forecast.CAME_TRUE),
        (FOUND, {"north": "falls", "south": "holds"}, forecast.IN_PART),
        (FOUND, {"north": "holds", "south": "holds"}, forecast.DID_NOT),
        (FOUND, {"north": "falls", "south": "too few to say"}, forecast.CAME_TRUE),
        (FOUND, {"north": "too few to say"}, ""),
        (NOT_FOUND, {"north": "holds"}, forecast.CAME_TRUE),
        (NOT_FOUND, {"north": "falls"}, forecast.DID_NOT),
        (estimate(0.05, -0.3, 0.4), {"north": "holds"}, ""),  # too few radiographs to rule a shortcut out
        ({"value": 1.07, "interval": [0.22, 7.83], "n": 12}, {"north": "falls"}, ""),  # as wide as nothing can be said
        (None, {"north": "falls"}, ""),
    ],
)
def test_forecast_outcome_from_shortcut_share_and_external_verdicts(share, verdicts, outcome):
    assert forecast.check(make_audit(share), make_external(**verdicts)).outcome == outcome


def test_forecast_sentence_has_the_score_without_the_shortcut():
    sentence = forecast.check(make_audit(FOUND), make_external(north="falls", south="holds")).sentence
    assert sentence == (
        "The audit forecast a fall: the source alone reaches a macro AUROC of 0.70, the network 0.90; this is "
        "50% (30% to 70%) of the score above chance. It came true at north, and not at south. "
        "Without what the shortcut reaches, the AUROC would be 0.70; within a collection it is 0.72 (0.65 to 0.79)."
    )
