"""The log of a run: command, versions, commit and epochs."""

import json
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import cxrjax
from cxrjax.runs import run_log
from cxrjax.runtime import software


def test_start_records_command_versions_and_commit(tmp_path):
    program = (
        "import sys; from pathlib import Path; from cxrjax.runs import run_log; "
        "run_log.record_start(Path(sys.argv[1]), 7); run_log.append(Path(sys.argv[1]), 'two\\nlines')"
    )
    words = ["-c", program, str(tmp_path), "a word"]
    for _ in range(2):
        subprocess.run([sys.executable, *words], check=True, cwd=Path(cxrjax.__file__).parents[1])
    starts = [json.loads(line) for line in (tmp_path / run_log.STARTS).read_text().splitlines()]
    assert len(starts) == 2
    assert starts[0]["step"] == 7
    assert shlex.split(starts[0]["command"])[1:] == words
    assert starts[0]["versions"]["jax"] == metadata.version("jax")
    assert starts[0]["versions"]["cxrjax"] == cxrjax.__version__
    assert starts[0]["commit"] == software.commit()
    lines = (tmp_path / run_log.LOG).read_text().splitlines()
    assert len(lines) == 4
    assert lines[1].endswith(r"two\nlines")


def test_commit_is_that_of_the_checkout_and_marks_changed_files(tmp_path, monkeypatch):
    package = tmp_path / "cxrjax" / "runtime"
    package.mkdir(parents=True)
    monkeypatch.setattr(software, "__file__", str(package / "software.py"))
    assert software.commit() == ""  # an installed package

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    (package / "a.py").write_text("1")
    git("add", "-A")
    git("commit", "-qm", "a")
    assert software.commit() == git("rev-parse", "HEAD")
    (package / "a.py").write_text("2")
    assert software.commit() == git("rev-parse", "HEAD") + "-dirty"


def test_format_epoch_is_one_line():
    record = {"step": 360, "epoch": 3, "learning_rate": 1e-3, "train/loss": 0.12345678, "val/jaccard": 0.95}
    assert run_log.format_epoch(record, 14) == "epoch 3 of 14: train/loss 0.1235, val/jaccard 0.95"
