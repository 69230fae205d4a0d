"""Cache of compiled and traced programs on disk, which shortens later starts.

Compiled programs are stored by JAX's persistent compilation cache. Its keys cover everything that a program depends on,
down to the features of the CPU, so machines of any kind may share a folder. Programs that compile in less than
MIN_COMPILE_SECONDS are not stored, unless JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS says otherwise.

To look up a compiled program, JAX has to trace it first, which takes a third of the start for networks of a hundred
layers. Traced programs are therefore stored too, as StableHLO (`CachedFunction`): with a filled cache the command takes
15.0 s of processor time to the result of one radiograph with 100 votes, and 19.5 s without traced programs (medians of
four turns on two busy cores).
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax
import jax
import jaxlib.version
from jax import export
from jax.experimental.compilation_cache import compilation_cache

from cxrjax.runtime import atomic_files, cache, compiler_options

MIN_COMPILE_SECONDS = 0.25  # seconds
_PACKAGE = Path(__file__).resolve().parents[1]

# JAX options that contain one of these words do not affect tracing.
_IGNORED_OPTIONS = ("cache", "explain", "log", "persistent", "timeout")


class TraceCache(NamedTuple):
    """Cache of traced programs."""

    folder: Path
    code_hash: str  # `hash_package` of the code that the programs are traced from


_trace_cache: TraceCache | None = None
_is_set_up = False  # whether this process has chosen a cache, or none


def cache_dir(folder: str | None) -> str:
    """Return the cache folder: the given one, else $JAX_COMPILATION_CACHE_DIR, else the user's cache folder.

    Args:
        folder: a folder, "" for no cache, or None for the default.

    Returns:
        The folder, or "" for no cache.
    """
    if folder is None:
        folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(cache.default_cache_dir()))
    return cache.expand_home(folder)


def is_set_up() -> bool:
    """Return whether this process uses a cache already, or has disabled it by `enable_compilation_cache`."""
    return _is_set_up or bool(jax.config.values["jax_compilation_cache_dir"])


def enable_compilation_cache(folder: str) -> None:
    """Store compiled and traced programs in a folder from here on, and load them from it.

    A folder that is created here is accessible to the user alone, since its content is executed.

    Args:
        folder: the cache folder; "" disables the cache.

    Raises:
        OSError: the folder cannot be created or written, or others may write to it (`cache.UnsafeCacheError`). The
            cache is disabled then.
    """
    global _trace_cache, _is_set_up
    _set_jax_cache("")
    _trace_cache = None
    _is_set_up = True
    if folder and "://" not in folder:  # JAX accesses addresses by other means than the file system
        traced_folder = Path(folder, "traced")
        cache.ensure_private_dir(Path(folder))
        cache.ensure_private_dir(traced_folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
        _trace_cache = TraceCache(traced_folder, hash_package())
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        min_seconds = min(MIN_COMPILE_SECONDS, jax.config.values["jax_persistent_cache_min_compile_time_secs"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", min_seconds)
    _set_jax_cache(folder)


class CachedFunction:
    """A jitted function whose traced program is loaded from the cache where an earlier start stored it."""

    def __init__(self, function: Callable[..., Any], *cache_key: str, options: Mapping[str, bool | int] | None = None):
        """Wrap a function.

        Args:
            function: jitted, from arrays to arrays, in dicts, lists, tuples and NamedTuples of `register_pytree`.
            cache_key: everything else the traced program depends on, beside the package's code and the arguments.
            options: of `compiler_options`; None for the defaults of XLA.
        """
        self._options = compiler_options.on_cpu(options or {})
        self._function = jax.jit(function, compiler_options=self._options)
        self._cache_key = cache_key
        self._programs: dict[tuple, Callable[..., Any]] = {}

    def __call__(self, *args: Any) -> Any:
        """Call the function; all leaves of the arguments are `jax.Array`s."""
        if _trace_cache is None or jax.process_count() > 1:
            return self._function(*args)
        leaves, tree = jax.tree.flatten(args)
        options = sorted(jax.config.values.items())
        settings = repr([item for item in options if not any(word in item[0] for word in _IGNORED_OPTIONS)])
        signature = (tree, settings, *((leaf.aval, leaf.sharding) for leaf in leaves))
        if signature not in self._programs:
            versions = (jax.__version__, jaxlib.version.__version__, flax.__version__, jax.default_backend())
            key = (*self._cache_key, _trace_cache.code_hash, *versions, *signature)
            name = hashlib.sha256(repr(key).encode()).hexdigest()
            self._programs[signature] = _load_or_trace(self._function, args, name, _trace_cache, self._options)
        return self._programs[signature](*args)


def register_pytree(named_tuple: type) -> type:
    """Register a NamedTuple, as its decorator, so that cached programs may take and return it."""
    name = f"{named_tuple.__module__}.{named_tuple.__qualname__}"
    return export.register_namedtuple_serialization(named_tuple, serialized_name=name)


def hash_package(package: Path = _PACKAGE) -> str:
    """Return a SHA-256 of a package's source: the names and the content of its Python files."""
    files = sorted(package.rglob("*.py"))
    sums = [(str(file.relative_to(package)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return hashlib.sha256(repr(sums).encode()).hexdigest()


def _load_or_trace(
    function: jax.stages.Wrapped, args: Any, name: str, traces: TraceCache, options: dict[str, bool | int]
) -> Callable[..., Any]:
    """Load a traced program, or trace and store it; return the function itself where JAX cannot serialize it."""
    data = _read(traces.folder / name)
    if data is not None:
        return _jit(export.deserialize(data), options)
    try:
        traced = export.export(function)(*args)
        data = bytes(traced.serialize())
    except (ValueError, NotImplementedError):
        # It calls back into Python, has an unregistered NamedTuple, or has an error that running it will raise.
        return function
    if hash_package() == traces.code_hash:  # else the source has changed since this process imported it
        with contextlib.suppress(OSError):  # disk full: the next start traces it again
            atomic_files.atomic_write(traces.folder / name, hashlib.sha256(data).digest() + data, private=True)
    return _jit(traced, options)


def _jit(traced: export.Exported, options: dict[str, bool | int]) -> jax.stages.Wrapped:
    """Jit a traced program under the name of its function, which JAX reports while it compiles it."""

    def call(*args: Any) -> Any:
        return traced.call(*args)

    call.__name__ = traced.fun_name
    return jax.jit(call, compiler_options=options)


def _read(path: Path) -> bytearray | None:
    """Return the content of a file after its checksum; None if it is missing, damaged, or writable by others."""
    try:
        with path.open("rb") as file:
            content = file.read() if cache.is_safe_file(file.fileno()) else b""
    except OSError:
        return None
    checksum = content[:32]
    data = content[32:]
    return bytearray(data) if hashlib.sha256(data).digest() == checksum else None


def _set_jax_cache(folder: str) -> None:
    jax.config.update("jax_compilation_cache_dir", folder or None)
    compilation_cache.reset_cache()
