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
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from cxrjax.io.dicom_elements import is_dicom, read_header, read_text
from cxrjax.io.dicom_header import items_of, texts_of
from data_prep.collections.cells import is_nobody
from data_prep.record import PreparationError, Record

PATIENT, STUDY = "dicom-", "study-"  # what pseudonyms begin with
_LENGTH = 24  # hexadecimal digits: 96 bits, so that two patients do not meet
_PSEUDONYM = re.compile(rf"({PATIENT}|{STUDY})[0-9a-f]{{{_LENGTH}}}")
_TAGS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "OtherPatientIDs", "OtherPatientIDsSequence")
_SECRET_BYTES, _FEWEST_BYTES = 32, 16
_ZEROS = re.compile(r"[0X\W_]*", re.IGNORECASE)  # zeros, letters X and signs alone stand for no patient


class _Person(NamedTuple):
    """What a DICOM header says of whom it is; "" for what it does not say."""

    patient: str
    issuer: str
    study: str


def is_pseudonym(patient_id: str, kind: str = "") -> bool:
    """Return whether a patient was named here; with `kind`, whether by `PATIENT` or by `STUDY`."""
    return patient_id.startswith(kind) and _PSEUDONYM.fullmatch(patient_id) is not None


def identify(rows: Sequence[Record], secret_file: str) -> list[Record]:
    """Name the patients of DICOM files for which nothing else names them.

    A file without a usable PatientID is of the patient whom another file of its study names; else it gets a pseudonym
    of its StudyInstanceUID, which keeps a study in one split. Where something else names the patient of a file, the
    other files of its PatientID have the same patient. An identifier of which some file names no issuer counts as one
    patient, whatever issuer other files name.

    Args:
        rows: radiographs; those with a patient, or of files that are not DICOM, stay as they are.
        secret_file: see `read_secret`; it is read, or made, only if a DICOM file needs it.

    Raises:
        PreparationError: the secret can be neither read nor made.
    """
    with_file = {number: row for number, row in enumerate(rows) if row.file}
    if all(row.patient_id for row in with_file.values()):
        return list(rows)
    persons = {
        number: _read_person(row.file)
        for number, row in tqdm(with_file.items(), desc="looking for patients", unit="radiograph", delay=2)
        if is_dicom(row.file)
    }
    if all(rows[number].patient_id for number in persons):
        return list(rows)
    names = _name_patients(rows, persons, read_secret(secret_file))
    return [
        row if row.patient_id else replace(row, patient_id=names.get(number, "")) for number, row in enumerate(rows)
    ]


def warn_of_one_patient(rows: Iterable[Record]) -> str:
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
        PreparationError: it can be neither read nor made, or it is empty.
    """
    path = Path(file) if file else _default_file()
    try:
        if not path.exists():
            _make_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PreparationError(
            f"{path}: the secret of the pseudonyms: {reason}; name a file with --salt=FILE"
        ) from error
    if len(secret) < _FEWEST_BYTES:
        raise PreparationError(
            f"{path}: a secret of {len(secret)} bytes can be guessed; at least {_FEWEST_BYTES} random ones are needed"
        )
    return secret


def _default_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        return Path(folder if os.path.isabs(folder) else Path.home() / ".config", "cxrjax", "patients.key")
    except RuntimeError as error:
        raise PreparationError("this user has no home folder; name a file for the secret with --salt=FILE") from error


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


def _name_patients(rows: Sequence[Record], persons: Mapping[int, _Person], secret: bytes) -> dict[int, str]:
    """Return the patient of each radiograph of `persons` that has one."""
    without_issuer = {person.patient for person in persons.values() if not person.issuer}
    keys = {
        number: (person.patient, "" if person.patient in without_issuer else person.issuer)
        for number, person in persons.items()
        if person.patient
    }
    named = {number: rows[number].patient_id for number in persons if rows[number].patient_id}
    others = {row.patient_id for row in rows}
    of_key = {keys[number]: name for number, name in named.items() if number in keys}
    names = {}
    for number, (patient, issuer) in keys.items():
        known = patient if patient in others else of_key.get((patient, issuer))
        names[number] = known or PATIENT + _digest(secret, "patient", issuer, patient)
    names |= named
    of_study = {persons[number].study: name for number, name in names.items()}
    for number, person in persons.items():
        if number not in names and person.study:
            names[number] = of_study.get(person.study) or STUDY + _digest(secret, "study", person.study)
    return names


def _read_person(file: Path) -> _Person:
    header = read_header(file, _TAGS)
    identifiers = [(read_text(header, "PatientID"), read_text(header, "IssuerOfPatientID"))]
    identifiers += [(text, "") for text in texts_of(header, "OtherPatientIDs")]
    identifiers += [
        (read_text(item, "PatientID"), read_text(item, "IssuerOfPatientID"))
        for item in items_of(header, "OtherPatientIDsSequence")
    ]
    known = ((_clean(patient), _clean(issuer)) for patient, issuer in identifiers)
    patient, issuer = next((one for one in known if not _is_nobody(one[0])), ("", ""))
    return _Person(patient, issuer, read_text(header, "StudyInstanceUID"))


def _is_nobody(patient: str) -> bool:
    return is_nobody(patient) or _ZEROS.fullmatch(patient) is not None


def _clean(text: str) -> str:
    """Return an identifier as all devices write it: without control characters, and carets and blanks around it."""
    text = "".join(sign for sign in unicodedata.normalize("NFKC", text) if sign.isprintable())
    return text.strip("^ ")


def _digest(secret: bytes, *words: str) -> str:
    text = "\0".join(words).encode("utf-8", "surrogateescape")
    return hmac.new(secret, text, hashlib.sha256).hexdigest()[:_LENGTH]
