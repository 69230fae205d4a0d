"""The rules of axe-core on the accessibility of a page, from its npm package."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import browser


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


def find_faults(page: str, folder: Path, theme: str, width: int) -> str:
    """Return what axe-core finds in a page that is a file, as JSON; skip the test without Chromium.

    Args:
        page: HTML.
        folder: for the file.
        theme: "light" or "dark".
        width: of the window in pixels.
    """
    text = page.replace("<html", f'<html data-theme="{theme}"', 1)
    report = "axe.run().then(r => document.title = JSON.stringify(r.violations.map(v => [v.id, v.nodes[0].html])))"
    return browser.read_title(text, folder, width, f"{read_script()}</script><script>{report}")
