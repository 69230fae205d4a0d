"""Weights by address: a file of the Hugging Face hub or of the web, fetched once and checked by its SHA-256.

hf:OWNER/NAME/PATH/IN/REPOSITORY[@REVISION][#sha256=DIGEST]    the hub's own digest is checked where none is given
https://HOST/PATH#sha256=DIGEST                                or http://, as the digest is checked in any case
"""

import hashlib
import http.client
import os
import re
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO

from cxrjax.pretrained.formats import WeightFormatError
from cxrjax.runtime import cache, terminal
from cxrjax.runtime.text import SHORT, printable

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIMEOUT_SECONDS = 60  # without a byte
_SLOWEST = 10_000  # bytes a second, on average after the first minute
_MOST_BYTES = 4 * 2**30  # of a file; a checkpoint of the largest network here takes half of that
_BLOCK = 2**18


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https alone."""

    def redirect_request(self, request: Any, file: Any, code: int, message: str, headers: Any, url: str) -> Any:
        if not url.lower().startswith("https://"):
            file.close()
            raise OSError(f"it is redirected to {printable(url, SHORT)}, which is not https")
        return super().redirect_request(request, file, code, message, headers, url)


def locate(address: str) -> Path:
    """Return the file that an address stands for, on this machine.

    Args:
        address: as above, or a path, which is returned as it is.

    Returns:
        Its path: in huggingface_hub's own cache, or in the user's cache (`cache.name_folder`).

    Raises:
        UnreadableWeights: the address is malformed or has no hash to check, its file cannot be had, or is another one.
            Nothing else is raised.
    """
    if not address.startswith(("hf:", "https://", "http://")):
        if "://" in address and not Path(address).exists():
            raise WeightFormatError(address, "addresses of weights begin with hf: or https://")
        return Path(address)
    place, _, fragment = address.partition("#")
    digest = fragment.removeprefix("sha256=").lower()
    if fragment and not (fragment.startswith("sha256=") and _SHA256.fullmatch(digest)):
        raise WeightFormatError(address, "what follows # should be sha256= and 64 hexadecimal digits")
    return _fetch_from_hub(place, digest) if address.startswith("hf:") else _fetch_from_web(place, digest)


def _fetch_from_hub(place: str, digest: str) -> Path:
    rest, _, revision = place.removeprefix("hf:").partition("@")
    parts = rest.split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise WeightFormatError(place, "an address of the hub is hf:OWNER/NAME/PATH/IN/REPOSITORY@REVISION")
    cache.provide_for_libraries()
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightFormatError(
            place, "files of the hub are fetched by huggingface_hub: pip install 'cxrjax[hub]'"
        ) from error
    try:
        path = Path(huggingface_hub.hf_hub_download("/".join(parts[:2]), parts[2], revision=revision or None))
    except Exception as error:  # its errors have no base of their own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightFormatError(place, f"the hub does not give it ({lines[0].rstrip('.')})") from error
    pinned = bool(digest)
    # The hub's cache keeps a large file under its SHA-256, and links the path to it.
    digest = digest or path.resolve().name
    if not _SHA256.fullmatch(digest):
        raise WeightFormatError(place, "the hub tells no SHA-256 of it; give one, as #sha256=…")
    found = _sum(place, path)
    if found != digest:
        raise WeightFormatError(
            place,
            f"its SHA-256 is {found}, and not {digest}: it is another file, or damaged; "
            f"to have it fetched again, delete {path.resolve()}",
        )
    if not pinned:
        terminal.warn(f"{printable(place)} may change; #sha256={digest} after it means these weights")
    return path


def _fetch_from_web(place: str, digest: str) -> Path:
    if not digest:
        raise WeightFormatError(place, "a file of the web is taken only by its hash; give it, as #sha256=…")
    _, separator, host = place.partition("://")[2].partition("/")[0].rpartition("@")
    if separator:
        raise WeightFormatError(
            f"https://…@{host}",
            "an address with a user name or password is not taken; download the file, and name that",
        )
    folder = cache.name_folder()
    path = folder / digest
    damaged = ""
    if path.is_file():
        found = _sum(place, path)
        if found == digest:
            return path
        damaged = f"{path} is damaged (its SHA-256 is {found}), and "
    begun = None
    try:
        cache.make_private(folder)
        with (
            urllib.request.build_opener(_Redirects).open(place, timeout=_TIMEOUT_SECONDS) as response,
            tempfile.NamedTemporaryFile(dir=folder, delete=False) as file,
        ):
            begun = Path(file.name)
            _copy(response, file)
        found = _sum(place, begun)
        if found != digest:
            raise WeightFormatError(place, f"its SHA-256 is {found}, and not {digest}: it is another file, or damaged")
        os.replace(begun, path)
    except cache.UnsafeFolder as error:
        raise WeightFormatError(
            place, f"it cannot be kept: {error.strerror}; set XDG_CACHE_HOME to another folder"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, WeightFormatError):
            raise
        reason = _describe(error)
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise WeightFormatError(place, f"{damaged}it cannot be fetched ({reason})") from error
    finally:
        if begun:
            begun.unlink(missing_ok=True)
    return path


def _copy(response: http.client.HTTPResponse, file: BinaryIO) -> None:
    """Copy what a server sends, within bounds of size and time.

    Raises:
        OSError: it is too large or comes too slowly.
    """
    declared = response.headers.get("Content-Length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > _MOST_BYTES:
        raise OSError(f"it says that it is {int(declared)} bytes long, and at most {_MOST_BYTES} are fetched")
    begun = time.monotonic()
    count = 0
    while block := response.read1(_BLOCK):
        count += len(block)
        if count > _MOST_BYTES:
            raise OSError(f"it is longer than {_MOST_BYTES} bytes")
        seconds = time.monotonic() - begun
        if seconds > _TIMEOUT_SECONDS and count < _SLOWEST * seconds:
            raise OSError(f"it comes at less than {_SLOWEST // 1000} kB a second")
        file.write(block)


def _describe(error: Exception) -> str:
    """Return the reason of a failed download in words."""
    if isinstance(error, UnicodeError):
        return "it has letters that no address may have; write them as %XX"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return printable(str(reason).strip() or type(error).__name__, 300)


def _sum(place: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightFormatError(place, f"{path} cannot be read ({error.strerror})") from error
