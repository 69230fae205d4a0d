"""What the cells of a table mean, whoever wrote it."""

import re

_BLANK = frozenset(("", "nan", "none", "null", "<na>", "nat"))
_MISSING = _BLANK | {"na", "n/a", "#n/a", "-1", "-1.0", "?", "-"}
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}


def is_blank(text: str) -> bool:
    """Whether nothing is in a cell, as spreadsheets and pandas write it."""
    return text.strip().lower() in _BLANK


def is_missing(text: str) -> bool:
    """Whether a cell says that something is not known: blank, or -1 and the like in place of a label."""
    return text.strip().lower() in _MISSING


def read_patient(text: str) -> str:
    """A patient's identifier; "" where it is not known. 12.0 is 12: pandas writes numbers so if one is missing."""
    text = text.strip()
    return "" if is_missing(text) else re.sub(r"^(\d+)\.0+$", r"\1", text)


def read_split(text: str) -> str:
    """The name of a split; "train", "val" and "test" in one spelling, "" where it is not known."""
    text = text.strip()
    return "" if is_missing(text) else _SPLIT_OF.get(text.lower(), text)


def split_of_folder(name: str) -> str:
    """The split that a folder is called by, as train, Training, val_set or "test images"; "" if by none."""
    word = re.sub(r"[\W_]+", "", name.lower())
    return _SPLIT_OF.get(re.sub("(set|split|data|images)$", "", word), "")
