"""Programs, kept on disk from one start to the next: as XLA compiled them, and as JAX traced them.

Compiled ones are kept by JAX's persistent compilation cache. It calls a program by all that it depends on, down to what
the CPU can do, so machines of any kind may share a folder. What compiles in less than LEAST seconds is not kept, unless
JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS says otherwise.

To look there JAX has to trace the program first, which for networks of a hundred layers takes a third of a start. So
what is traced is kept too, as StableHLO (`Recalled`).
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import flax
import jax
import jaxlib
from jax import export
from jax.experimental.compilation_cache import compilation_cache

import cxrjax
from cxrjax import whole

LEAST = 0.25  # seconds

_traced: Path | None = None  # where traced programs are kept


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
    """Keep what is compiled and traced from here on in a folder, and take from it; "" for none.

    Raises:
        OSError: the folder is not there and cannot be made, or nothing can be written into it. None is used then.
    """
    global _traced
    _use("")
    _traced = None
    if folder and "://" not in folder:  # which JAX reaches by other means than the system's
        Path(folder, "traced").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _traced = Path(folder, "traced")
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        least = min(LEAST, jax.config.jax_persistent_cache_min_compile_time_secs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    _use(folder)


class Recalled:
    """A program that is not traced where that was done in an earlier start, if such are kept."""

    def __init__(self, run: Callable[..., Any], *made_of: str):
        """Take a program.

        Args:
            run: jitted, from arrays to arrays, in dicts, lists, tuples and NamedTuples of `register`.
            made_of: all that decides what it does beside the package's code and what it is called with.
        """
        self._run, self._made_of, self._ready = run, made_of, {}

    def __call__(self, *given: Any) -> Any:
        """What the program gives; of what is given all leaves are `jax.Array`s."""
        if _traced is None or jax.process_count() > 1:
            return self._run(*given)
        leaves, tree = jax.tree.flatten(given)
        form = (tree, *((leaf.aval, leaf.sharding) for leaf in leaves))
        if form not in self._ready:
            traced_by = (_sum_code(), jax.__version__, jaxlib.__version__, flax.__version__, jax.default_backend())
            words = (*self._made_of, *traced_by, *sorted(jax.config.values.items()), *form)
            self._ready[form] = _recall(self._run, given, hashlib.sha256(repr(words).encode()).hexdigest())
        return self._ready[form](*given)


def register(kind: type) -> None:
    """Let a NamedTuple go into programs and come out of them."""
    export.register_namedtuple_serialization(kind, serialized_name=f"{kind.__module__}.{kind.__qualname__}")


def _recall(run: Callable[..., Any], given: Any, name: str) -> Callable[..., Any]:
    """The program as it was traced, or traced now and kept; itself where JAX cannot write it down."""
    kept = _read(_traced / name)
    if kept is not None:
        return jax.jit(export.deserialize(kept).call)
    try:
        traced = export.export(run)(*given)
    except (ValueError, NotImplementedError):  # it calls back into Python; or is at fault, as running it will say
        return run
    data = bytes(traced.serialize())
    with contextlib.suppress(OSError):  # no room: then the next start traces it too
        whole.write(_traced / name, hashlib.sha256(data).digest() + data)
    return jax.jit(traced.call)


def _read(path: Path) -> bytearray | None:
    """What is kept in a file, after its checksum; None where nothing is, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, data = content[:32], content[32:]
    return bytearray(data) if hashlib.sha256(data).digest() == checksum else None


@cache
def _sum_code() -> str:
    """A checksum of the package's code."""
    files = sorted(Path(cxrjax.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _use(folder: str) -> None:
    jax.config.update("jax_compilation_cache_dir", folder or None)
    compilation_cache.reset_cache()
