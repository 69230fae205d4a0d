"""Compiled programs, kept on disk from one start to the next: JAX's persistent compilation cache.

JAX calls a program by all that it depends on, down to what the CPU can do, so machines of any kind may share a folder.
What compiles in less than LEAST seconds is not kept, unless JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS says otherwise.
"""

import os
import tempfile
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

LEAST = 0.25  # seconds


def name_folder(asked: str | None) -> str:
    """Where to keep them: where it is asked for, else in JAX_COMPILATION_CACHE_DIR, else in the user's cache.

    Args:
        asked: a folder, "" for none, or None: nothing is asked for.

    Returns:
        The folder, or "" for none.
    """
    if asked is not None:
        return asked
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("JAX_COMPILATION_CACHE_DIR", str(Path(caches) / "cxrjax"))


def keep(folder: str) -> None:
    """Keep what is compiled from here on in a folder, and take from it; "" for none.

    Raises:
        OSError: the folder is not there and cannot be made, or nothing can be written into it. None is used then.
    """
    _use("")
    if folder and "://" not in folder:  # which JAX reaches by other means than the system's
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        least = min(LEAST, jax.config.jax_persistent_cache_min_compile_time_secs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    _use(folder)


def _use(folder: str) -> None:
    jax.config.update("jax_compilation_cache_dir", folder or None)
    compilation_cache.reset_cache()
