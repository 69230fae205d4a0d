"""The notebooks run from their first cell to their last, and hold no output."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = {"COUNT": "6", "EPOCHS": "1"}  # replace the numbers of the first cell


def code_cells(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_output_and_begins_with_its_purpose(path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    first = "".join(notebook["cells"][0]["source"])
    assert first.startswith("# ") and "not for diagnosis" in first
    for code in code_cells(path):
        compile(code, str(path), "exec")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path) -> None:
    code = "\n".join(code_cells(path))
    for name, value in SMALL.items():
        code = re.sub(rf"^{name} = \d+", f"{name} = {value}", code, flags=re.MULTILINE)
    script = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport matplotlib\nmatplotlib.use('Agg')\n{code}\n"
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    expected = {"predict": "phantom.png.mask.png", "train_on_the_phantom": "label: bacterial"}
    assert expected.get(path.stem, "shortcut") in result.stdout
