"""Files that a table names, found however its paths were written: by Windows, or with accents as macOS writes them."""

import unicodedata
from pathlib import Path


def find_file(root: Path, name: str) -> tuple[Path, str]:
    """Finds a file.

    Args:
        root: folder that a relative path starts from.
        name: its path as a table has it.

    Returns:
        The file, and its path with the separators that it was found by; as the table has it where there is no file.
    """
    for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
        for form in ("", "NFC", "NFD"):
            file = root / (unicodedata.normalize(form, spelling) if form else spelling)
            if _is_there(file):
                return file, spelling
    return root / name, name


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # a name that is too long, or no name
        return False
