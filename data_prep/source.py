"""Interface of the sources of radiographs; each is a folder of this package whose `source.py` defines SOURCE."""

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple

import data_prep
from data_prep.example import Example
from data_prep.options import Options, OptionsT
from data_prep.reader import read_example
from data_prep.record import Record, SkippedRecord


class RemoteFile(NamedTuple):
    """A file with a fixed public address."""

    url: str
    sha256: str  # "" if the file may change upstream
    path: str  # relative to the source's folder; an archive is unpacked there


class Source(ABC, Generic[OptionsT]):
    """A collection of radiographs.

    `--list` prints the first six attributes. The files of a source are downloaded from `files` (public addresses) or
    `kaggle` (handle of a data set); if it has neither, the user downloads them as `homepage` says and names their
    folder with --raw_dir.

    Attributes:
        name: name of the source, and by default of its data set.
        description: description in one line.
        homepage: one sentence on where to get the files.
        license: its license or terms of use.
        size: size of the download, as text.
        coverage: number of radiographs upstream, and which of them are used.
        citation: BibTeX.
        files: files to download, in order.
        kaggle: handle of a Kaggle data set, "owner/name".
        split_ratios: default ratios of train, val and test.
        options_type: class of the source's options.
        is_drawn: whether `read` draws the radiograph, by code that may run in several threads at once.
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
    options_type: type[Any] = Options
    is_drawn: bool = False

    def settings(self, options: OptionsT) -> dict[str, Any]:
        """Return the source's own options that affect the data set, as JSON values."""
        return {}

    def default_dir(self, options: OptionsT) -> Path | None:
        """Return the folder of its files if it is known without --raw_dir and without a download."""
        return None

    def has_findings(self, options: OptionsT) -> bool:
        """Return whether its records have `findings`: several findings per radiograph in place of one label."""
        return False

    @abstractmethod
    def records(self, root: Path, options: OptionsT) -> Iterator[Record | SkippedRecord]:
        """List every radiograph of upstream in a fixed order, without opening the files.

        Args:
            root: folder of upstream's files, in upstream's own layout.
            options: options of the preparation.

        Raises:
            PreparationError: a folder or a metadata file of upstream's layout is missing.
        """

    def read(self, record: Record, options: OptionsT) -> Example:
        """Read or draw one radiograph.

        Raises:
            RecordError: it is missing, unreadable, or does not fit its mask.
        """
        return read_example(record)

    def remarks(self, records: Sequence[Record], root: Path, options: OptionsT) -> list[str]:
        """Return sentences about how upstream's files were interpreted, each without a full stop."""
        return []

    def splits_table(self) -> Path | None:
        """Return the CSV that fixes the splits of its patients, `splits.csv` beside its module; None if missing."""
        table = Path(inspect.getfile(type(self))).with_name("splits.csv")
        return table if table.is_file() else None

    def run_extra(self, options: OptionsT) -> str | None:
        """Run a command other than the preparation if `options` request one; return a line about it, else None."""
        return None


def find_sources() -> dict[str, Source[Any]]:
    """Return every source by its name."""
    folders = sorted(path.parent.name for path in Path(data_prep.__file__).parent.glob("*/source.py"))
    sources = [importlib.import_module(f"data_prep.{folder}.source").SOURCE for folder in folders]
    return {source.name: source for source in sources}
