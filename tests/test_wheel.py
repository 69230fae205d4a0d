"""The built wheel works alone, in an empty environment outside of a checkout."""

import os
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A virtual environment with the wheel alone; its requirements are those of the running one, next on the path."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.mark.slow
def test_the_wheel_has_two_packages_with_recipes_weights_and_templates(wheel) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"cxrjax", "data_prep"}
    assert {"cxrjax/_recipes/quick.py", "cxrjax/weights/lungs.safetensors", "cxrjax/py.typed"} <= set(names)
    assert "cxrjax/report/templates/index.html" in names and "data_prep/phantom/draw.py" in names


@pytest.mark.slow
def test_the_wheel_runs_outside_of_a_checkout(environment, tmp_path) -> None:
    command = environment / "bin" / "cxrjax"
    settings = {"PYTHONPATH": "", "HOME": str(tmp_path / "home"), "JAX_PLATFORMS": "cpu"}

    def run(*arguments: str) -> str:
        result = subprocess.run(
            [command, *arguments], cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, (arguments, result.stderr)
        return result.stdout

    code = "import cxrjax; print(cxrjax.__file__)"
    found = subprocess.run(
        [environment / "bin" / "python", "-c", code], cwd=tmp_path, env=os.environ | settings, capture_output=True
    )
    assert found.stdout.decode().startswith(str(environment))

    assert "Dice of the lungs" in run("demo", "demo")
    run("prepare", "phantom", "--count=10", "--size=128", "--out=data")
    small = ("--config.data.dir=data/phantom", "--config.image.size=64", "--config.ood.keep_quantile=0")
    run("train", "--config=phantom:segment", *small, "--config.training.epochs=1", "--workdir=runs/lungs")
    run(
        *("train", "--config=phantom:classify", *small, "--config.patches.size=16", "--config.training.epochs=2"),
        *("--config.segmenter.workdir=lungs", "--config.patches.count=4", "--workdir=runs/labels"),
    )
    run("evaluate", "--workdir=runs/labels")
    run("predict", "--workdir=runs/labels", "--input=demo/radiographs", "--output=out", "--save=figure,mask")
    assert len((tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8").splitlines()) == 4
    run("report", "--workdir=runs/labels")
    assert (tmp_path / "runs" / "labels" / "report" / "index.html").stat().st_size > 10_000
    _serve([str(command), "serve", "--workdir=runs/labels", "--port=0"], tmp_path, os.environ | settings)


def _serve(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Start the server, read its description of itself, and end it by a signal."""
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "http://" in line)
            address = next(word for word in line.split() if word.startswith("http://")).rstrip("/.,;")
            with urllib.request.urlopen(f"{address}/api/openapi.json", timeout=60) as answer:
                assert b'"openapi"' in answer.read()
        finally:
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            status = process.wait(60)
    assert status == 143 and time.monotonic() - started < 60
