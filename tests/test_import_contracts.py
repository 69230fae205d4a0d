"""The order of the packages: import-linter's contracts of pyproject.toml hold, and no module imports itself."""

import os
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]


def lint(folder: Path) -> subprocess.CompletedProcess:
    """Run import-linter on the packages in a folder."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", f"--config={ROOT / 'pyproject.toml'}"]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True
    )


def test_imports_keep_the_contracts() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("cxrjax/ops/voting.py", "from cxrjax.inference import pipeline"),
        ("cxrjax/ops/voting.py", "from pathlib import Path"),
        ("cxrjax/metrics/roc.py", "def area():\n    import cxrjax.models.registry"),
        ("cxrjax/training/trainer.py", "import orbax.checkpoint"),
        ("data_prep/phantom/draw.py", "from cxrjax.ops import patches"),
    ],
)
def test_a_planted_import_breaks_a_contract(module: str, statement: str, tmp_path: Path) -> None:
    for package in ("cxrjax", "data_prep"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / module).open("a") as source:
        source.write(f"\n\n{statement}\n")
    result = lint(tmp_path)
    assert result.returncode == 1 and "1 broken" in result.stdout


def test_import_graph_has_no_cycle() -> None:
    graph = grimp.build_graph("cxrjax", "data_prep", cache_dir=None, exclude_type_checking_imports=True)
    TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}).prepare()
