"""Download one file and resume interrupted downloads.

This replaces TFDS's download manager, which restarts at the first byte, needs the size of a file besides its checksum,
and unpacks only with TensorFlow.
"""

import hashlib
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from cxrjax.runtime.progress import progress_bar
from data_prep.record import PreparationError

ATTEMPTS = 4
PAUSE = 2.0  # s before the second attempt; doubled before each further one
TIMEOUT = 60  # s without a byte
BLOCK = 1 << 16  # bytes
MAX_BYTES = 64 << 30  # of a file; more than twice the largest file of the sources


class _InterruptedDownloadError(Exception):
    """The connection ended before the end of the file."""


def download_file(url: str, sha256: str, target: Path) -> None:
    """Download a file; until it is complete it has the suffix `.partial`, and `.version` stores the server's version.

    Args:
        url: its address.
        sha256: hexadecimal checksum of the file; "" if unknown.
        target: path of the file; nothing is done if it exists.

    Raises:
        PreparationError: the server cannot be reached, has no such file, interrupts every attempt, or sends a file with
            another checksum.
        OSError: the disk is full, or the folder cannot be written to.
    """
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    version = target.with_name(f"{target.name}.version")
    for attempt in range(ATTEMPTS):
        try:
            _resume(url, partial, version)
            break
        except _InterruptedDownloadError as error:
            if attempt == ATTEMPTS - 1:
                raise PreparationError(f"{url}: {error}; run the same command again to resume") from error
            time.sleep(PAUSE * 2**attempt)
    if sha256 and (checksum := _hash(partial)) != sha256:
        partial.unlink()
        version.unlink()
        raise PreparationError(f"{url}: not the expected file: its SHA-256 is {checksum} instead of {sha256}")
    partial.rename(target)
    version.unlink()


def _resume(url: str, partial: Path, version: Path) -> None:
    headers = {"User-Agent": "cxrjax"}  # some servers reject Python's own
    validator = version.read_text(encoding="utf-8") if version.is_file() else ""
    # Resume at the last byte, so that at least one byte is requested.
    offset = partial.stat().st_size - 1 if partial.is_file() else 0
    if validator and offset > 0:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    with _open(urllib.request.Request(url, headers=headers)) as response:
        content_range = response.headers.get("Content-Range", "") if response.status == 206 else ""
        resumed = re.match(r"bytes (\d+)-", content_range)
        start = int(resumed[1]) if resumed else 0
        length = response.headers.get("Content-Length") or ""
        total = start + int(length) if length.isdigit() else None
        with (
            partial.open("r+b" if resumed else "wb") as file,
            progress_bar(
                total=total,
                initial=start,
                desc=f"downloading {url}",
                unit="B",
                unit_scale=True,
                leave=False,
            ) as bar,
        ):
            if resumed:
                file.seek(start)
                file.truncate()
            else:
                version.write_text(_read_validator(response), encoding="utf-8")
            for block in _read_blocks(response):
                file.write(block)
                bar.update(len(block))
                if file.tell() > MAX_BYTES:
                    raise PreparationError(f"{url}: refused, the file is larger than {MAX_BYTES >> 30} GiB")
            if total is not None and file.tell() < total:
                raise _InterruptedDownloadError(f"interrupted after {file.tell()} of {total} bytes")


def _open(request: urllib.request.Request) -> HTTPResponse:
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise PreparationError(f"{request.full_url}: the server answers {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: the address of a redirection is not valid
        reason = getattr(error, "reason", error)
        message = str(getattr(reason, "strerror", "") or reason).lower()
        raise PreparationError(f"{request.full_url}: the server cannot be reached ({message})") from error


def _read_blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read1(BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _InterruptedDownloadError(f"interrupted ({str(error) or type(error).__name__})") from error


def _read_validator(response: HTTPResponse) -> str:
    """Return the validator of the file's version for a later request (RFC 9110, 13.1.5: no weak ETag); "" if none."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
