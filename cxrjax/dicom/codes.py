"""Coded concepts of the results: SNOMED CT where it has them, otherwise a private scheme of this software."""

import hashlib

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept

PRIVATE = "99CXRJAX"
_MAX_MEANING = 64  # characters of a code meaning (LO)

ANATOMICAL_STRUCTURE = CodedConcept("123037004", "SCT", "Anatomical Structure")
HEART = CodedConcept("80891009", "SCT", "Heart")
LEFT_LUNG = CodedConcept("44029006", "SCT", "Left lung")
RIGHT_LUNG = CodedConcept("3341006", "SCT", "Right lung")
BOTH_LUNGS = CodedConcept("74101002", "SCT", "Both lungs")
CHEST_RADIOGRAPHY = CodedConcept("399208008", "SCT", "Plain chest X-ray")
YES = CodedConcept("373066001", "SCT", "Yes")
NO = CodedConcept("373067005", "SCT", "No")
AREA = CodedConcept("42798000", "SCT", "Area")
COMMENT = CodedConcept("121106", "DCM", "Comment")
SQUARE_MILLIMETER = CodedConcept("mm2", "UCUM", "square millimeter")
NO_UNITS = CodedConcept("1", "UCUM", "no units")
PATCHES = CodedConcept("{patches}", "UCUM", "patches")


def private(value: str, meaning: str) -> CodedConcept:
    """Return a concept of the private scheme; the value has at most 16 characters."""
    return CodedConcept(value, PRIVATE, meaning)


CARDIOTHORACIC_RATIO = private("ctr", "Cardiothoracic ratio")
LUNG_CONFIDENCE = private("lung_confidence", "Mean lung probability inside the lung mask")
LABEL = private("label", "Label by the votes of patches")
NO_LABEL = private("no_label", "No label")
DECISION = private("decision", "Decision by the confidence of the label")
PREDICTED = private("predicted", "Predicted, by its threshold or the votes of patches")
THRESHOLD = private("threshold", "Probability from which on it is predicted")
NUM_PATCHES = private("num_patches", "Patches that voted")
VOTES = private("votes", "Patches that vote for it")
PROBABILITY = private("probability", "Mean probability over the patches")
CONFIDENCE = private("confidence", "Probability of the label")
OUT_OF_DISTRIBUTION = private("ood", "Unlike the training radiographs")


def of_class(name: str) -> CodedConcept:
    """Return the concept of a class of the model; its value is derived from the name."""
    return private(f"class_{hashlib.sha256(name.encode()).hexdigest()[:10]}", clean(name)[:_MAX_MEANING])


def clean(text: str) -> str:
    """Return a text without control characters and without the backslash, which separates values in DICOM."""
    return "".join(letter if letter.isprintable() and letter != "\\" else " " for letter in text).strip() or "-"


def schemes() -> list[CodingSchemeIdentificationItem]:
    """Return the identification of the private scheme."""
    return [
        CodingSchemeIdentificationItem(
            designator=PRIVATE, name="Concepts of cxrjax", responsible_organization="cxrjax authors"
        )
    ]
