"""Fixtures that list and read all radiographs of a source without preparing a data set, and a prepared one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from data_prep.__main__ import main as prepare
from data_prep.example import Example
from data_prep.record import Record, RecordError
from data_prep.source import find_sources
from tests.helpers import upstream_files


class Survey(NamedTuple):
    """All radiographs of a source, by id."""

    records: dict[str, Record]
    examples: dict[str, Example]  # the readable ones
    skipped: dict[str, str]  # the reasons, before or during reading

    def attribute(self, name: str) -> dict[str, object]:
        """Return id -> attribute of the examples."""
        return {key: getattr(example, name) for key, example in self.examples.items()}


@pytest.fixture(scope="session")
def benchmark(shared, make_once) -> Path:
    """The real radiographs of benchmark.csv, prepared."""
    table = shared / "data" / "benchmark.csv"
    if not table.is_file():
        pytest.skip("the shared data has no benchmark.csv")

    def make(folder: Path) -> None:
        assert prepare(["table", f"--csv={table}", f"--out={folder}", "--duplicates=off"]) == 0

    return make_once("benchmark", make) / "table"


@pytest.fixture(autouse=True)
def _configuration(tmp_path_factory, monkeypatch) -> None:
    """Use a temporary configuration folder, for the secret of the patients' pseudonyms."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture
def survey(tmp_path) -> Callable[..., Survey]:
    """Return `survey(name, root, **options)`, which reads the source's test files if no root is given."""

    def survey(name: str, root: Path | None = None, **values: Any) -> Survey:
        source = find_sources()[name]
        if root is None:
            root = tmp_path / "upstream"
            upstream_files.write(name, root)
        options = source.options_type(**values)
        result = Survey({}, {}, {})
        for record in source.records(root, options):
            if not isinstance(record, Record):
                result.skipped[record.id] = record.reason
                continue
            result.records[record.id] = record
            try:
                result.examples[record.id] = source.read(record, options)
            except RecordError as error:
                result.skipped[record.id] = str(error)
        return result

    return survey
