"""Find the files of a table, with paths as Windows writes them or accents as macOS encodes them."""

from pathlib import Path
from unicodedata import normalize


def find_file(root: Path, name: str) -> tuple[Path, str]:
    """Find a file.

    Args:
        root: folder that relative paths start from.
        name: its path as the table writes it.

    Returns:
        The file, and its path with the separators that were used to find it; unchanged if there is no such file.
    """
    for path in dict.fromkeys((name, name.replace("\\", "/"))):
        for file in (root / path, root / normalize("NFC", path), root / normalize("NFD", path)):
            if _exists(file):
                return file, path
    return root / name, name


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # the name is too long or not valid
        return False
