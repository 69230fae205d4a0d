"""Fixtures of the served model."""

import pytest

import cxrjax as cx
from cxrjax.serve import app, card


@pytest.fixture(scope="module")
def model(phantom_runs, small_segmenter):
    """The classifier of the phantom runs."""
    return cx.load(phantom_runs / "classify")


@pytest.fixture(scope="module")
def service(model):
    """The endpoints of the classifier."""
    service = app.Service(model, card.describe(model, "runs/classify"))
    yield service
    service.close()
