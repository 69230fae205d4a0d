"""A page in Chromium without a window."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

# Elements that reach beyond either side of the window, or whose content would have to be scrolled sideways.
_FIND_CUT = """
const width = document.documentElement.clientWidth;
const isCut = (element) => {
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  const isClipped = getComputedStyle(element.closest("thead") ?? element).clipPath !== "none";  // for screen readers
  const isHidden = !box.width || !box.height || isClipped || element.matches(".skip") || element.ownerSVGElement;
  const scrolls = style.overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1;
  return !isHidden && (box.right > width + 1 || box.left < -1 || scrolls);
};
addEventListener("load", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const cut = [...document.querySelectorAll("body *")].filter(isCut);
  document.title = JSON.stringify(cut.map((element) => element.outerHTML.slice(0, 80)));
});
"""


def read_title(page: str, folder: Path, width: int, script: str, font_size: int = 16) -> str:
    """Return the title that a script gives a page; skip the test without Chromium.

    Args:
        page: HTML, whose policy is removed since it would refuse the script.
        folder: for files.
        width: of the page in pixels, which may be less than that of the narrowest window.
        script: JavaScript.
        font_size: of the browser's settings in pixels, 32 for texts of twice the size.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("Chromium is not installed")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (folder / "page.html").write_text(f"{text}<script>{script}</script>")
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe src="page.html" style="width:{width}px;height:900px;border:0"></iframe><script>const frame = '
        'document.querySelector("iframe"); setInterval(() => document.title = frame.contentDocument.title, 50)</script>'
    )
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--blink-settings=defaultFontSize={font_size}", f"--window-size={width + 100},1000"]
    command += ["--virtual-time-budget=20000", "--dump-dom", f"file://{frame}"]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    title = re.search(r"<title>(.*?)</title>", dom, re.S)
    assert title is not None
    return html.unescape(title[1])


def find_cut(page: str, folder: Path, width: int, font_size: int = 16) -> str:
    """Return the elements of a page, its folded parts open, that are cut or would have to be scrolled, as JSON."""
    return read_title(page, folder, width, _FIND_CUT, font_size)
