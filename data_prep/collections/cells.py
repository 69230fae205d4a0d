"""Interpret the cells of a table: missing values, patients, and the names of splits."""

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
_SET_WORDS = r"(?:set|split|data|dataset|images?|imgs?|folder|subset|partition)"
# Words besides the split in the name of a folder of images.
_FOLDER_WORDS = frozenset(
    ("cxr", "cxrs", "chest", "xray", "xrays", "radiographs", "stage", "png", "jpg", "dicom", "dcm")
)
_FOLD = re.compile(r"(?:cv|k|split|data)*folds?0*(\d+)")
# Placeholders for a patient, without punctuation.
_PLACEHOLDERS = frozenset(
    """
    anon anonym anonymized anonymised anonymous anonymouspatient anonymizedpatient anonymisedpatient default
    deidentified deidentifiedpatient deleted dummy empty id na nan noid noname nopatientid none null notavailable
    notspecified patient patientid patientname phantom pseudonym redacted removed test testpatient undefined unknown
    unknownpatient unknownunknown unnamed unspecified missing blank
    """.split()  # noqa: SIM905 -- one word per value, many to a line
)


def is_blank(text: str) -> bool:
    """Return whether a cell is empty, as spreadsheets and pandas write it."""
    return text.strip().lower() in _BLANK


def is_missing(text: str) -> bool:
    """Return whether a cell means unknown: it is blank, has only punctuation, or has -1 or similar as its label."""
    return text.strip().lower() in _MISSING or not re.search(r"[^\W_]|\+", text)


def is_placeholder(text: str) -> bool:
    """Return whether an identifier is a placeholder for a patient, such as "unknown" or "ANONYMOUS^PATIENT"."""
    return _normalize(text) in _PLACEHOLDERS


def normalize_number(text: str) -> str:
    """Return 12 for 12.0, as pandas writes integers in a column with missing values; other text unchanged."""
    return re.sub(r"^([+-]?\d+)[.,]0+$", r"\1", text)


def read_patient(text: str) -> str:
    """Return a patient's identifier, see `normalize_number`; "" if it is unknown."""
    text = text.strip()
    return "" if is_missing(text) or is_placeholder(text) else normalize_number(text)


def read_split(text: str) -> str:
    """Return the name of a split, with one spelling of "train", "val" and "test"; "" if it is unknown."""
    text = text.strip()
    return "" if is_missing(text) else _find_split(text) or text


def split_of_folder(name: str) -> str:
    """Return the split that the name of a folder means; "" if none.

    "Training", "val_set", "test images", "01_train" and "stage_2_train_images" are splits, and "Fold 1" is fold1.
    """
    if fold := _FOLD.fullmatch(_normalize(name)):
        return f"fold{fold[1]}"
    words = [word for word in _separate_words(name) if word not in _FOLDER_WORDS]
    return _find_split("".join(words))


def splits_in_folder(name: str) -> set[str]:
    """Return the splits that the name of a folder mentions besides other words, as "train_NORMAL" does."""
    return {_SPLIT_OF[word] for word in _separate_words(name) if len(word) > 2 and word in _SPLIT_OF}


def _find_split(text: str) -> str:
    word = _normalize(text)
    return _SPLIT_OF.get(word) or _SPLIT_OF.get(re.sub(f"^{_SET_WORDS}*|{_SET_WORDS}*$", "", word), "")


def _separate_words(name: str) -> list[str]:
    """Return the words of a name in lower case, without numbers; "trainNORMAL" has two."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", separated.lower())


def _normalize(text: str) -> str:
    """Return the letters and digits of a text in lower case."""
    return re.sub(r"[\W_]+", "", text.lower())
