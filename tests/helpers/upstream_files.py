"""Small test files of each source in upstream's layout, with its irregularities (`tests/data_prep/fixtures`)."""

import importlib
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "data_prep" / "fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.py"))


def write(name: str, folder: Path) -> None:
    """Write the test files of a source into a folder."""
    importlib.import_module(f"tests.data_prep.fixtures.{name}").write(folder)
