"""The output folder of a prediction, in which only files that an earlier prediction wrote are replaced or removed."""

import contextlib
import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cxrjax.cli.output_names import OutputNames
from cxrjax.io import csv_text
from cxrjax.io.files import Listing, SkippedFile
from cxrjax.runtime import atomic_files, former_names
from cxrjax.runtime.ledger import Ledger

TABLE = "predictions.csv"
SKIPPED_FILES = "skipped_files.csv"
RECORD = "predictions_files.json"
PARTIAL = "predictions.partial"
NAMES = (TABLE, SKIPPED_FILES, RECORD, PARTIAL)
_ERRORS_OF_ALL_FILES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


class OutputFolder:
    """The files and tables of a prediction."""

    def __init__(self, folder: Path, paths: Sequence[str]):
        """Check the folder; nothing is written yet.

        Args:
            folder: the output folder, absent or with any files.
            paths: paths of the radiographs, relative to the input.

        Raises:
            ValueError: it is not a folder, is not writable, or has a file with the name of a table.
        """
        self._folder = folder
        existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
        if not existing.is_dir():
            raise ValueError(f"{existing}: is not a folder, so nothing can be written to {folder}; name another folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ValueError(f"{existing}: may not be written to; name another folder")
        self._ledger = Ledger(folder, RECORD, folder / PARTIAL)
        for name in (TABLE, SKIPPED_FILES):
            self._check(name)
        self._names = OutputNames(paths, NAMES)
        self._lock = threading.Lock()

    def write(self, path: str, suffix: str, content: bytes) -> str:
        """Write a file of a radiograph, replacing that of an earlier prediction. Threads may call it.

        Args:
            path: path of the radiograph, relative to the input.
            suffix: of `saved_files.SUFFIXES`.
            content: of the file.

        Returns:
            The name of the file in the folder: PATH and the suffix, or another if a file of the user has it.

        Raises:
            OSError: it cannot be written.
        """
        temporary = self._folder / PARTIAL / f"file-{secrets.token_hex(8)}.tmp"
        failure: OSError | None = None
        try:
            temporary.write_bytes(content)
            with self._lock:
                for name in self._names.candidates(path, suffix):
                    if not self._ledger.is_free(name):
                        continue
                    try:
                        self._ledger.place(temporary, name)
                        return name
                    except OSError as error:  # for example a name that is too long, which another may not be
                        if concerns_all(error):
                            raise
                        failure = error
            raise failure or FileExistsError(errno.EEXIST, "every name for it is taken")
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, path: str, suffixes: Iterable[str]) -> None:
        """Remove the files that an earlier prediction wrote for a radiograph. Threads may call it.

        Args:
            path: path of the radiograph, relative to the input.
            suffixes: of `saved_files.SUFFIXES`.
        """
        with self._lock:
            for suffix in suffixes:
                for name in self._names.candidates(path, suffix):
                    if not os.path.lexists(self._folder / name):
                        break
                    self._ledger.remove(name)

    def write_table(self, name: str, write: Callable[[Path], None]) -> None:
        """Write TABLE or SKIPPED_FILES, replacing that of an earlier prediction.

        Raises:
            ValueError: a file of the user has this name.
            OSError: it cannot be written.
        """
        self._check(name)
        temporary = self._folder / PARTIAL / f"table-{secrets.token_hex(8)}.tmp"
        try:
            write(temporary)
            self._ledger.place(temporary, name)
        finally:
            temporary.unlink(missing_ok=True)

    def write_skipped_files(self, root: Path, skipped_files: Iterable[SkippedFile]) -> None:
        """Write SKIPPED_FILES, one row per file, or remove that of an earlier prediction if no file was skipped."""
        rows = [(str(file.path.relative_to(root)), file.reason) for file in skipped_files]
        if rows:
            content = csv_text.encode_rows([("path", "reason"), *rows])
            self.write_table(SKIPPED_FILES, lambda path: atomic_files.atomic_write(path, content))
        else:
            self._ledger.remove(SKIPPED_FILES)
        for name in former_names.formerly(SKIPPED_FILES):
            self._ledger.remove(name)

    def save_record(self) -> None:
        """Record the written files, so that a later prediction may replace them."""
        self._ledger.save()

    def _check(self, name: str) -> None:
        if not self._ledger.is_free(name):
            raise ValueError(
                f"{self._folder / name}: was not written by a prediction, or was changed since; name another folder, "
                "or move the file away"
            )


def concerns_all(error: OSError) -> bool:
    """Return whether an error affects all files that are written, such as a full disk, and not one alone."""
    return error.errno in _ERRORS_OF_ALL_FILES


def skip_own_files(listing: Listing) -> Listing:
    """Return a listing in which the files that earlier predictions wrote and recorded are skipped."""
    own = set()
    for folder in listing.folders:
        if os.path.lexists(folder / RECORD):
            with contextlib.suppress(ValueError, OSError):  # a file of the user's that has this name
                ledger = Ledger(folder, RECORD, folder / PARTIAL)
                inside = (path for path in listing.radiographs if path.is_relative_to(folder))
                own |= {path for path in inside if ledger.owns(str(path.relative_to(folder)))}
    skipped_files = [SkippedFile(path, "a file of an earlier prediction") for path in own]
    radiographs = [path for path in listing.radiographs if path not in own]
    return listing._replace(radiographs=radiographs, skipped_files=sorted([*listing.skipped_files, *skipped_files]))


def refuse_overlap(source: Path, output: Path, listing: Listing) -> None:
    """Refuse an output folder that is the input folder, lies in it or contains it, also through links.

    The input folder of a single file is its parent; an output folder inside that is allowed.

    Args:
        source: the input, a file or a folder that exists.
        output: the output folder, which may be absent.
        listing: the files of the input, some of which may be in linked folders.

    Raises:
        ValueError: the output overlaps the input.
    """
    output_parents = [_identify(parent) for parent in _existing_parents(output)]
    if not output_parents:
        return
    root = source if source.is_dir() else source.parent
    exists = output.exists()
    if exists and _identify(output) in {_identify(parent) for parent in _existing_parents(root)}:
        raise ValueError(f"{output}: is the folder of the input, {source}, or holds it; name another --output")
    if not source.is_dir():
        return
    inside = set(output_parents) & {_identify(folder) for folder in listing.folders if folder.is_dir()}
    if inside:
        raise ValueError(f"{output}: lies in the input, {source}; name another --output")


def _existing_parents(path: Path) -> list[Path]:
    """Return those of a path and its parents that exist, with links resolved."""
    resolved = Path(os.path.realpath(path))  # does not fail for links that form a circle
    return [parent for parent in (resolved, *resolved.parents) if parent.exists()]


def _identify(path: Path) -> tuple[int, int]:
    """Return the device and inode, which identify a folder under any name."""
    status = path.stat()
    return status.st_dev, status.st_ino
