"""Fixtures that more than one test file uses."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real radiographs and reference outputs: $CXRJAX_SHARED, else ../shared beside the checkout."""
    folder = Path(os.environ.get("CXRJAX_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip("the shared data is absent; set CXRJAX_SHARED to its folder")
    return folder
