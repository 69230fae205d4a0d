"""Where in the user's folder upstream's own layout begins."""

from pathlib import Path

from data_prep.row import CannotPrepare


def locate(root: Path, *names: str) -> Path:
    """The folder that holds all of `names`: `root`, or a folder directly in it, as archives unpack.

    Raises:
        CannotPrepare: neither does.
    """
    for folder in [root, *sorted(root.glob("[!.]*/"))]:
        if all((folder / name).exists() for name in names):
            return folder
    if not root.is_dir():
        raise CannotPrepare(f"{root}: no such folder")
    missing = [name for name in names if not (root / name).exists()]
    raise CannotPrepare(f"{root}: it has no {' and no '.join(missing)}")
