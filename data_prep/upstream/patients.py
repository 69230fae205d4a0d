"""Patients of DICOM files, as pseudonyms that only their owner can compute.

A pseudonym is an HMAC-SHA256 of PatientID and IssuerOfPatientID under a secret of the user's. The same person has the
same pseudonym in all data sets of the user, and nobody without the secret can tell which identifier it stands for, not
even by trying all. The secret is never written into a data set.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from cxrjax.io.dicom_elements import is_dicom, read_header, read_text
from data_prep.row import CannotPrepare, Row

PATIENT, STUDY = "dicom-", "study-"  # what pseudonyms begin with
_LENGTH = 24  # hexadecimal digits: 96 bits, so that two patients do not meet
_PSEUDONYM = re.compile(rf"({PATIENT}|{STUDY})[0-9a-f]{{{_LENGTH}}}")
_TAGS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")
_SECRET_BYTES, _FEWEST_BYTES = 32, 16
# Identifiers that stand for nobody, upper case; so does one of zeros, letters X and signs alone.
_PLACEHOLDERS = frozenset(
    ("ANON", "ANONYM", "ANONYMIZED", "ANONYMISED", "ANONYMOUS", "ANONYMOUS PATIENT", "ANONYMOUSPATIENT", "DEFAULT")
    + ("DEIDENTIFIED", "DE-IDENTIFIED", "DELETED", "DUMMY", "ID", "N/A", "NA", "NAN", "NO ID", "NO NAME", "NOID")
    + ("NOT AVAILABLE", "NONE", "NULL", "PATIENT", "PATIENT ID", "PATIENTID", "REDACTED", "REMOVED", "TEST")
    + ("UNDEFINED", "UNKNOWN", "UNNAMED")
)
_NOBODY = re.compile(r"[0X\W_]*")


def is_pseudonym(patient_id: str, kind: str = "") -> bool:
    """Return whether a patient was named here; with `kind`, whether by `PATIENT` or by `STUDY`."""
    return patient_id.startswith(kind) and _PSEUDONYM.fullmatch(patient_id) is not None


def identify(rows: Sequence[Row], secret_file: str) -> list[Row]:
    """Name the patients of DICOM files for which nothing else names them.

    A file without a usable PatientID gets a pseudonym of its StudyInstanceUID, which keeps a study in one split.

    Args:
        rows: radiographs; those with a patient, or of files that are not DICOM, stay as they are.
        secret_file: see `read_secret`; it is read, or made, only if a DICOM file needs it.

    Raises:
        CannotPrepare: the secret can be neither read nor made.
    """
    secret = b""
    named = []
    for row in tqdm(rows, desc="looking for patients", unit="radiograph", delay=2):
        if row.file and not row.patient_id and row.file.is_file() and is_dicom(row.file):
            secret = secret or read_secret(secret_file)
            named.append(replace(row, patient_id=_name_patient(row.file, secret)))
        else:
            named.append(row)
    return named


def warn_of_one_patient(rows: Iterable[Row]) -> str:
    """Return a sentence where one patient has so many radiographs that the identifier may be a placeholder, or ""."""
    counts = Counter(row.patient_id for row in rows)
    total = counts.total()
    (patient, count) = counts.most_common(1)[0]
    is_suspicious = count == total > 1 or (count > total / 2 and count >= 10)
    if not patient or not is_suspicious:
        return ""
    what = {PATIENT: "PatientID", STUDY: "StudyInstanceUID"}.get(
        patient[:6] if is_pseudonym(patient) else "", "patient"
    )
    return (
        f"{count} of {total} radiographs have one {what} ({patient}), and go into one split; if it is a placeholder, "
        "name the patients by a table, or by --patients where the source has it"
    )


def read_secret(file: str) -> bytes:
    """Read the user's secret; at first use, it is made.

    Args:
        file: its path; "" for `cxrjax/patients.key` in the user's configuration folder (`$XDG_CONFIG_HOME`, else
            `~/.config`).

    Raises:
        CannotPrepare: it can be neither read nor made, or it is empty.
    """
    path = Path(file) if file else _default_file()
    try:
        if not path.exists():
            _make_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotPrepare(f"{path}: the secret of the pseudonyms: {reason}; name a file with --salt=FILE") from error
    if len(secret) < _FEWEST_BYTES:
        raise CannotPrepare(
            f"{path}: a secret of {len(secret)} bytes can be guessed; at least {_FEWEST_BYTES} random ones are needed"
        )
    return secret


def _default_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        return Path(folder if os.path.isabs(folder) else Path.home() / ".config", "cxrjax", "patients.key")
    except RuntimeError as error:
        raise CannotPrepare("this user has no home folder; name a file for the secret with --salt=FILE") from error


def _make_secret(path: Path) -> None:
    """Write a random secret that only the user can read; the first of several processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    begun = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_SECRET_BYTES))
    try:
        os.link(begun, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(begun, path)
    finally:
        begun.unlink(missing_ok=True)


def _name_patient(file: Path, secret: bytes) -> str:
    header = read_header(file, _TAGS)
    patient, issuer, study = (read_text(header, tag) for tag in _TAGS)
    if patient.upper() not in _PLACEHOLDERS and not _NOBODY.fullmatch(patient.upper()):
        return PATIENT + _digest(secret, "patient", issuer, patient)
    return STUDY + _digest(secret, "study", study) if study else ""


def _digest(secret: bytes, *words: str) -> str:
    text = "\0".join(words).encode("utf-8", "surrogateescape")
    return hmac.new(secret, text, hashlib.sha256).hexdigest()[:_LENGTH]
