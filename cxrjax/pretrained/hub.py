"""Weights by address: a file of the Hugging Face hub or of the web, fetched once and checked by its SHA-256.

hf:OWNER/NAME/PATH/IN/REPOSITORY[@REVISION][#sha256=DIGEST]    the hub's own digest is checked where none is given
https://HOST/PATH#sha256=DIGEST
"""

import hashlib
import os
import re
import tempfile
import urllib.request
from pathlib import Path

from cxrjax.pretrained.files import UnreadableWeights

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT_SECONDS = 60


def locate(address: str) -> Path:
    """The file that an address stands for, on this machine.

    Args:
        address: as above, or a path, which is given back as it is.

    Returns:
        Its path: in huggingface_hub's own cache, or in `$XDG_CACHE_HOME/cxrjax` (`~/.cache/cxrjax`).

    Raises:
        UnreadableWeights: the address is malformed or has no hash to check, its file cannot be had, or is another one.
    """
    if not address.startswith(("hf:", "https://", "http://")):
        return Path(address)
    place, _, fragment = address.partition("#")
    digest = fragment.removeprefix("sha256=").lower()
    if fragment and not _SHA256.fullmatch(digest):
        raise UnreadableWeights(address, "what follows # should be sha256= and 64 hexadecimal digits")
    return _fetch_from_hub(place, digest) if address.startswith("hf:") else _fetch_from_web(place, digest)


def _fetch_from_hub(place: str, digest: str) -> Path:
    rest, _, revision = place.removeprefix("hf:").partition("@")
    parts = rest.split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise UnreadableWeights(place, "an address of the hub is hf:OWNER/NAME/PATH/IN/REPOSITORY@REVISION")
    try:
        import huggingface_hub
    except ImportError as error:
        raise UnreadableWeights(
            place, "files of the hub are fetched by huggingface_hub: pip install 'cxrjax[hub]'"
        ) from error
    try:
        path = Path(huggingface_hub.hf_hub_download("/".join(parts[:2]), parts[2], revision=revision or None))
    except Exception as error:  # its errors have no base of their own
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise UnreadableWeights(place, f"the hub does not give it ({said})") from error
    # The hub's cache keeps a large file under its SHA-256, and links the path to it.
    digest = digest or path.resolve().name
    if not _SHA256.fullmatch(digest):
        raise UnreadableWeights(place, "the hub tells no SHA-256 of it; give one, as #sha256=…")
    return _check(place, path, digest)


def _fetch_from_web(place: str, digest: str) -> Path:
    if not digest:
        raise UnreadableWeights(place, "a file of the web is taken only by its hash; give it, as #sha256=…")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "cxrjax")
    path = folder / digest
    if path.exists():
        return _check(place, path, digest)
    begun = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(place, timeout=_TIMEOUT_SECONDS) as response,
            tempfile.NamedTemporaryFile(dir=folder, delete=False) as file,
        ):
            begun = Path(file.name)
            while block := response.read(2**20):
                file.write(block)
        _check(place, begun, digest).rename(path)
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableWeights):
            raise
        raise UnreadableWeights(place, f"it cannot be fetched ({getattr(error, 'reason', None) or error})") from error
    finally:
        if begun:
            begun.unlink(missing_ok=True)
    return path


def _check(place: str, path: Path, digest: str) -> Path:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise UnreadableWeights(place, f"its SHA-256 is {found}, and not {digest}: it is another file, or damaged")
    return path
