"""The folder that a data set is written to: nothing in it is removed that `data_prep` did not write."""

import re
import shutil
from pathlib import Path

from cxrjax.io.prepared import COMPLETE_MARKER
from data_prep.record import PreparationError

_OURS = re.compile(
    r"(dataset_info|features|report)\.json|splits\.csv|card"  # a whole data set
    r"|[a-z0-9_]+-\w+\.array_record-\d+-of-\d+"
    r"|\w+-\d+(\.order|\.json)?"  # shards under way, see `workers`
)
_CARD = re.compile(r"\.?(card\.json|card\.md|sheet\.png)(\.part)?")


def check_output(folder: Path, root: Path | None) -> None:
    """Refuses a folder in which a preparation would do harm.

    Args:
        folder: OUT/NAME/VERSION.
        root: upstream's files, where the user named their folder.

    Raises:
        PreparationError: it lies among upstream's files, holds them, or holds what `data_prep` did not write.
    """
    if root:
        inside, around = folder.resolve(), root.resolve()
        if inside.is_relative_to(around) or around.is_relative_to(inside):
            raise PreparationError(
                f"{folder}: lies in the folder that is read, {root}, and would be taken for a part of it; give another "
                "--out"
            )
    for remains in _list_remains(folder):
        if strange := _find_strange(remains):
            raise PreparationError(
                f"{remains}: holds {strange}, which data_prep did not write; remove it, or give another --out or --name"
            )


def remove_incomplete(folder: Path) -> None:
    """Removes a data set, or what interrupted ones left; without its last-written file it counts as none."""
    (folder / COMPLETE_MARKER).unlink(missing_ok=True)
    for remains in _list_remains(folder):
        shutil.rmtree(remains)


def _list_remains(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parent.glob(f"incomplete.*_{folder.name}")) if path.exists()]


def _find_strange(folder: Path) -> str:
    """The name of something that `data_prep` does not write, or ""."""
    if not folder.is_dir() or folder.is_symlink():
        return "a link or a file"
    for path in sorted(folder.iterdir()):
        if not _OURS.fullmatch(path.name) or path.is_dir() != (path.name == "card"):
            return path.name
        if path.name == "card" and (other := [one.name for one in path.iterdir() if not _CARD.fullmatch(one.name)]):
            return f"card/{other[0]}"
    return ""
