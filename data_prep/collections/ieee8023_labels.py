"""Interpret the `metadata.csv` of ieee8023/covid-chestxray-dataset, whose format agchung's collections share."""

import re

from data_prep.example import UNKNOWN

METADATA = "metadata.csv"

_NORMAL = "no finding"
_LABELS = {  # label -> words that imply it; the first label that shares a word with the finding applies
    "covid19": {"covid-19"},
    "tuberculosis": {"tuberculosis"},
    "viral": {"viral", "sars", "mers", "mers-cov", "influenza", "h1n1", "varicella", "herpes"},
    "bacterial": {
        *("bacterial", "streptococcus", "klebsiella", "mycoplasma", "legionella", "e.coli", "chlamydophila"),
        *("nocardia", "staphylococcus", "mrsa"),
    },
    "fungal": {"fungal", "pneumocystis", "aspergillosis"},
}
_NOT_STATED = {"", "todo", "unknown"}


def rejection_reason(modality: str, view: str, *, needs_view: bool = True) -> str:
    """Return why an image is not a frontal radiograph; "" if it is one.

    Args:
        modality: "X-ray", "CT".
        view: "PA", "AP", "AP Supine", "AP erect", "L", "Axial", "Coronal", "?" or "".
        needs_view: whether to reject an image without a stated view.
    """
    if modality.lower() != "x-ray":
        return f"{modality}, not a radiograph" if modality else "modality not stated"
    if view in ("", "?"):
        return "view not stated" if needs_view else ""
    if view.split()[0].upper() in ("PA", "AP"):
        return ""
    return "lateral view" if view.lower() in ("l", "lateral") else f"{view.lower()} view"


def map_label(finding: str) -> str:
    """Return the label of a finding; "" if none is stated.

    Args:
        finding: words ("COVID-19, ARDS", "Mycoplasma Bacterial Pneumonia") in older versions of upstream's file, a path
            ("Pneumonia/Viral/COVID-19") in newer ones.

    Returns:
        One of `cxrjax.config.LABELS`, "fungal", or the most specific word of the first finding: "pneumonia", "lipoid",
        "ards".
    """
    finding = finding.strip().lower()
    if finding in _NOT_STATED:
        return ""
    if finding == _NORMAL:
        return "normal"
    words = set(re.split(r"[/,\s]+", finding))
    for label, label_words in _LABELS.items():
        if words & label_words:
            return label
    return finding.split(",")[0].split("/")[-1].strip()


def read_age(text: str) -> float:
    """Parse years; NaN if the text is not a number ("50+", "mid 50s", "")."""
    try:
        return float(text)
    except ValueError:
        return UNKNOWN
