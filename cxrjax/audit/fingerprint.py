"""Fingerprint of the inputs of an audit (network, data, code), to detect stale results."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from cxrjax.io import json_file
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files, former_names

VERSION = 4  # increased by hand whenever an experiment changes
FILE = "fingerprint.json"
_NETWORK_FILES = ("config.json", "checkpoints/best", run_dir.SEGMENTER)


def compute(workdir: Path, records: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Compute the fingerprint of an audit.

    Args:
        workdir: the run directory, of which the content of the config and of the best networks counts.
        records: records of the radiographs of each split (`AuditContext.records`).

    Returns:
        {"code", "network", "data"}.
    """
    return {"code": VERSION, "network": _digest_files(workdir), "data": _digest(json.dumps(records).encode())}


def claim_dir(folder: Path, fingerprint: Mapping[str, Any]) -> Path | None:
    """Create the folder of an audit, or resume one with the same fingerprint.

    A folder with another fingerprint is renamed as a whole.

    Returns:
        The new path of the renamed folder; None if there was none.
    """
    path = former_names.find(folder, FILE)
    renamed = None
    if folder.exists() and not (path.exists() and _read(path) == fingerprint):
        candidates = (folder.with_name(f"{folder.name}-before-{number}") for number in count(1))
        renamed = folder.rename(next(candidate for candidate in candidates if not candidate.exists()))
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        atomic_files.atomic_write(folder / FILE, (json.dumps(fingerprint, indent=2) + "\n").encode())
    return renamed


def is_current(folder: Path, workdir: Path) -> bool:
    """Return whether the folder of an audit is of the network of a run, and of this version's experiments.

    The data are not compared, which takes all images.
    """
    path = former_names.find(folder, FILE)
    fingerprint = _read(path) if path.exists() else None
    return fingerprint is not None and (fingerprint.get("code"), fingerprint.get("network")) == (
        VERSION,
        _digest_files(workdir),
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Return the fingerprint in a file; None if the file is damaged, so that its audit is renamed."""
    try:
        return json_file.read(path, "")
    except json_file.DamagedFileError:
        return None


def _digest_files(workdir: Path) -> str:
    files = [file for name in _NETWORK_FILES for file in (workdir / name, *sorted((workdir / name).rglob("*")))]
    lines = [f"{file.relative_to(workdir)} {_digest(file.read_bytes())}" for file in files if file.is_file()]
    return _digest("\n".join(lines).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
