"""One file from its address; what was cut off is gone on with.

TFDS's download manager would begin again at the first byte, asks for a file's size beside its checksum, and unpacks
only with TensorFlow; therefore this.
"""

import hashlib
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tqdm import tqdm

from data_prep.record import PreparationError

ATTEMPTS, PAUSE = 4, 2.0  # s; a connection that is cut is taken up again, each time after a longer pause
PATIENCE = 60  # s without a byte
BLOCK = 1 << 16  # bytes
MOST = 64 << 30  # bytes of a file; no source has one half as large


class _CutOff(Exception):
    """The connection ended before the file did."""


def download_file(url: str, sha256: str, target: Path) -> None:
    """Fetches a file; until it is whole it is called `.partial`, with the version that the server names beside it.

    Args:
        url: its address.
        sha256: of the whole file, hexadecimal; "" where none is known.
        target: where to put it; left alone if it is there.

    Raises:
        PreparationError: no server, no such file, cut off again and again, or a file with another checksum.
        OSError: the disk is full, or the folder cannot be written.
    """
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, version = (target.with_name(target.name + suffix) for suffix in (".partial", ".version"))
    for pause in [PAUSE * 2**attempt for attempt in range(ATTEMPTS - 1)] + [None]:
        try:
            _resume(url, partial, version)
            break
        except _CutOff as error:
            if pause is None:
                raise PreparationError(f"{url}: {error}; the same command goes on from there") from error
            time.sleep(pause)
    if sha256 and (found := _hash(partial)) != sha256:
        partial.unlink()
        version.unlink()
        raise PreparationError(f"{url}: not the file that is expected: its SHA-256 is {found} instead of {sha256}")
    partial.rename(target)
    version.unlink()


def _resume(url: str, partial: Path, version: Path) -> None:
    headers = {"User-Agent": "cxrjax"}  # some servers turn Python's own away
    known = version.read_text(encoding="utf-8") if version.is_file() else ""
    # From its last byte on, so that there is always one to ask for.
    have = partial.stat().st_size - 1 if partial.is_file() else 0
    if known and have > 0:
        headers |= {"Range": f"bytes={have}-", "If-Range": known}
    with _open(urllib.request.Request(url, headers=headers)) as response:
        part = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", "")) if response.status == 206 else None
        start = int(part[1]) if part else 0
        length = response.headers.get("Content-Length") or ""
        total = start + int(length) if length.isdigit() else None
        with (
            partial.open("r+b" if part else "wb") as file,
            tqdm(total=total, initial=start, desc=f"fetching {url}", unit="B", unit_scale=True, leave=False) as bar,
        ):
            if part:
                file.seek(start)
                file.truncate()
            else:
                version.write_text(_name_version(response), encoding="utf-8")
            for block in _blocks(response):
                file.write(block)
                bar.update(len(block))
                if file.tell() > MOST:
                    raise PreparationError(f"{url}: refused, the file is larger than {MOST >> 30} GiB")
            if total is not None and file.tell() < total:
                raise _CutOff(f"cut off after {file.tell()} of {total} bytes")


def _open(request: urllib.request.Request) -> HTTPResponse:
    try:
        return urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        error.close()
        raise PreparationError(f"{request.full_url}: the server answers {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: of an address that a redirection gives
        reason = getattr(error, "reason", error)
        said = str(getattr(reason, "strerror", "") or reason).lower()
        raise PreparationError(f"{request.full_url}: the server cannot be reached ({said})") from error


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read1(BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _CutOff(f"cut off ({str(error) or type(error).__name__})") from error


def _name_version(response: HTTPResponse) -> str:
    """What a later request can ask the same version by (RFC 9110, 13.1.5: no weak ETag); "" if nothing."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
