"""Paths in upstream's tables, which may be absolute, of Windows, or relative to another folder."""

from collections.abc import Sequence


def relative_to(text: str, folders: Sequence[str]) -> str:
    """Return a path from one of some folders on, such as "train/a.jpg" of "/data/CheXpert-v1.0/train/a.jpg".

    Args:
        text: path with slashes or backslashes.
        folders: names of folders, of which the last in the path counts.

    Returns:
        The part with slashes; "" if the path has none of the folders.
    """
    parts = text.replace("\\", "/").split("/")
    starts = [number for number, part in enumerate(parts[:-1]) if part in folders]
    return "/".join(parts[starts[-1] :]) if starts else ""


def file_name(text: str) -> str:
    """Return the last part of a path with slashes or backslashes."""
    return text.replace("\\", "/").rpartition("/")[2]
