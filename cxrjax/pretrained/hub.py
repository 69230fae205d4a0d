"""Download of weights from the Hugging Face hub or the web, cached and verified by their SHA-256.

Addresses are

hf:OWNER/NAME/PATH/IN/REPOSITORY[@REVISION][#sha256=DIGEST]    without a digest, that of the hub is verified
https://HOST/PATH#sha256=DIGEST                                or http://, since the digest is always verified

The digest of an https:// address may be shortened to its first digits, at least 8: PyTorch's files have them in their
names. They show that a file is damaged or another one; only all 64 also exclude that someone forged it.
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
from typing import IO, Any

from cxrjax.pretrained.formats import WeightFormatError
from cxrjax.runtime import cache, terminal
from cxrjax.runtime.text import SHORT_LENGTH, printable

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA256_START = re.compile(r"[0-9a-f]{8,64}")
_TIMEOUT_SECONDS = 60  # without receiving a byte
_MIN_RATE = 10_000  # bytes per second, on average after the first minute
_MAX_BYTES = 4 * 2**30  # of a file; a checkpoint of our largest network takes half of that
_BLOCK_BYTES = 2**18


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Handler that follows redirects to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.lower().startswith("https://"):
            fp.close()
            raise OSError(f"it is redirected to {printable(newurl, SHORT_LENGTH)}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def locate(address: str) -> Path:
    """Return the local file of an address; download it if it is not cached.

    Args:
        address: an address as described above, or a path, which is returned unchanged.

    Returns:
        The path of the file, in the cache of huggingface_hub or in the user's cache (`cache.default_cache_dir`).

    Raises:
        WeightFormatError: the address is malformed or has no digest to verify, or the file cannot be downloaded or has
            another digest. No other error is raised.
    """
    if not address.startswith(("hf:", "https://", "http://")):
        if "://" in address and not Path(address).exists():
            raise WeightFormatError(address, "addresses of weights begin with hf: or https://")
        return Path(address)
    url, _, fragment = address.partition("#")
    digest = fragment.removeprefix("sha256=").lower()
    pattern = _SHA256_START if address.startswith("https://") else _SHA256
    if fragment and not (fragment.startswith("sha256=") and pattern.fullmatch(digest)):
        raise WeightFormatError(
            address, "what follows # should be sha256= and 64 hexadecimal digits; for https://, the first 8 suffice"
        )
    return _download_from_hub(url, digest) if address.startswith("hf:") else _download_from_web(url, digest)


def _download_from_hub(url: str, digest: str) -> Path:
    repository_path, _, revision = url.removeprefix("hf:").partition("@")
    parts = repository_path.split("/", 2)
    if len(parts) != 3 or not all(parts):
        raise WeightFormatError(url, "an address of the hub is hf:OWNER/NAME/PATH/IN/REPOSITORY@REVISION")
    cache.redirect_library_caches()
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightFormatError(
            url, "files of the hub are downloaded by huggingface_hub: pip install 'cxrjax[hub]'"
        ) from error
    try:
        path = Path(huggingface_hub.hf_hub_download("/".join(parts[:2]), parts[2], revision=revision or None))
    except Exception as error:  # the errors of huggingface_hub have no common base
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightFormatError(url, f"it cannot be downloaded from the hub ({lines[0].rstrip('.')})") from error
    is_pinned = bool(digest)
    # The hub's cache stores a large file under its SHA-256 and links the path to it.
    digest = digest or path.resolve().name
    if not _SHA256.fullmatch(digest):
        raise WeightFormatError(url, "the hub has no SHA-256 of it; append one to the address, as #sha256=…")
    actual = _sha256(url, path)
    if actual != digest:
        raise WeightFormatError(
            url,
            f"its SHA-256 is {actual} instead of {digest}: it is another file, or damaged; "
            f"to download it again, delete {path.resolve()}",
        )
    if not is_pinned:
        terminal.warn(f"{printable(url)} may change; append #sha256={digest} to always get these weights")
    return path


def _download_from_web(url: str, digest: str) -> Path:
    if not digest:
        raise WeightFormatError(url, "a file of the web needs its SHA-256; append it to the address, as #sha256=…")
    _, separator, host = url.partition("://")[2].partition("/")[0].rpartition("@")
    if separator:
        raise WeightFormatError(
            f"https://…@{host}",
            "an address with a user name or password is not accepted; download the file, and pass its path",
        )
    folder = cache.default_cache_dir()
    damaged = ""
    for path in folder.glob(f"{digest}*"):
        if not _SHA256.fullmatch(path.name) or not path.is_file():
            continue
        actual = _sha256(url, path)
        if actual == path.name:
            return path
        damaged = f"{path} is damaged (its SHA-256 is {actual}), and "
    partial = None
    try:
        cache.ensure_private_dir(folder)
        with (
            urllib.request.build_opener(_HttpsRedirects).open(url, timeout=_TIMEOUT_SECONDS) as response,
            tempfile.NamedTemporaryFile(dir=folder, delete=False) as file,
        ):
            partial = Path(file.name)
            _copy(response, file)
        actual = _sha256(url, partial)
        if not actual.startswith(digest):
            raise WeightFormatError(url, f"its SHA-256 is {actual} instead of {digest}: it is another file, or damaged")
        path = folder / actual
        os.replace(partial, path)
    except cache.UnsafeCacheError as error:
        raise WeightFormatError(
            url, f"it cannot be cached: {error.strerror}; set XDG_CACHE_HOME to another folder"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, WeightFormatError):
            raise
        reason = _describe(error)
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise WeightFormatError(url, f"{damaged}it cannot be downloaded ({reason})") from error
    finally:
        if partial:
            partial.unlink(missing_ok=True)
    if actual != digest:
        terminal.warn(
            f"{printable(url)}: the first {len(digest)} digits of its SHA-256 are verified; append #sha256={actual} to "
            "verify all"
        )
    return path


def _copy(response: http.client.HTTPResponse, file: IO[bytes]) -> None:
    """Copy the response of a server to a file, within limits of size and time.

    Raises:
        OSError: the response is too large or too slow.
    """
    declared = response.headers.get("Content-Length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > _MAX_BYTES:
        raise OSError(f"it is {int(declared)} bytes long, and the limit is {_MAX_BYTES}")
    start = time.monotonic()
    count = 0
    while block := response.read1(_BLOCK_BYTES):
        count += len(block)
        if count > _MAX_BYTES:
            raise OSError(f"it is longer than {_MAX_BYTES} bytes")
        seconds = time.monotonic() - start
        if seconds > _TIMEOUT_SECONDS and count < _MIN_RATE * seconds:
            raise OSError(f"the server sends less than {_MIN_RATE // 1000} kB per second")
        file.write(block)


def _describe(error: Exception) -> str:
    """Return the reason of a failed download as text."""
    if isinstance(error, UnicodeError):
        return "it has characters that are not allowed in an address; write them as %XX"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return printable(str(reason).strip() or type(error).__name__, 300)


def _sha256(url: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightFormatError(url, f"{path} cannot be read ({error.strerror})") from error
