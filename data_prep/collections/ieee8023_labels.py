"""The `metadata.csv` of ieee8023/covid-chestxray-dataset, a row an image; agchung's collections have its form."""

import re

from data_prep.example import UNKNOWN

METADATA = "metadata.csv"

_NORMAL = "no finding"
_LABELS = {  # label -> the words that make it so; the first label that has one of a finding's words holds
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
    """Why an image is not a frontal radiograph; "" if it is one.

    Args:
        modality: "X-ray", "CT".
        view: "PA", "AP", "AP Supine", "AP erect", "L", "Axial", "Coronal", "?" or "".
        needs_view: whether an image of no stated view is refused.
    """
    if modality.lower() != "x-ray":
        return f"{modality}, not a radiograph" if modality else "modality not stated"
    if view in ("", "?"):
        return "view not stated" if needs_view else ""
    if view.split()[0].upper() in ("PA", "AP"):
        return ""
    return "lateral view" if view.lower() in ("l", "lateral") else f"{view.lower()} view"


def map_label(finding: str) -> str:
    """The label of a finding; "" where none is stated.

    Args:
        finding: words ("COVID-19, ARDS", "Mycoplasma Bacterial Pneumonia") in older versions of upstream's file, a path
            ("Pneumonia/Viral/COVID-19") in newer ones.

    Returns:
        Of `example.LABELS`, "fungal", or the most exact word of the first finding: "pneumonia", "lipoid", "ards".
    """
    finding = finding.strip().lower()
    if finding in _NOT_STATED:
        return ""
    if finding == _NORMAL:
        return "normal"
    words = set(re.split(r"[/,\s]+", finding))
    for label, telling in _LABELS.items():
        if words & telling:
            return label
    return finding.split(",")[0].split("/")[-1].strip()


def read_age(text: str) -> float:
    """Years; NaN where it is not a plain number ("50+", "mid 50s", "")."""
    try:
        return float(text)
    except ValueError:
        return UNKNOWN
