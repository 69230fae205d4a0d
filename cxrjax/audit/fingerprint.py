"""What the controls of an audit were made of, so that none is taken for one of another network, data or code."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from cxrjax.io import json_file
from cxrjax.runs import run_dir
from cxrjax.runtime import atomic_files

VERSION = 4  # raised by hand whenever a control does, or shows, anything else than before
FILE = "made_of.json"
_NETWORKS = ("config.json", "checkpoints/best", run_dir.SEGMENTER)


def compute(workdir: Path, cases: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The fingerprint of an audit.

    Args:
        workdir: the run; its settings and best networks count, by what is in their files.
        cases: what is stored of the radiographs of each split (`Material.cases`).

    Returns:
        {"code", "network", "data"}.
    """
    return {"code": VERSION, "network": _digest_files(workdir), "data": _digest(json.dumps(cases).encode())}


def claim_dir(folder: Path, made_of: Mapping[str, Any]) -> Path | None:
    """Make the folder of an audit, or go on with one of the same fingerprint; any other is set aside, as a whole.

    Returns:
        Where what was there is now; None where nothing had to give way.
    """
    note, aside = folder / FILE, None
    if folder.exists() and not (note.exists() and _read(note) == made_of):
        names = (folder.with_name(f"{folder.name}-before-{number}") for number in count(1))
        aside = folder.rename(next(name for name in names if not name.exists()))
    folder.mkdir(parents=True, exist_ok=True)
    if not note.exists():
        atomic_files.atomic_write(note, (json.dumps(made_of, indent=2) + "\n").encode())
    return aside


def _read(note: Path) -> dict[str, Any] | None:
    """Return a fingerprint; None of a file that is damaged, so that its audit is set aside."""
    try:
        return json_file.read(note, "")
    except json_file.DamagedFile:
        return None


def _digest_files(workdir: Path) -> str:
    files = [file for name in _NETWORKS for file in (workdir / name, *sorted((workdir / name).rglob("*")))]
    parts = [f"{file.relative_to(workdir)} {_digest(file.read_bytes())}" for file in files if file.is_file()]
    return _digest("\n".join(parts).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
