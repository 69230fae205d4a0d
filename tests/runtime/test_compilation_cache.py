"""A cached program is traced again only if its code, arguments or settings changed."""

import os
import pwd
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cxrjax.runtime import atomic_files, cache, compilation_cache


@compilation_cache.register_pytree
class Pair(NamedTuple):
    """The result of the program of these tests."""

    scaled: jax.Array
    sums: dict[str, jax.Array]


class Unknown(NamedTuple):
    """A result type that is not registered."""

    doubled: jax.Array


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        compilation_cache, "_trace_cache", compilation_cache.TraceCache(tmp_path, compilation_cache.hash_package())
    )
    return tmp_path


@pytest.fixture
def restored_cache(monkeypatch):
    """Restore the folder of the cache after a test."""
    monkeypatch.setattr(compilation_cache, "_trace_cache", None)
    before = jax.config.jax_compilation_cache_dir
    yield
    compilation_cache.enable_compilation_cache("")
    jax.config.update("jax_compilation_cache_dir", before)


class Start:
    """A cached program as after a start of the process, with the number of its traces."""

    def __init__(self, made_of="made of this"):
        self.traces = 0
        self.run = compilation_cache.CachedFunction(jax.jit(self._run), made_of)

    def _run(self, factor, given):
        self.traces += 1
        return Pair(factor * jnp.sin(given["x"]), {"sum": given["x"].sum()})

    def give(self, count=5):
        return self.run(jnp.float32(3), {"x": jnp.linspace(0, 1, count)})


def test_compiler_options_are_used_in_the_first_and_a_later_start(folder):
    for _ in range(2):
        function = compilation_cache.CachedFunction(jax.jit(jnp.sin), "sine", options={"xla_has_no_such_option": 1})
        with pytest.raises(jax.errors.JaxRuntimeError, match="xla_has_no_such_option"):
            function(jnp.float32(1))
    assert len([*folder.iterdir()]) == 1


def test_later_start_does_not_trace_and_returns_the_same(folder):
    first, second = Start(), Start()
    given, again, later = first.give(), first.give(), second.give()
    assert (first.traces, second.traces) == (1, 0) and isinstance(later, Pair)
    np.testing.assert_allclose(given.scaled, 3 * np.sin(np.linspace(0, 1, 5)), rtol=1e-6)
    assert given.sums["sum"] == pytest.approx(2.5)
    for other in (again, later):
        jax.tree.map(np.testing.assert_array_equal, other, given)
    assert len([*folder.iterdir()]) == 1


def test_every_start_compiles_a_program_under_the_name_of_its_function(folder, caplog):
    for _ in range(2):
        start = Start()
        caplog.clear()
        with jax.log_compiles():
            start.give()
        assert "XLA compilation of jit(_run)" in caplog.text


@pytest.fixture
def precise():
    """A function that changes the precision of matrix products until the end of the test."""
    yield lambda: jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_default_matmul_precision", None)


@pytest.mark.parametrize("what", ["made of", "form", "code", "setting", "version"])
def test_changed_program_settings_or_code_are_traced_again(folder, monkeypatch, precise, what):
    Start().give()
    if what == "code":
        code = "other"
        monkeypatch.setattr(compilation_cache, "hash_package", lambda: code)
        monkeypatch.setattr(compilation_cache, "_trace_cache", compilation_cache.TraceCache(folder, code))
    if what == "version":
        monkeypatch.setattr(jax, "__version__", "0.0.0")
    if what == "setting":
        precise()
    later = Start("made of that" if what == "made of" else "made of this")
    assert len(later.give(6 if what == "form" else 5).scaled) == (6 if what == "form" else 5)
    assert later.traces == 1 and len([*folder.iterdir()]) == 2


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-1] + bytes([data[-1] ^ 1])]
)
def test_damaged_cached_program_is_traced_and_saved_again(folder, damage):
    given = Start().give()
    (file,) = folder.iterdir()
    data = file.read_bytes()
    file.write_bytes(damage(data))
    later = Start()
    jax.tree.map(np.testing.assert_array_equal, later.give(), given)
    assert later.traces == 1
    last = Start()
    jax.tree.map(np.testing.assert_array_equal, last.give(), given)
    assert last.traces == 0


def test_trace_is_not_saved_if_the_code_changed_since_the_start(folder, monkeypatch):
    monkeypatch.setattr(compilation_cache, "_trace_cache", compilation_cache.TraceCache(folder, "that of the start"))
    assert Start().give().sums["sum"] == pytest.approx(2.5) and not [*folder.iterdir()]


def test_package_hash_depends_on_every_file_and_its_name(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "inside" / "b.py").write_text("y = 2")
    sums = [compilation_cache.hash_package(tmp_path)]
    for change in (
        lambda: (tmp_path / "inside" / "b.py").write_text("y = 3"),
        lambda: (tmp_path / "a.py").rename(tmp_path / "c.py"),
        lambda: (tmp_path / "d.py").write_text(""),
    ):
        change()
        sums.append(compilation_cache.hash_package(tmp_path))
    (tmp_path / "notes.txt").write_text("no code")
    assert len(set(sums)) == 4 and compilation_cache.hash_package(tmp_path) == sums[-1]


def test_another_process_uses_the_cache_in_a_moved_folder(tmp_path):
    code = """if True:
        import sys, jax
        from cxrjax.runtime import compilation_cache
        compilation_cache.enable_compilation_cache(sys.argv[1])
        traces = []
        def double(x):
            traces.append(x)
            return 2 * x
        print(compilation_cache.CachedFunction(jax.jit(double), "doubles")(jax.numpy.float32(4)), len(traces))
    """
    said = []
    for name in ("first", "second"):
        if said:
            (tmp_path / "first").rename(tmp_path / "second")
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        found = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
        said.append(found.stdout.strip())
    assert said == ["8.0 1", "8.0 0"]


def test_programs_that_cannot_be_cached_still_run(folder, monkeypatch):
    def call_python(x):
        return jax.pure_callback(lambda x: np.asarray(2 * x), x, x)

    assert compilation_cache.CachedFunction(jax.jit(call_python), "asks")(jnp.float32(4)) == 8 and not [
        *folder.iterdir()
    ]
    other = compilation_cache.CachedFunction(jax.jit(lambda x: Unknown(2 * x)), "gives what is not registered")
    assert other(jnp.float32(4)).doubled == 8 and not [*folder.iterdir()]

    def write(path, data, private):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files, "atomic_write", write)
    assert Start().give().sums["sum"] == pytest.approx(2.5) and not [*folder.iterdir()]


def test_changed_jax_settings_cause_a_new_trace(folder, precise):
    start = Start()
    start.give()
    precise()
    start.give()
    assert start.traces == 2


def test_error_of_the_program_is_raised_unchanged(folder):
    def fail(x):
        raise ValueError("no such rule")

    with pytest.raises(ValueError, match="no such rule"):
        compilation_cache.CachedFunction(jax.jit(fail), "fails")(jnp.zeros(1))


def test_disabled_cache_traces_once_per_process(monkeypatch):
    monkeypatch.setattr(compilation_cache, "_trace_cache", None)
    start = Start()
    start.give()
    start.give()
    assert start.traces == 1


def test_cache_folder_and_files_are_private(tmp_path, restored_cache):
    """The umask does not matter: entries are machine code, so that anyone who can write them runs code as the user."""
    former = os.umask(0)
    try:
        compilation_cache.enable_compilation_cache(str(tmp_path / "new" / "kept"))
        Start().give()
    finally:
        os.umask(former)
    folder = tmp_path / "new" / "kept"
    (traced,) = (folder / "traced").iterdir()
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "traced", traced)] == [0o700, 0o700, 0o600]
    traced.chmod(0o666)
    later = Start()
    later.give()
    assert later.traces == 1 and traced.stat().st_mode & 0o777 == 0o600  # not read, and replaced


@pytest.mark.parametrize("path", [".", "traced", "other", "traced/other"])
@pytest.mark.parametrize("fault", ["owner", "mode"])
def test_cache_folder_that_others_may_change_is_not_used(tmp_path, monkeypatch, restored_cache, path, fault):
    folder = tmp_path / "kept"
    (folder / "traced").mkdir(parents=True, mode=0o755)
    for file in ("other", "traced/other"):
        (folder / file).write_bytes(b"")
    if fault == "mode":
        (folder / path).chmod(0o777)
    else:
        strange = (folder / path).stat().st_ino
        monkeypatch.setattr(cache, "_is_owned", lambda status: status.st_ino != strange)
    with pytest.raises(cache.UnsafeCacheError) as error:
        compilation_cache.enable_compilation_cache(str(folder))
    assert re.fullmatch(
        rf"{folder / path} (belongs to another user|may be written by other users)", error.value.strerror
    )
    assert compilation_cache._trace_cache is None and jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize("home", [None, "", "~"])
def test_without_a_home_the_cache_is_in_the_temporary_folder(tmp_path, monkeypatch, home):
    """As in containers whose user has a number and no name."""
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(cache.pwd, "getpwuid", {}.__getitem__)  # as it is for such a user
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    assert compilation_cache.cache_dir(None) == str(tmp_path / "tmp" / f"cxrjax-{os.geteuid()}")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert compilation_cache.cache_dir(None).startswith(str(tmp_path / "tmp"))
    assert [*tmp_path.iterdir()] == []


def test_empty_home_is_looked_up_in_the_user_database(monkeypatch):
    monkeypatch.setenv("HOME", "")
    assert cache.find_home() == Path(pwd.getpwuid(os.geteuid()).pw_dir)
