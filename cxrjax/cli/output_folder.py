"""The folder that a prediction writes to. Nothing in it is replaced or removed but what an earlier prediction wrote."""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from cxrjax.cli.picture_names import candidates, plan_pictures
from cxrjax.io import csv_text
from cxrjax.io.files import Listing, SkippedFile
from cxrjax.runtime import atomic_files, former_names
from cxrjax.runtime.ledger import Ledger

TABLE, SKIPPED_FILES, RECORD, PARTIAL = NAMES = (
    "predictions.csv", "skipped_files.csv", "predictions_files.json", "predictions.partial",
)  # fmt: skip
_OF_THE_WHOLE_FOLDER = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


class Output:
    """The pictures and tables of a prediction."""

    def __init__(self, folder: Path, paths: Sequence[str]):
        """Look at what is there; write nothing.

        Args:
            folder: of the output, absent or with files of any kind.
            paths: of the radiographs, relative to the input.

        Raises:
            ValueError: it is no folder, cannot be written to, or has a file that is in the way.
        """
        self._folder = folder
        existing = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
        if not existing.is_dir():
            raise ValueError(f"{existing}: is not a folder, so nothing can be written to {folder}; name another folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ValueError(f"{existing}: may not be written to; name another folder")
        self._ledger = Ledger(folder, RECORD, folder / PARTIAL)
        for name in (TABLE, SKIPPED_FILES):
            self._check(name)
        self._names = plan_pictures(paths, NAMES)
        self._planned = set(self._names.values())

    def draw(self, path: str, draw: Callable[[Path], None]) -> str:
        """Write the picture of a radiograph, replacing that of an earlier prediction.

        Args:
            path: of the radiograph.
            draw: writes a picture to a path.

        Returns:
            The name of the picture in the folder: that of `plan_pictures`, or another where something is in its way.

        Raises:
            OSError: it cannot be written.
        """
        begun = self._folder / PARTIAL / f"picture-{secrets.token_hex(8)}.png"
        failure: OSError | None = None
        try:
            draw(begun)
            for name in self._list_candidates(path):
                if not self._ledger.is_free(name):
                    continue
                try:
                    self._ledger.place(begun, name)
                    return name
                except OSError as error:  # as that a name is too long, which another is not
                    if concerns_all(error):
                        raise
                    failure = error
            raise failure or FileExistsError(errno.EEXIST, "every name for it is taken")
        finally:
            begun.unlink(missing_ok=True)

    def remove_picture(self, path: str) -> None:
        """Remove the figure that an earlier prediction wrote for a radiograph."""
        for name in self._list_candidates(path):
            if not os.path.lexists(self._folder / name):
                break
            self._ledger.remove(name)

    def write_table(self, name: str, write: Callable[[Path], None]) -> None:
        """Write TABLE or SKIPPED_FILES, replacing that of an earlier prediction.

        Raises:
            ValueError: another file is in the way.
            OSError: it cannot be written.
        """
        self._check(name)
        begun = self._folder / PARTIAL / f"table-{secrets.token_hex(8)}.tmp"
        try:
            write(begun)
            self._ledger.place(begun, name)
        finally:
            begun.unlink(missing_ok=True)

    def write_skipped_files(self, root: Path, skipped_files: Iterable[SkippedFile]) -> None:
        """Write SKIPPED_FILES, one row per file; without any, that of an earlier prediction is removed."""
        rows = [(str(each.path.relative_to(root)), each.reason) for each in skipped_files]
        if rows:
            content = csv_text.encode_rows([("path", "reason"), *rows])
            self.write_table(SKIPPED_FILES, lambda path: atomic_files.atomic_write(path, content))
        else:
            self._ledger.remove(SKIPPED_FILES)
        for name in former_names.formerly(SKIPPED_FILES):
            self._ledger.remove(name)

    def save_record(self) -> None:
        """Write down what is there, so that the next prediction may replace it."""
        self._ledger.save()

    def _list_candidates(self, path: str) -> Iterator[str]:
        planned = self._names[path]
        return (name for name in candidates(planned) if name == planned or name not in self._planned)

    def _check(self, name: str) -> None:
        if not self._ledger.is_free(name):
            raise ValueError(
                f"{self._folder / name}: was not written by a prediction, or was changed since; name another folder, "
                "or move the file away"
            )


def concerns_all(error: OSError) -> bool:
    """Return whether an error is not of one file, but of all that is written, as a full disk is."""
    return error.errno in _OF_THE_WHOLE_FOLDER


def leave_out_pictures(listing: Listing) -> Listing:
    """Return a listing in which the pictures that earlier predictions drew, and have recorded, are passed over."""
    own = set()
    for folder in listing.folders:
        if os.path.lexists(folder / RECORD):
            with contextlib.suppress(ValueError, OSError):  # a file of the user's that has this name
                ledger = Ledger(folder, RECORD, folder / PARTIAL)
                inside = (path for path in listing.radiographs if path.is_relative_to(folder))
                own |= {path for path in inside if ledger.owns(str(path.relative_to(folder)))}
    skipped_files = [SkippedFile(path, "a picture of an earlier prediction") for path in own]
    radiographs = [path for path in listing.radiographs if path not in own]
    return listing._replace(radiographs=radiographs, skipped_files=sorted([*listing.skipped_files, *skipped_files]))


def refuse_overlap(source: Path, output: Path, listing: Listing) -> None:
    """Refuse an output folder that is the input folder, lies in it or holds it, by whatever names.

    The input folder of a single file is the one it lies in; an output folder in that is allowed.

    Args:
        source: the input, a file or a folder that is there.
        output: the output folder, which may be absent.
        listing: of the input, of which some may be in linked folders.

    Raises:
        ValueError: the output overlaps the input.
    """
    output_parents = [_identify(each) for each in _existing_parents(output)]
    if not output_parents:
        return
    root = source if source.is_dir() else source.parent
    exists = output.exists()
    if exists and _identify(output) in {_identify(each) for each in _existing_parents(root)}:
        raise ValueError(f"{output}: is the folder of the input, {source}, or holds it; name another --output")
    if not source.is_dir():
        return
    inside = set(output_parents) & {_identify(folder) for folder in listing.folders if folder.is_dir()}
    if inside:
        raise ValueError(f"{output}: lies in the input, {source}; name another --output")


def _existing_parents(path: Path) -> list[Path]:
    """Return a path and the folders that it lies in, without links and as far as they exist."""
    resolved = Path(os.path.realpath(path))  # which takes links that lead in a circle as they are
    return [each for each in (resolved, *resolved.parents) if each.exists()]


def _identify(path: Path) -> tuple[int, int]:
    """Return what tells a folder from all others, whatever it is called."""
    status = path.stat()
    return status.st_dev, status.st_ino
