"""Looking at a source's whole yield without preparing a data set."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from data_prep.example import Example
from data_prep.record import Record, RecordError
from data_prep.source import find_sources


class Survey(NamedTuple):
    """All of a source, by id."""

    rows: dict[str, Record]
    examples: dict[str, Example]  # those that can be read
    left_out: dict[str, str]  # the reason, before or on reading

    def tell(self, name: str) -> dict[str, object]:
        """Id -> attribute of the examples."""
        return {key: getattr(example, name) for key, example in self.examples.items()}


@pytest.fixture(autouse=True)
def _configuration(tmp_path_factory, monkeypatch) -> None:
    """A folder of the test's own in place of the user's, for the secret that hides patients."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture
def survey(tmp_path) -> Callable[..., Survey]:
    """`survey(name, root, *arguments)`; of the source's dummy data if no root is given."""

    def survey(name: str, root: Path | None = None, *arguments: str) -> Survey:
        source = find_sources()[name]
        if root is None:
            root = tmp_path / "upstream"
            source.dummy()(root)
        parser = ArgumentParser()
        source.add_arguments(parser)
        options = parser.parse_args(arguments)
        found = Survey({}, {}, {})
        for one in source.records(root, options):
            if not isinstance(one, Record):
                found.left_out[one.id] = one.reason
                continue
            found.rows[one.id] = one
            try:
                found.examples[one.id] = source.read(one, options)
            except RecordError as error:
                found.left_out[one.id] = str(error)
        return found

    return survey
