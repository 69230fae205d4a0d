"""Trained models that come with the package, and the run directory of any model by its name, address or path."""

import atexit
import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from cxrjax.pretrained import hub
from cxrjax.pretrained.formats import WeightFormatError
from cxrjax.runs import model_file
from cxrjax.runs.model_names import FOLDER, MODELS, SUFFIX, is_model
from cxrjax.runtime import cache


def find_run(source: str | os.PathLike[str]) -> Path:
    """Return the run directory of a model.

    A model file is unpacked once into the user's cache; where that cannot be written, into a temporary folder, which
    is removed at the end of the process.

    Args:
        source: name of a bundled model, an address ("hf:OWNER/NAME/PATH.safetensors"), a model file, or a run
            directory, which is returned unchanged. A name has priority over a path; "./lungs" is a path.

    Raises:
        WeightFormatError: the file is missing, damaged, cannot be downloaded, or is not a model file.
        RunError: it was written by another version.
    """
    text = os.fspath(source)
    if not is_model(text):
        return Path(text)
    path = find_file(text)
    digest = MODELS.get(text) or _sha256(path)  # that of a bundled model is verified by `find_file`
    target = _cache_dir() / digest[:32]
    if not target.exists():
        try:
            model_file.unpack(path, target)
        except OSError:
            if not target.exists():  # otherwise another process was faster
                raise
    return target


def find_file(source: str) -> Path:
    """Return the model file of a name, an address or a path.

    Raises:
        WeightFormatError: there is no such file, it cannot be downloaded, or that of a bundled model is damaged.
    """
    if source not in MODELS:
        path = hub.locate(source)
        if not path.is_file():
            raise WeightFormatError(path, f"no such file; models with a name are {', '.join(sorted(MODELS))}")
        return path
    path = FOLDER / f"{source}{SUFFIX}"
    if not path.is_file() or _sha256(path) != MODELS[source]:
        raise WeightFormatError(path, "this is not the file of this version of cxrjax; install the package again")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache_dir() -> Path:
    """Return the folder of unpacked models, which nobody else can write to."""
    folder = cache.default_cache_dir() / "models"
    with contextlib.suppress(OSError):
        cache.ensure_private_dir(folder)
        if os.access(folder, os.W_OK):
            return folder
    temporary = tempfile.mkdtemp(prefix="cxrjax-models-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)
