"""The command line: an error is one sentence with exit status 2 or 1."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

import cxrjax as cx
from cxrjax import main
from cxrjax.cli import commands, predict_files
from cxrjax.config import default_config, freeze
from cxrjax.io import files
from cxrjax.runs import run_dir
from cxrjax.runtime import compilation_cache
from tests.helpers.command_line import CommandLine

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "--config=configs/phantom.py:segment"
RECEIVE = ("--mode=receive", "--model=lungs", "--output=y")
PREDICT = ("--mode=predict", "--input=y", "--output=z")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a command line as a process."""
    command_line = CommandLine(tmp_path_factory.mktemp("streams"))
    yield command_line.run
    command_line.close()


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        ((CONFIG,), 2, "--mode=train needs --workdir"),
        (("--workdir=x",), 2, "--mode=train needs --config"),
        (("--workdir=x", "--config=configs/none.py"), 2, "configs/none.py"),
        (("--workdir=x", CONFIG, "--config.training.epoch=3"), 2, "no setting 'epoch"),
        (("--workdir=x", CONFIG, "--config.training.epochs=many"), 2, "epochs=many: it should be a whole number"),
        (("--workdr=x",), 2, "workdr"),
        (("--workdir=x", "--mode=predict", "--input=y"), 2, "--mode=predict needs --output"),
        (("--workdir=x", *PREDICT, "--save=mask,masks"), 2, "'masks' is not a kind of file of a prediction; there are"),
        (
            ("--workdir=x", *PREDICT, "--value_range=1,0"),
            2,
            "--value_range=1,0 is not two numbers, the lower one first",
        ),
        (
            ("--workdir=x", *PREDICT, "--value_range=low"),
            2,
            "--value_range=low is not two numbers, the lower one first",
        ),
        (("--workdir=x", *PREDICT, "--deidentify"), 2, "--deidentify is about DICOM files; add --save=dicom"),
        (("--mode=serve",), 2, "--mode=serve needs --workdir or --model"),
        (("--mode=serve", "--model=lungs", "--port=99999"), 2, "port"),
        (("--mode=serve", "--model=lungs", "--label=x"), 2, "--mode=serve takes no --label"),
        (("--mode=serve", "--model=nothing"), 1, "nothing: there is no such model, file or run"),
        (("--mode=receive", "--model=lungs"), 2, "--mode=receive needs --output"),
        (RECEIVE, 2, "--mode=receive needs --allow_aet=AET,…, the nodes that may send, or --send_to=AET@HOST:PORT"),
        ((*RECEIVE, "--send_to=PACS:104"), 2, "--send_to=PACS:104 is not AET@HOST:PORT, such as ORTHANC@127.0.0.1"),
        ((*RECEIVE, "--send_to=A@h:1", "--aet=A"), 2, "--send_to=A@h:1 has the AE title of the receiver itself"),
        ((*RECEIVE, "--allow_aet=A", "--aet=of several words, long"), 2, "long is not an AE title: 1 to 16 ASCII"),
        (
            (*RECEIVE, "--allow_aet=A", "--host=0.0.0.0"),
            2,
            "--host=0.0.0.0 is reached by other machines: name those by --allow_address=ADDRESS,…",
        ),
        ((*RECEIVE, "--allow_aet=A", "--allow_address=lab"), 2, "--allow_address: 'lab' does not appear to be an IPv4"),
        (("--workdir=x", "--mode=compare_runs"), 2, "--mode=compare_runs needs --baseline"),
        (("--workdir=x", CONFIG, "--config.image.equalize=maybe"), 2, "equalize=maybe: it should be true or false"),
        (("--workdir=x", CONFIG, "--config.training.nothing=3"), 2, "the config has no setting 'training.nothing'"),
        (("--workdir=x", "--config=configs"), 2, "configs: this is a folder"),
        (
            ("--workdir=x", "--config=oh2020"),
            2,
            "oh2020: the variant is missing; write a colon and one of segment, classi",
        ),
        (
            ("--workdir=x", "--config", "configs/oh2020.py:x"),
            2,
            "configs/oh2020.py: no variant 'x'; write a colon and one",
        ),
        (("--workdir=x", "--config=oh:x"), 2, "oh: no such recipe; there are benchmark, chexnet, fsarshad"),
        (("--workdir=x", "--config=configs/oh2020_segment.py"), 2, "is now --config=configs/oh2020.py:segment"),
        (("--workdir=x", "--config=oh2020:segment", "--config.seed=-1"), 2, "seed=-1: it should be a whole number"),
        (("--workdir=x", "--config", "oh2020:segment", "--config.seed=-1"), 2, "seed=-1: it should be a whole number"),
        (("--workdir=no/run", "--mode=audit", "--config=audit"), 1, "no/run: there is no run here"),
        (("--workdir=x", "--mode=rescore", "--split=../y"), 2, "--split=../y is not the name of a split"),
        (("--workdir=x", "--mode=audit", "--dataset=y"), 2, "--mode=audit takes no --dataset"),
        (("--workdir=x", "--mode=evaluate", "--lesion_csv=y"), 2, "--mode=evaluate takes no --lesion_csv"),
        (("--workdir=x", CONFIG, "--split=test"), 2, "--mode=train takes no --split"),
        (("--workdir=x", "--mode=rescore", "--noreject_ood"), 2, "--mode=rescore takes no --reject_ood"),
        (("--workdir=x", "--mode=report", CONFIG), 2, "--mode=report takes no --config"),
        (("--workdir=x", "--mode=import", CONFIG), 2, "--mode=import needs --input"),
        (("--workdir=x", "--mode=export"), 2, "--mode=export needs --output"),
        (
            ("--workdir=x", CONFIG, "--num_processes=2", "--process_id=0"),
            2,
            "--coordinator_address, --num_processes and --process_id must be given together",
        ),
        (("--workdir=x", CONFIG, "--num_processes=2", "--process_id=2"), 2, "--process_id=2 is not between 0 and 1"),
        (
            ("--workdir=x", CONFIG, "--distributed", "--process_id=1"),
            2,
            "--num_processes and --process_id must be given together",
        ),
        (("--workdir=x", "--mode=rescore", "--distributed"), 2, "--mode=rescore takes no --distributed"),
        (("--workdir=x", "--mode=score"), 2, "--mode=score is now --mode=rescore; see"),
        (("--workdir=x", "--mode", "fit_gate"), 2, "--mode=fit_gate is now --mode=fit_ood; see"),
        (("--workdir=x", "--mode=predict", "--processes", "2"), 2, "--processes is now --num_processes; see"),
        (("--workdir=x", "--mode=predict", "--norefuse"), 2, "--norefuse is now --noreject_ood; see"),
        (("--workdir=x", "--mode=import", CONFIG, "--input=none.pth"), 1, "none.pth: no such file or directory"),
        (("--workdir=x", "--mode=import", CONFIG, "--input=LICENSE"), 1, "LICENSE: this is not a file of safetensors"),
        (("--workdir=x", "--mode=export", "--output=y.onnx"), 2, "y.onnx is neither; a folder may end in /"),
        (("--workdir=no/such/run", "--mode=export", "--output=y"), 1, "no/such/run: there is no run here"),
        (("--workdir=no/such/run", "--mode=evaluate"), 1, "no/such/run: there is no run here"),
        (("--workdir=no/such/run", "--mode=evaluate_saliency"), 1, "no/such/run: there is no run here"),
        (("--model=lungs", *PREDICT, "--input=docs", "--output=docs"), 1, "docs: is the folder of the input, docs"),
        (("--model=lungs", *PREDICT, "--input=docs", "--label=viral"), 1, "cxrjax: lungs: has no class 'viral'; this"),
        (("--model=lungs", *PREDICT, "--input=docs", "--reject_ood"), 1, "cxrjax: lungs: has no OOD detector"),
    ],
)
def test_command_line_error_is_one_sentence_with_exit_status(run, arguments, status, message):
    result = run(*arguments)
    assert result.returncode == status
    assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1
    assert not (ROOT / "x").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--mode=prediction",),
        ("--model=lung", *PREDICT),
        ("--model=lungs", *PREDICT, "--input=no/file"),
        ("--model=lungs", *PREDICT, "--input=docs", "--output=docs"),
        ("--workdir=x", "--mode=export", "--output=y.onnx"),
        ("--workdir=no/run", "--mode=evaluate"),
        ("--workdir=x", "--config=no_recipe"),
        ("--workdir=x", CONFIG, "--config.data.dir=no/data"),
    ],
)
def test_command_line_errors_are_found_before_jax_is_imported(arguments):
    command = [sys.executable, "-X", "importtime", "-m", "cxrjax.main", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if "|" in line}
    assert "absl.flags" in imported and not imported & {"jax", "flax", "tensorflow_datasets", "matplotlib"}


def test_missing_data_set_is_named(run, tmp_path):
    result = run(f"--workdir={tmp_path}/run", CONFIG, f"--config.data.dir={tmp_path}/none")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(f"cxrjax: {tmp_path}/none: there is no prepared data set")


def test_empty_data_dir_is_an_error(run, tmp_path):
    result = run(f"--workdir={tmp_path}/run", "--config=configs/oh2020.py:segment")
    assert result.returncode == 1 and "config.data.dir is empty" in result.stderr


@pytest.mark.parametrize(
    "flag, variables, folder",
    [
        (None, {"XDG_CACHE_HOME": "/xdg", "JAX_COMPILATION_CACHE_DIR": "/jax"}, "/jax"),
        (None, {"XDG_CACHE_HOME": "/xdg"}, "/xdg/cxrjax"),
        (None, {"XDG_CACHE_HOME": ""}, "/home/me/.cache/cxrjax"),
        (None, {"JAX_COMPILATION_CACHE_DIR": ""}, ""),
        ("/flag", {"JAX_COMPILATION_CACHE_DIR": "/jax"}, "/flag"),
        ("", {"JAX_COMPILATION_CACHE_DIR": "/jax"}, ""),
        (None, {"JAX_COMPILATION_CACHE_DIR": "~/jax"}, "/home/me/jax"),
    ],
)
def test_compilation_cache_dir_is_flag_then_environment_then_default(flag, variables, folder, monkeypatch):
    for name in ("XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert compilation_cache.cache_dir(flag) == folder


def test_programs_are_cached_only_in_the_enabled_folder(tmp_path, monkeypatch):
    def compile_program():
        jax.jit(lambda x: x * 2 + 1).lower(1.0).compile()

    monkeypatch.setattr(
        compilation_cache, "_trace_cache", None
    )  # restored at the end, since other tests compile other networks
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    try:
        compilation_cache.enable_compilation_cache(str(tmp_path / "here" / "kept"))
        compile_program()
        traced = tmp_path / "here" / "kept" / "traced"  # empty: what JAX alone traces is not stored
        (entry,) = (path for path in traced.parent.rglob("*") if path != traced)
        assert cx.enable_compilation_cache("") is None
        assert cx.enable_compilation_cache() is None  # as `load` calls it
        entry.unlink()
        compile_program()
        assert [*traced.parent.rglob("*")] == [traced] and jax.config.jax_compilation_cache_dir is None
    finally:
        compilation_cache.enable_compilation_cache(before[0])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before[1])


def test_unwritable_cache_folder_is_only_a_warning(run, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    result = run(f"--workdir={tmp_path}/run", "--mode=rescore", f"--compilation_cache_dir={tmp_path}/file/under")
    warning, error = result.stderr.strip().splitlines()
    assert warning.startswith(
        f"cxrjax: {tmp_path}/file/under: compiled programs cannot be cached here (Not a directory)"
    )
    assert result.returncode == 1 and f"{tmp_path}/run" in error


@pytest.fixture
def finish_prediction(monkeypatch, tmp_path):
    """Return a function that ends a prediction of the given rows and returns its exit status."""

    def run_prediction(rows, skipped_files=(), num_processes=None, process_id=None):
        skipped = [files.SkippedFile(tmp_path / "in" / name, *rest) for name, *rest in skipped_files]
        monkeypatch.setattr(predict_files, "predict", lambda *_, **__: predict_files.Result(rows, skipped))
        request = commands.Request(tmp_path, input=str(tmp_path / "in"), output="out")
        return commands.predict_radiographs(request._replace(num_processes=num_processes, process_id=process_id))

    return run_prediction


def test_prediction_prints_summary_and_returns_exit_status(finish_prediction, capsys):
    fine = {"path": "a.png", "status": "ok", "reason": ""}
    assert finish_prediction([fine]) == 0
    assert capsys.readouterr() == ("1 radiograph processed; rows and files are in out\n", "")
    assert finish_prediction([fine, fine | {"status": "refused", "reason": "x"}, fine]) == 0
    assert capsys.readouterr() == (
        "2 radiographs processed; rows and files are in out\n1 refused, the reasons are in out/predictions.csv\n",
        "refused: a.png: x\n",
    )
    torn = {"path": "b\n\x1b[31m\udce9.png", "status": "unreadable", "reason": "empty file"}
    undrawn = {"path": "c.png", "status": "failed", "reason": "its figure cannot be drawn: file too large"}
    for row in (torn, undrawn):
        assert finish_prediction([row]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "unreadable: b\\n\\x1b[31m\\xe9.png: empty file",
        "failed: c.png: its figure cannot be drawn: file too large",
    ]


def test_skipped_files_are_listed_after_the_prediction(finish_prediction, capsys):
    fine = {"path": "a.png", "status": "ok", "reason": ""}
    notes = [(f"{i:02}.txt", "not an image") for i in range(22)]
    assert finish_prediction([fine], [*notes, (".git", files.HIDDEN)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "skipped: 00.txt: not an image" and len(lines) == 22
    assert lines[20:] == [
        "also skipped: 2 files and 1 hidden name",
        "all skipped files are listed in out/skipped_files.csv",
    ]
    assert finish_prediction([fine], [("locked", "a folder that cannot be opened: permission denied", True)]) == 3
    capsys.readouterr()
    assert finish_prediction([fine], notes, num_processes=2, process_id=1) == 0  # the first process lists them
    assert not capsys.readouterr().err


def test_os_error_message_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    for problem in (lambda: (tmp_path / "file" / "x").mkdir(), lambda: (tmp_path / "none").read_text()):
        with pytest.raises(OSError) as raised:
            problem()
        assert main._describe(raised.value) == f"{raised.value.filename}: {raised.value.strerror.lower()}"
    assert main._describe(MemoryError()) == "there is not enough memory"


@pytest.mark.parametrize(
    ("redirection", "status"),
    [("2>&-", 1), (">&-", 1), (">&- 2>&-", 1), ("2>&1 | true; exit ${PIPESTATUS[0]}", 1)],
)
def test_closed_output_streams_do_not_change_the_exit_status(tmp_path, redirection, status):
    command = (
        f"{sys.executable} -m cxrjax.main --workdir=no/such/run --mode=rescore --compilation_cache_dir= {redirection}"
    )
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == status and "Traceback" not in result.stderr + result.stdout


def test_help_shows_modes_and_intended_use():
    command = [sys.executable, "-m", "cxrjax.main", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert all(
        text in result.stdout for text in ("--mode=evaluate", "--mode=predict", "--workdir", "not for diagnosis")
    )


def test_audit_folder_with_other_settings_is_named(tmp_path):
    """An audit's folder lies inside its run: no other --workdir would help."""
    config = default_config()
    config.task = "segment"
    run_dir.create_or_resume(tmp_path / "audit", freeze(config))
    config.seed = 1
    with pytest.raises(run_dir.RunError, match=r"seed=0.* or remove .*audit$"):
        run_dir.create_or_resume(tmp_path / "audit", freeze(config))


def test_missing_highdicom_error_has_the_install_command(monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "find_spec", lambda name: None if name == "highdicom" else object())
    request = commands.Request(Path("run"), input=str(tmp_path / "in"), output=str(tmp_path / "out"), save=["dicom"])
    with pytest.raises(ValueError, match=r"--save=dicom needs highdicom: pip install 'cxrjax\[dicom\]'"):
        commands.check_prediction(request)


def test_missing_uvicorn_error_has_the_install_command(monkeypatch):
    monkeypatch.setattr(commands, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(ValueError, match=r"--mode=serve needs uvicorn: pip install 'cxrjax\[serve\]'"):
        commands.check_serve_packages(commands.Request(Path("run")))
