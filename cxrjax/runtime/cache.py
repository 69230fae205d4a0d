"""The user's cache folder `cxrjax`, which nobody else may write to: what lies in it is run, or taken for weights."""

import os
import pwd
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_OF_LIBRARIES = {"HF_HOME": "huggingface", "MPLCONFIGDIR": "matplotlib"}
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH


class UnsafeFolder(OSError):
    """A cache folder that another user owns or may write to, or a file in it; `strerror` says which."""


def find_home() -> Path | None:
    """Return the user's home folder; None where neither $HOME nor the list of users has one, as in some containers."""
    home = os.environ.get("HOME", "")
    if not home:
        try:
            home = pwd.getpwuid(_user()).pw_dir
        except KeyError:
            return None
    return Path(home) if os.path.isabs(home) else None


def expand_home(path: str) -> str:
    """Return a path with the user's home folder for a leading "~", which shells leave alone in `--cache=~/x`."""
    home = find_home()
    return str(home) + path[1:] if home and (path == "~" or path.startswith("~/")) else path


def name_folder(name: str = "cxrjax") -> Path:
    """Return where a program's cache belongs: in $XDG_CACHE_HOME, else in `~/.cache`, else in the temporary folder.

    Args:
        name: of the program.

    Returns:
        The folder, which may not exist yet; in the temporary folder its name has the user's number.
    """
    caches = os.environ.get("XDG_CACHE_HOME")
    if caches and os.path.isabs(caches):  # the standard says to ignore a relative one
        return Path(caches, name)
    home = find_home()
    return home / ".cache" / name if home else Path(tempfile.gettempdir(), f"{name}-{_user()}")


def provide_for_libraries() -> None:
    """Let libraries keep their caches in the user's cache folder where there is no home.

    huggingface_hub would make a folder called "~" in the current one, and Matplotlib a new one at every start. A
    variable that is set stays. To be called before they are imported.
    """
    if find_home() is not None:
        return
    folder = name_folder()
    with suppress(OSError):
        make_private(folder)
        for variable, name in _OF_LIBRARIES.items():
            os.environ.setdefault(variable, str(folder / name))


def make_private(folder: Path) -> None:
    """Make a folder that nobody else may read or write, or see that an existing one is safe to take files from.

    Args:
        folder: its missing parents are made too.

    Raises:
        UnsafeFolder: it, or a file in it, belongs to another user (other than root) or may be written by others.
        OSError: it cannot be made or read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(20, "Not a directory", str(folder))
    _check(folder, found, writable_matters=True)
    reachable = bool(found.st_mode & _OTHERS_ENTER)
    with os.scandir(folder) as entries:
        for entry in entries:
            _check(Path(entry.path), entry.stat(follow_symlinks=False), reachable and not entry.is_symlink())


def is_safe_file(descriptor: int) -> bool:
    """Return whether an open file belongs to the user or to root, and others may not write it."""
    found = os.fstat(descriptor)
    return _is_ours(found) and not found.st_mode & _OTHERS_WRITE


def _check(path: Path, found: os.stat_result, writable_matters: bool) -> None:
    if not _is_ours(found):
        raise UnsafeFolder(1, f"{path} belongs to another user", str(path))
    if writable_matters and found.st_mode & _OTHERS_WRITE:
        raise UnsafeFolder(1, f"{path} may be written by other users", str(path))


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid in (0, _user()) or not hasattr(os, "geteuid")


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
