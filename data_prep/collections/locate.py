"""Locate upstream's files in the user's folder."""

from pathlib import Path

from data_prep.record import PreparationError


def find_root(root: Path, *names: str) -> Path:
    """Return the folder that holds all of `names`: `root`, or a folder directly in it, as archives unpack.

    Raises:
        PreparationError: there is no such folder.
    """
    for folder in [root, *sorted(root.glob("[!.]*/"))]:
        if all((folder / name).exists() for name in names):
            return folder
    if not root.is_dir():
        raise PreparationError(f"{root}: no such folder")
    missing = [name for name in names if not (root / name).exists()]
    raise PreparationError(f"{root}: it has no {' and no '.join(missing)}")
