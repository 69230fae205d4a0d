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
from pathlib import Path
from typing import Any, NamedTuple

import flax
import jax
import jaxlib
from jax import export
from jax.experimental.compilation_cache import compilation_cache

import cxrjax
from cxrjax.runtime import atomic_files, cache

LEAST = 0.25  # seconds
_PACKAGE = Path(cxrjax.__file__).parent

# What of JAX's settings has no part in what is traced.
_ELSEWHERE = ("cache", "explain", "log", "persistent", "timeout")


class TraceCache(NamedTuple):
    """Where traced programs are kept, and the code that they are traced from."""

    folder: Path
    code: str


_traced: TraceCache | None = None


def cache_dir(asked: str | None) -> str:
    """Where to keep them: where it is asked for, else in JAX_COMPILATION_CACHE_DIR, else in the user's cache.

    Args:
        asked: a folder, "" for none, or None: nothing is asked for.

    Returns:
        The folder, or "" for none.
    """
    if asked is None:
        asked = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(cache.name_folder()))
    return cache.expand_home(asked)


def enable_compilation_cache(folder: str) -> None:
    """Keep what is compiled and traced from here on in a folder, and take from it; "" for none.

    A folder that is made here is the user's alone, for what lies in it is run.

    Raises:
        OSError: the folder is not there and cannot be made, nothing can be written into it, or others may write into it
            (`cache.UnsafeFolder`). None is used then.
    """
    global _traced
    _use("")
    _traced = None
    if folder and "://" not in folder:  # which JAX reaches by other means than the system's
        traced = Path(folder, "traced")
        cache.make_private(Path(folder))
        cache.make_private(traced)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _traced = TraceCache(traced, hash_package())
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        least = min(LEAST, jax.config.jax_persistent_cache_min_compile_time_secs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    _use(folder)


class CachedFunction:
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
        settings = repr([one for one in sorted(jax.config.values.items()) if not any(x in one[0] for x in _ELSEWHERE)])
        form = (tree, settings, *((leaf.aval, leaf.sharding) for leaf in leaves))
        if form not in self._ready:
            traced_by = (jax.__version__, jaxlib.__version__, flax.__version__, jax.default_backend())
            words = (*self._made_of, _traced.code, *traced_by, *form)
            self._ready[form] = _recall(self._run, given, hashlib.sha256(repr(words).encode()).hexdigest(), _traced)
        return self._ready[form](*given)


def register_pytree(kind: type) -> type:
    """Let a NamedTuple, whose decorator this is, go into programs that are kept and come out of them."""
    return export.register_namedtuple_serialization(kind, serialized_name=f"{kind.__module__}.{kind.__qualname__}")


def hash_package(package: Path = _PACKAGE) -> str:
    """A checksum of a package's code, its files' names and what is in them."""
    files = sorted(package.rglob("*.py"))
    sums = [(str(file.relative_to(package)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return hashlib.sha256(repr(sums).encode()).hexdigest()


def _recall(run: Callable[..., Any], given: Any, name: str, kept: TraceCache) -> Callable[..., Any]:
    """The program as it was traced, or traced now and kept; itself where JAX cannot write it down."""
    data = _read(kept.folder / name)
    if data is not None:
        return jax.jit(export.deserialize(data).call)
    try:
        traced = export.export(run)(*given)
        data = bytes(traced.serialize())
    except (ValueError, NotImplementedError):
        # It calls back into Python, or has a NamedTuple that is not registered; or is at fault, as running it will say.
        return run
    if hash_package() == kept.code:  # else it may be changed since this program began, which is then of older code
        with contextlib.suppress(OSError):  # no room: then the next start traces it too
            atomic_files.atomic_write(kept.folder / name, hashlib.sha256(data).digest() + data, private=True)
    return jax.jit(traced.call)


def _read(path: Path) -> bytearray | None:
    """Return what a file has after its checksum; None where there is none, it is damaged, or others may write it."""
    try:
        with path.open("rb") as file:
            content = file.read() if cache.is_safe_file(file.fileno()) else b""
    except OSError:
        return None
    checksum, data = content[:32], content[32:]
    return bytearray(data) if hashlib.sha256(data).digest() == checksum else None


def _use(folder: str) -> None:
    jax.config.update("jax_compilation_cache_dir", folder or None)
    compilation_cache.reset_cache()
