"""What a source of radiographs must provide; each is a folder of this package whose `source.py` names it SOURCE."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from typing import Any, NamedTuple

import data_prep
from data_prep.example import Example


class CannotPrepare(Exception):
    """A request that cannot be met; the message is one sentence that names what and why."""


class BadRow(Exception):
    """One radiograph that cannot be taken; the message is the reason without its name."""


class Row(NamedTuple):
    """One radiograph to come: enough to plan by, before its file is opened."""

    id: str
    patient_id: str  # "" where not known
    given: Any  # what the source needs to read it


Plan = dict[str, list[Row]]  # split name -> its radiographs, in the order they are stored


class Source(ABC):
    """A collection of radiographs, made or found."""

    name: str  # of the source, and of its data set unless another is asked for
    about: str  # one line
    citation: str = ""

    @abstractmethod
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the source's own options."""

    @abstractmethod
    def plan(self, options: Namespace) -> Plan:
        """Decides which radiographs are in which split.

        Raises:
            CannotPrepare: what was asked for is missing or makes no sense.
        """

    @abstractmethod
    def settings(self, options: Namespace) -> dict[str, Any]:
        """What makes two preparations equal (JSON values): equal settings, equal data set."""

    @abstractmethod
    def read(self, row: Row, options: Namespace) -> Example:
        """Reads, or makes, one radiograph.

        Raises:
            BadRow: it is missing, unreadable, or at odds with its mask.
        """

    def run(self, options: Namespace) -> str | None:
        """Does what `options` ask for in place of a data set; returns a line about it, or None if there is nothing."""
        return None


def find_sources() -> dict[str, Source]:
    """Every source by its name: one a folder of this package."""
    folders = sorted(module.name for module in pkgutil.iter_modules(data_prep.__path__) if module.ispkg)
    sources = [importlib.import_module(f"data_prep.{folder}.source").SOURCE for folder in folders]
    return {source.name: source for source in sources}
