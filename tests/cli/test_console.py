"""The command `cxrjax` runs the code of `python -m cxrjax.main`, and its help and completion list each mode's flags."""

import re
import runpy
import subprocess

import pytest
import shtab
from absl.testing import flagsaver

from cxrjax import console
from cxrjax.main import MODES


def run_command(monkeypatch, capsys, *words: str) -> str:
    """Run the command, which has to exit with status 0, and return what it printed."""
    monkeypatch.setattr("sys.argv", ["/usr/bin/cxrjax", *words])
    with pytest.raises(SystemExit) as ended:
        console.main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_subcommand_selects_the_mode_of_its_name(monkeypatch) -> None:
    lines = []
    monkeypatch.setattr("cxrjax.main.run", lines.append)
    monkeypatch.setattr("sys.argv", ["cxrjax", "predict", "--model=lungs", "--input", "a.png", "--output=out"])
    console.main()
    assert lines == [["cxrjax", "--mode=predict", "--model=lungs", "--input", "a.png", "--output=out"]]


def test_usage_error_names_the_command_cxrjax(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/cxrjax", "rescore", "--workdir=x", "--input=y"])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        console.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "cxrjax: --mode=rescore takes no --input; see cxrjax --help\n"


def test_the_package_is_run_as_the_command(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["/site-packages/cxrjax/__main__.py", "rescore", "--workdir=x", "--input=y"])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        runpy.run_module("cxrjax", run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "cxrjax: --mode=rescore takes no --input; see python -m cxrjax --help\n"


@pytest.mark.parametrize("mode", MODES)
def test_help_of_a_subcommand_lists_exactly_the_flags_of_its_mode(mode, monkeypatch, capsys) -> None:
    text = run_command(monkeypatch, capsys, mode, "--help").partition("options:")[2].partition("A setting of")[0]
    named = set(re.findall(r"^  --(\w+)", text, re.MULTILINE))
    assert named == {*MODES[mode].required, *MODES[mode].optional, "workdir", "limits", "compilation_cache_dir"}


def test_flag_help_has_only_the_clauses_of_the_mode() -> None:
    text = "predict, serve: a folder; of any depth; import: weights"
    assert console.select_clauses(text, "serve") == "a folder; of any depth"
    assert console.select_clauses(text, "import") == "weights"


def test_prepare_is_a_subcommand(monkeypatch, capsys) -> None:
    assert "openist" in run_command(monkeypatch, capsys, "prepare", "--list")
    assert run_command(monkeypatch, capsys, "prepare", "phantom", "--help").startswith("usage: cxrjax prepare phantom")


def test_bash_completes_subcommands_and_flags() -> None:
    script = shtab.complete(console.make_parser(), "bash")
    script += (
        "\nCOMP_WORDS=(cxrjax predict --re); COMP_CWORD=2; _shtab_cxrjax; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(cxrjax eval); COMP_CWORD=1; _shtab_cxrjax; echo ${COMPREPLY[@]}"
    )
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["--reject_ood", "evaluate evaluate_saliency"]
