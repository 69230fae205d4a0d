"""Pseudonyms of the patients of DICOM files, which only the owner of a secret can compute.

A pseudonym is an HMAC-SHA256 of PatientID and IssuerOfPatientID with the user's secret. A patient has the same
pseudonym in all data sets of the user. Without the secret, the identifier cannot be recovered, even by trying all
identifiers. The secret is never written into a data set.
"""

import hashlib
import hmac
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from cxrjax.io.dicom_elements import is_dicom, read_header, read_text
from cxrjax.io.dicom_header import items_of, texts_of
from cxrjax.runtime import user_secret
from cxrjax.runtime.progress import progress_bar
from data_prep.collections.cells import is_placeholder
from data_prep.record import PreparationError, Record

# Prefixes of pseudonyms.
PATIENT = "dicom-"
STUDY = "study-"
_LENGTH = 24  # hexadecimal digits: 96 bits, so that pseudonyms do not collide
_PSEUDONYM = re.compile(rf"({PATIENT}|{STUDY})[0-9a-f]{{{_LENGTH}}}")
_TAGS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "OtherPatientIDs", "OtherPatientIDsSequence")
_ZEROS = re.compile(r"[0X\W_]*", re.IGNORECASE)  # placeholders of zeros, letters X and punctuation only


class _Identity(NamedTuple):
    """The identifiers in a DICOM header; "" for missing ones."""

    patient: str
    issuer: str
    study: str


def is_pseudonym(patient_id: str, prefix: str = "") -> bool:
    """Return whether an identifier is a pseudonym of this module, of the prefix `PATIENT` or `STUDY` if given."""
    return patient_id.startswith(prefix) and _PSEUDONYM.fullmatch(patient_id) is not None


def identify(records: Sequence[Record], secret_file: str) -> list[Record]:
    """Add patients to the radiographs of DICOM files that have none.

    A file without a usable PatientID gets the patient of another file of its study. If no file of the study has one,
    the patient is a pseudonym of the StudyInstanceUID, so that the study stays in one split. If a record already has a
    patient, the other files with the same PatientID get that patient. If a PatientID occurs both with and without an
    issuer, all its files are of one patient.

    Args:
        records: radiographs; those with a patient, or of files that are not DICOM, are not changed.
        secret_file: see `read_secret`; it is read, or created, only if a DICOM file needs it.

    Raises:
        PreparationError: the secret can be neither read nor created.
    """
    files = {index: record.file for index, record in enumerate(records) if record.file}
    if all(records[index].patient_id for index in files):
        return list(records)
    identities = {
        index: _read_identity(file)
        for index, file in progress_bar(files.items(), desc="reading patients", unit="radiograph")
        if is_dicom(file)
    }
    if all(records[index].patient_id for index in identities):
        return list(records)
    patients = _assign_patients(records, identities, read_secret(secret_file))
    return [
        record if record.patient_id else replace(record, patient_id=patients.get(index, ""))
        for index, record in enumerate(records)
    ]


def warn_of_one_patient(records: Iterable[Record]) -> str:
    """Return a sentence if one patient has so many radiographs that the identifier may be a placeholder; else ""."""
    counts = Counter(record.patient_id for record in records)
    total = counts.total()
    patient, count = counts.most_common(1)[0]
    is_suspicious = count == total > 1 or (count > total / 2 and count >= 10)
    if not patient or not is_suspicious:
        return ""
    prefix = patient[: len(PATIENT)] if is_pseudonym(patient) else ""
    attribute = {PATIENT: "PatientID", STUDY: "StudyInstanceUID"}.get(prefix, "patient")
    return (
        f"{count} of {total} radiographs have one {attribute} ({patient}), and go into one split; if it is a "
        "placeholder, name the patients in a table, or with --patients if the source has that option"
    )


def read_secret(file: str) -> bytes:
    """Read the user's secret, and create it on first use; see `cxrjax.runtime.user_secret.read_secret`.

    Raises:
        PreparationError: it can be neither read nor created, or it is too short.
    """
    try:
        return user_secret.read_secret(file)
    except user_secret.SecretError as error:
        raise PreparationError(f"{error}; --salt=FILE names another file") from error


def _assign_patients(records: Sequence[Record], identities: Mapping[int, _Identity], secret: bytes) -> dict[int, str]:
    """Return the patients of the radiographs in `identities`, by index, where one is known."""
    without_issuer = {identity.patient for identity in identities.values() if not identity.issuer}
    keys = {
        index: (identity.patient, "" if identity.patient in without_issuer else identity.issuer)
        for index, identity in identities.items()
        if identity.patient
    }
    from_records = {index: records[index].patient_id for index in identities if records[index].patient_id}
    record_patients = {record.patient_id for record in records}
    patient_of_key = {keys[index]: patient for index, patient in from_records.items() if index in keys}
    patients = {}
    for index, (identifier, issuer) in keys.items():
        patient = identifier if identifier in record_patients else patient_of_key.get((identifier, issuer))
        patients[index] = patient or PATIENT + _digest(secret, "patient", issuer, identifier)
    patients |= from_records
    patient_of_study = {identities[index].study: patient for index, patient in patients.items()}
    for index, identity in identities.items():
        if index not in patients and identity.study:
            pseudonym = STUDY + _digest(secret, "study", identity.study)
            patients[index] = patient_of_study.get(identity.study) or pseudonym
    return patients


def _read_identity(file: Path) -> _Identity:
    header = read_header(file, _TAGS)
    identifiers = [(read_text(header, "PatientID"), read_text(header, "IssuerOfPatientID"))]
    identifiers += [(text, "") for text in texts_of(header, "OtherPatientIDs")]
    identifiers += [
        (read_text(item, "PatientID"), read_text(item, "IssuerOfPatientID"))
        for item in items_of(header, "OtherPatientIDsSequence")
    ]
    study = read_text(header, "StudyInstanceUID")
    for identifier, issuer in identifiers:
        patient = _normalize(identifier)
        if not _is_placeholder(patient):
            return _Identity(patient, _normalize(issuer), study)
    return _Identity("", "", study)


def _is_placeholder(patient: str) -> bool:
    return is_placeholder(patient) or _ZEROS.fullmatch(patient) is not None


def _normalize(text: str) -> str:
    """Return an identifier without control characters and without surrounding carets and blanks."""
    text = "".join(character for character in unicodedata.normalize("NFKC", text) if character.isprintable())
    return text.strip("^ ")


def _digest(secret: bytes, *words: str) -> str:
    text = "\0".join(words).encode("utf-8", "surrogateescape")
    return hmac.new(secret, text, hashlib.sha256).hexdigest()[:_LENGTH]
