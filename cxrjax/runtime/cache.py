"""The user's cache folder `cxrjax`. Nobody else may write to it, since it holds compiled programs and weights."""

import os
import pwd
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from cxrjax.runtime.errors import CxrjaxError

_LIBRARY_CACHES = {"HF_HOME": "huggingface", "MPLCONFIGDIR": "matplotlib"}
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ENTERABLE_BY_OTHERS = stat.S_IXGRP | stat.S_IXOTH


class UnsafeCacheError(CxrjaxError, OSError):
    """A cache folder, or a file in it, that another user owns or may write to; `strerror` is the reason."""


def find_home() -> Path | None:
    """Return the user's home folder; None where neither $HOME nor the user database has one, as in some containers."""
    home = os.environ.get("HOME", "")
    if not home:
        try:
            home = pwd.getpwuid(_user()).pw_dir
        except KeyError:
            return None
    return Path(home) if os.path.isabs(home) else None


def expand_home(path: str) -> str:
    """Expand a leading "~" to the user's home folder; shells do not expand it in `--compilation_cache_dir=~/x`."""
    home = find_home()
    return str(home) + path[1:] if home and (path == "~" or path.startswith("~/")) else path


def default_cache_dir(name: str = "cxrjax") -> Path:
    """Return the default cache folder of a program: in $XDG_CACHE_HOME, else `~/.cache`, else the temporary folder.

    Args:
        name: name of the program.

    Returns:
        The folder, which may not exist yet; in the temporary folder its name ends in the user's number.
    """
    caches = os.environ.get("XDG_CACHE_HOME")
    if caches and os.path.isabs(caches):  # the XDG standard says to ignore a relative path
        return Path(caches, name)
    home = find_home()
    return home / ".cache" / name if home else Path(tempfile.gettempdir(), f"{name}-{_user()}")


def redirect_library_caches() -> None:
    """Move the caches of libraries into this program's cache folder where the user has no home folder.

    Otherwise huggingface_hub would create a folder called "~" in the current folder, and Matplotlib a new folder at
    every start. Environment variables that are already set stay. Call it before these libraries are imported.
    """
    if find_home() is not None:
        return
    folder = default_cache_dir()
    with suppress(OSError):
        ensure_private_dir(folder)
        for variable, name in _LIBRARY_CACHES.items():
            os.environ.setdefault(variable, str(folder / name))


def ensure_private_dir(folder: Path) -> None:
    """Create a folder that nobody else may read or write, or check that an existing one is safe to load files from.

    Args:
        folder: the folder; missing parents are created too.

    Raises:
        UnsafeCacheError: the folder, or a file in it, belongs to another user (other than root) or is writable by
            others.
        OSError: it cannot be created or read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(20, "Not a directory", str(folder))
    _check(folder, status, check_writable=True)
    reachable_by_others = bool(status.st_mode & _ENTERABLE_BY_OTHERS)
    with os.scandir(folder) as entries:
        for entry in entries:
            _check(Path(entry.path), entry.stat(follow_symlinks=False), reachable_by_others and not entry.is_symlink())


def is_safe_file(descriptor: int) -> bool:
    """Return whether an open file belongs to the user or to root, and others may not write it."""
    status = os.fstat(descriptor)
    return _is_owned(status) and not status.st_mode & _WRITABLE_BY_OTHERS


def _check(path: Path, status: os.stat_result, check_writable: bool) -> None:
    if not _is_owned(status):
        raise UnsafeCacheError(1, f"{path} belongs to another user", str(path))
    if check_writable and status.st_mode & _WRITABLE_BY_OTHERS:
        raise UnsafeCacheError(1, f"{path} may be written by other users", str(path))


def _is_owned(status: os.stat_result) -> bool:
    return status.st_uid in (0, _user()) or not hasattr(os, "geteuid")


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
