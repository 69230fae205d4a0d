"""The folder of a data set: checks that it is safe to write to, and removes only files that `data_prep` wrote."""

import re
import shutil
from pathlib import Path

from cxrjax.io.prepared import COMPLETE_MARKER
from data_prep.record import PreparationError

_OURS = re.compile(
    r"(dataset_info|features|report)\.json|splits\.csv|card"  # a complete data set
    r"|[a-z0-9_]+-\w+\.array_record-\d+-of-\d+"
    r"|\w+-\d+(\.order|\.json)?"  # shards that are being written, see `beam_writer`
)
_CARD = re.compile(r"\.?(card\.json|card\.md|sheet\.png)(\.part)?")


def check_output(folder: Path, root: Path | None) -> None:
    """Reject a folder in which a preparation would damage other files.

    Args:
        folder: OUT/NAME/VERSION.
        root: folder of upstream's files if the user named it.

    Raises:
        PreparationError: it is inside the folder of upstream's files, contains it, or holds files that `data_prep` did
            not write.
    """
    if root:
        output = folder.resolve()
        upstream = root.resolve()
        if output.is_relative_to(upstream) or upstream.is_relative_to(output):
            raise PreparationError(
                f"{folder}: lies in the folder that is read, {root}, and would be read as part of it; use another --out"
            )
    for existing in _list_existing(folder):
        if foreign := _find_foreign(existing):
            raise PreparationError(
                f"{existing}: holds {foreign}, which data_prep did not write; remove it, or use another --out or --name"
            )


def remove_incomplete(folder: Path) -> None:
    """Remove a data set and the remains of interrupted preparations, beginning with the file that marks it complete."""
    (folder / COMPLETE_MARKER).unlink(missing_ok=True)
    for existing in _list_existing(folder):
        shutil.rmtree(existing)


def _list_existing(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parent.glob(f"incomplete.*_{folder.name}")) if path.exists()]


def _find_foreign(folder: Path) -> str:
    """Return the name of a file that `data_prep` does not write, or ""."""
    if not folder.is_dir() or folder.is_symlink():
        return "a link or a file"
    for path in sorted(folder.iterdir()):
        if not _OURS.fullmatch(path.name) or path.is_dir() != (path.name == "card"):
            return path.name
        if path.name == "card":
            for file in path.iterdir():
                if not _CARD.fullmatch(file.name):
                    return f"card/{file.name}"
    return ""
