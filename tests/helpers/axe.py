"""The rules of axe-core on the accessibility of a page, from its npm package."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def read_script() -> str:
    """Return axe-core, in the folder AXE_CORE or of the global packages of npm; skip the test without it."""
    folder = os.environ.get("AXE_CORE")
    if not folder:
        npm = shutil.which("npm")
        if not npm:
            pytest.skip("npm is not installed, and AXE_CORE names no folder")
        root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True).stdout.strip()
        folder = f"{root}/axe-core"
    script = Path(folder) / "axe.min.js"
    if not script.exists():
        pytest.skip("axe-core is not installed: npm install -g axe-core, or set AXE_CORE to its folder")
    return script.read_text()
