"""What the cells of a table mean, whoever wrote it."""

import re

_BLANK = frozenset(("", "nan", "-nan", "none", "null", "<na>", "nat"))
_MISSING = _BLANK | {
    *("na", "n/a", "n.a.", "#n/a", "#na", "#n/a n/a", "#value!", "#ref!", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
    *("-1", "-1.0", "not available", "missing"),
}
_SPLITS = {
    "train": ("train", "training", "trn", "tr"),
    "val": ("val", "valid", "validation", "validate", "dev", "development", "tuning", "va"),
    "test": ("test", "testing", "holdout", "heldout", "tst", "te", "ts"),
}
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}
_OF_SETS = r"(?:set|split|data|dataset|images?|imgs?|folder|subset|partition)"
# Words beside the split in the name of a folder of images.
_OF_FOLDERS = frozenset(("cxr", "cxrs", "chest", "xray", "xrays", "radiographs", "stage", "png", "jpg", "dicom", "dcm"))
_FOLD = re.compile(r"(?:cv|k|split|data)*folds?0*(\d+)")
# Words that stand for no patient in particular, without the signs in and around them.
_NOBODY = frozenset(
    """
    anon anonym anonymized anonymised anonymous anonymouspatient anonymizedpatient anonymisedpatient default
    deidentified deidentifiedpatient deleted dummy empty id na nan noid noname nopatientid none null notavailable
    notspecified patient patientid patientname phantom pseudonym redacted removed test testpatient undefined unknown
    unknownpatient unknownunknown unnamed unspecified missing blank
    """.split()  # noqa: SIM905 -- one word per value, many to a line
)


def is_blank(text: str) -> bool:
    """Whether nothing is in a cell, as spreadsheets and pandas write it."""
    return text.strip().lower() in _BLANK


def is_missing(text: str) -> bool:
    """Whether a cell says that something is not known: blank, signs alone, or -1 and the like in place of a label."""
    return text.strip().lower() in _MISSING or not re.search(r"[^\W_]|\+", text)


def is_nobody(text: str) -> bool:
    """Return whether an identifier stands for no patient in particular, as "unknown" or "ANONYMOUS^PATIENT"."""
    return _squash(text) in _NOBODY


def normalize_number(text: str) -> str:
    """Return 12 for 12.0, as pandas writes whole numbers in a column with holes; other text as it is."""
    return re.sub(r"^([+-]?\d+)[.,]0+$", r"\1", text)


def read_patient(text: str) -> str:
    """A patient's identifier, see `read_number`; "" where it is not known."""
    text = text.strip()
    return "" if is_missing(text) or is_nobody(text) else normalize_number(text)


def read_split(text: str) -> str:
    """The name of a split; "train", "val" and "test" in one spelling, "" where it is not known."""
    text = text.strip()
    return "" if is_missing(text) else _name_split(text) or text


def split_of_folder(name: str) -> str:
    """Return the split that a folder is called by; "" if by none.

    "Training", "val_set", "test images", "01_train" and "stage_2_train_images" are splits, and "Fold 1" is fold1.
    """
    if fold := _FOLD.fullmatch(_squash(name)):
        return f"fold{fold[1]}"
    words = [word for word in _part_words(name) if word not in _OF_FOLDERS]
    return _name_split("".join(words))


def splits_in_folder(name: str) -> set[str]:
    """Return the splits that the name of a folder mentions beside other words, as "train_NORMAL" does."""
    return {_SPLIT_OF[word] for word in _part_words(name) if len(word) > 2 and word in _SPLIT_OF}


def _name_split(text: str) -> str:
    word = _squash(text)
    return _SPLIT_OF.get(word) or _SPLIT_OF.get(re.sub(f"^{_OF_SETS}*|{_OF_SETS}*$", "", word), "")


def _part_words(name: str) -> list[str]:
    """Return the words of a name in lower case, without numbers; "trainNORMAL" has two."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", parted.lower())


def _squash(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())
