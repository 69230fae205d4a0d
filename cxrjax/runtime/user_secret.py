"""The user's secret, by which pseudonyms are made that only its owner can compute."""

import os
import secrets
from pathlib import Path

from cxrjax.runtime.errors import CxrjaxError

_BYTES = 32
_MIN_BYTES = 16


class SecretError(CxrjaxError):
    """A secret that can be neither read nor created, or is too short."""


def read_secret(file: str = "") -> bytes:
    """Read the user's secret, and create it on first use.

    Args:
        file: its path; "" for `cxrjax/patients.key` in the user's configuration folder (`$XDG_CONFIG_HOME`, or
            `~/.config`).

    Raises:
        SecretError: it can be neither read nor created, or it is too short.
    """
    path = Path(file) if file else _default_file()
    try:
        if not path.exists():
            _create_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SecretError(f"{path}: the secret of the pseudonyms: {reason}") from error
    if len(secret) < _MIN_BYTES:
        raise SecretError(
            f"{path}: a secret of {len(secret)} bytes can be guessed; use at least {_MIN_BYTES} random bytes"
        )
    return secret


def _default_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        return Path(folder if os.path.isabs(folder) else Path.home() / ".config", "cxrjax", "patients.key")
    except RuntimeError as error:
        raise SecretError("this user has no home folder for the secret of the pseudonyms") from error


def _create_secret(path: Path) -> None:
    """Write a random secret that only the user can read; the first of several processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
