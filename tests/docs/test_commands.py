"""Commands in the README and on the pages of the site: all are valid, and those of the README run unchanged."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxrjax.config import recipes, schema
from cxrjax.main import MODES
from data_prep import __main__ as data_prep
from data_prep.phantom.draw import draw
from data_prep.source import find_sources

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
COMMON = {"workdir", "limits", "compilation_cache_dir"}
COMMAND = re.compile(r"^\s*(?:srun )?(?=(?:cxrjax|python -m cxrjax\.main|python -m data_prep) )")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> Iterator[list[str]]:
    """Yield the words of each command of the package in the shell blocks of a page."""
    for block in blocks(path, "bash"):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if match := COMMAND.match(line):
                yield shlex.split(line[match.end() :].rstrip(" &"), comments=True)


def problem(words: list[str]) -> str:
    """Return what is wrong with a command of `cxrjax`; "" if nothing is."""
    if words[0] == "python":
        return "write cxrjax"
    command, *rest = words[1:]
    if command in ("demo", "completion"):
        return ""
    if command == "prepare":
        try:
            data_prep.parse(rest, find_sources())
        except SystemExit as error:
            return "" if error.code == 0 else "it is refused"
        return ""
    if command not in MODES:
        return f"there is no command {command}"
    mode = MODES[command]
    names = {word.partition("=")[0].removeprefix("--") for word in rest if word.startswith("--")}
    settings = {name.removeprefix("config.") for name in names if name.startswith("config.")}
    flags = {name for name in names if not name.startswith("config.")}
    recipe = next((word.removeprefix("--config=") for word in rest if word.startswith("--config=")), "")
    if recipe and recipe not in ("CONFIG", "my_config.py", "audit"):
        recipes.load(recipe)
    if unknown := (settings - set(schema.SETTINGS)) | (flags - {*mode.required, *mode.optional, *COMMON}):
        return f"there is no {unknown}"
    if missing := set(mode.required) - flags:
        return f"it lacks {missing}"
    return "" if flags & {"workdir", "model"} else "it lacks a run"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_page_is_valid(path) -> None:
    assert [(words, text) for words in commands(path) if (text := problem(words))] == []


def test_readme_is_short_and_its_links_exist() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert targets and [target for target in targets if not (ROOT / target).exists()] == []
    assert "make demo" in text and "make test" in text
    rules = re.findall(r"^(\w+):.*?##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make (\w+)", text)) <= set(rules)


@pytest.fixture(scope="module")
def readme_folder(tmp_path_factory) -> Path:
    """A folder with the files that the README names, "patient.png" and "radiographs", and `cxrjax` on the path."""
    folder = tmp_path_factory.mktemp("readme")
    script = folder / "bin" / "cxrjax"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from cxrjax.console import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    cv2.imwrite(str(folder / "patient.png"), draw("normal", np.random.default_rng(7)).pixels)
    for label in ("normal", "covid19"):
        (folder / "radiographs" / label).mkdir(parents=True)
        for number in range(20):
            image = cv2.resize(draw(label, np.random.default_rng(number)).pixels, (256, 256))
            cv2.imwrite(str(folder / "radiographs" / label / f"{number}.png"), image)
    return folder


def run(readme_folder: Path, script: str) -> str:
    path = f"{readme_folder / 'bin'}:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=readme_folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_readme_prepare_command_runs(readme_folder) -> None:
    line = next(words for words in commands(README) if words[1] == "prepare")
    assert "40" in run(readme_folder, shlex.join(line))
    assert (readme_folder / "data" / "findings").is_dir()


@pytest.mark.slow
def test_readme_commands_and_code_run(readme_folder) -> None:
    scripts = [block for block in blocks(README, "bash") if "pip install" not in block]
    demo, training, trust = scripts
    assert "Dice of the lungs 0.9" in run(readme_folder, demo)
    (code,) = blocks(README, "python")
    printed = run(readme_folder, f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}").strip()
    expected = re.search(r"^ {4}(\w+ \w+ \{.*\})$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert expected
    here, there = (text.split(" ", 2) for text in (printed, expected[1]))
    assert here[:2] == there[:2]
    counts = [ast.literal_eval(text[2]) for text in (here, there)]
    assert all(abs(counts[0][name] - counts[1][name]) <= 3 for name in counts[1])
    assert {path.name for path in (readme_folder / "out").iterdir()} >= {
        "phantom_normal.png.figure.png",
        "phantom_normal.png.mask.png",
        "phantom_normal.png.map.png",
    }
    run(readme_folder, training.replace("--out=data", "--out=data --overwrite"))
    assert len((readme_folder / "predictions" / "predictions.csv").read_text(encoding="utf-8").splitlines()) == 41
    run(readme_folder, trust)
    assert "audit" in (readme_folder / "runs/findings/report/index.html").read_text(encoding="utf-8")
