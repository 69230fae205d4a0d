"""The command `cxrjax` runs the code of `python -m cxrjax.main`, and its help and completion know each mode's flags."""

import re
import subprocess

import pytest
import shtab
from absl.testing import flagsaver

from cxrjax import console
from cxrjax.main import MODES


def answer(monkeypatch, capsys, *words: str) -> str:
    """Run the command, which has to exit with status 0, and return what it printed."""
    monkeypatch.setattr("sys.argv", ["/usr/bin/cxrjax", *words])
    with pytest.raises(SystemExit) as ended:
        console.main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_a_command_is_the_mode_of_its_name(monkeypatch) -> None:
    lines = []
    monkeypatch.setattr("cxrjax.main.run", lines.append)
    monkeypatch.setattr("sys.argv", ["cxrjax", "predict", "--model=lungs", "--input", "a.png", "--output=out"])
    console.main()
    assert lines == [["cxrjax", "--mode=predict", "--model=lungs", "--input", "a.png", "--output=out"]]


def test_a_mistake_is_the_sentence_of_the_module_with_the_name_of_the_command(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/cxrjax", "rescore", "--workdir=x", "--input=y"])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
        console.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "cxrjax: --mode=rescore takes no --input; see cxrjax --help\n"


@pytest.mark.parametrize("mode", MODES)
def test_the_help_of_a_command_has_the_flags_of_its_mode_and_no_others(mode, monkeypatch, capsys) -> None:
    text = answer(monkeypatch, capsys, mode, "--help").partition("options:")[2].partition("A setting of")[0]
    named = set(re.findall(r"^  --(\w+)", text, re.MULTILINE))
    assert named == {*MODES[mode].required, *MODES[mode].optional, "workdir", "limits", "compilation_cache_dir"}


def test_the_help_of_a_flag_says_what_concerns_the_mode() -> None:
    text = "predict, serve: a folder; of any depth; import: weights"
    assert console.select_clauses(text, "serve") == "a folder; of any depth"
    assert console.select_clauses(text, "import") == "weights"


def test_data_preparation_is_a_command(monkeypatch, capsys) -> None:
    assert "openist" in answer(monkeypatch, capsys, "prepare", "--list")
    assert answer(monkeypatch, capsys, "prepare", "phantom", "--help").startswith("usage: cxrjax prepare phantom")


def test_bash_completes_modes_and_their_flags() -> None:
    script = shtab.complete(console.make_parser(), "bash")
    script += (
        "\nCOMP_WORDS=(cxrjax predict --re); COMP_CWORD=2; _shtab_cxrjax; echo ${COMPREPLY[@]}"
        "\nCOMP_WORDS=(cxrjax eval); COMP_CWORD=1; _shtab_cxrjax; echo ${COMPREPLY[@]}"
    )
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["--reject_ood", "evaluate evaluate_saliency"]
