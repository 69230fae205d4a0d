"""What a source of radiographs must provide; each is a folder of this package whose `source.py` names it SOURCE."""

import importlib
import importlib.util
import inspect
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import data_prep
from data_prep.example import Example
from data_prep.reader import read_example
from data_prep.record import Record, SkippedRecord


class RemoteFile(NamedTuple):
    """A file with a fixed public address."""

    url: str
    sha256: str  # "" where upstream does not promise the same bytes
    path: str  # where it is put, relative to the source's folder; an archive is unpacked there


class Source(ABC):
    """A collection of radiographs, made or found.

    The first six attributes are what `--list` prints. Where its files come from is one of three: `files` (public
    addresses), `kaggle` (a data set's handle), or neither: the user downloads them, as `where` says, and gives --from.

    Attributes:
        name: of the source, and of its data set unless another is asked for.
        description: one line: what it is.
        homepage: where to get it, one sentence.
        license: its licence or terms of use.
        size: of the download, in words.
        coverage: how many radiographs upstream has, and what of it is taken.
        citation: BibTeX.
        files: to be downloaded, in order.
        kaggle: handle of a Kaggle data set, "owner/name".
        split_ratios: of train, val and test, where the user does not say.
    """

    name: str
    description: str
    homepage: str
    license: str
    size: str
    coverage: str
    citation: str = ""
    files: tuple[RemoteFile, ...] = ()
    kaggle: str = ""
    split_ratios: tuple[float, float, float] = (0.7, 0.1, 0.2)

    def add_arguments(self, parser: ArgumentParser) -> None:  # noqa: B027 (most sources have none)
        """Adds the source's own options."""

    def settings(self, options: Namespace) -> dict[str, Any]:
        """The source's own options that make two preparations differ (JSON values)."""
        return {}

    def default_dir(self, options: Namespace) -> Path | None:
        """Folder of its files where it is known without --from and without a download."""
        return None

    @abstractmethod
    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        """Every radiograph that upstream names, without opening any, in a fixed order.

        Args:
            root: folder of upstream's files, in upstream's own layout.
            options: of the command line.

        Raises:
            PreparationError: what upstream's layout promises is not there (a folder, a metadata file).
        """

    def read(self, row: Record, options: Namespace) -> Example:
        """Reads, or makes, one radiograph.

        Raises:
            RecordError: it is missing, unreadable, or at odds with its mask.
        """
        return read_example(row)

    def remarks(self, rows: Sequence[Record], root: Path, options: Namespace) -> list[str]:
        """What the user should know of how upstream's files were understood, a sentence each without a full stop."""
        return []

    def dummy(self) -> Callable[[Path], None] | None:
        """`write(folder)` of the `dummy.py` beside the source's module: upstream's layout and traps, in the small."""
        package = type(self).__module__.rpartition(".")[0]
        found = importlib.util.find_spec(f"{package}.dummy")
        return importlib.import_module(f"{package}.dummy").write if found else None

    def splits_table(self) -> Path | None:
        """The CSV that fixes its patients' splits, where there is one: `splits.csv` beside its module."""
        table = Path(inspect.getfile(type(self))).with_name("splits.csv")
        return table if table.is_file() else None

    def run_extra(self, options: Namespace) -> str | None:
        """Does what `options` ask for in place of a data set; returns a line about it, or None if there is nothing."""
        return None


def find_sources() -> dict[str, Source]:
    """Every source by its name: one a folder of this package."""
    folders = sorted(path.parent.name for path in Path(data_prep.__file__).parent.glob("*/source.py"))
    sources = [importlib.import_module(f"data_prep.{folder}.source").SOURCE for folder in folders]
    return {source.name: source for source in sources}
