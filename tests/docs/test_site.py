"""The documentation site: generated pages are complete, and the build has no dead links or external resources."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cxrjax.config import schema
from cxrjax.main import MODES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hooks():
    """The module of mkdocs.yml that generates pages."""
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_has_a_meaning_and_a_source(hooks) -> None:
    entries = hooks.list_settings()
    assert {entry.key for entry in entries} == set(schema.SETTINGS)
    assert [entry.key for entry in entries if not entry.text] == []
    assert [entry.key for entry in entries if not entry.source] == [], "end its comment in settings.py by `; ours`"


def test_settings_page_has_unit_range_and_source(hooks) -> None:
    row = "| `patches.size` | `224` | whole number, 8 to 8,192 | pixels, side of a patch | paper II-C |"
    assert row in hooks.render_settings().splitlines()


def test_every_command_and_data_source_has_a_section(hooks) -> None:
    page = hooks.render_command_line()
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [*MODES, "demo", "completion"]
    assert "## openist\n" in hooks.render_data_prep() and "## describe\n" in hooks.render_data_prep()


def test_navigation_lists_each_page_once() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    pages = re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(pages) == sorted(set(pages))
    assert {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} <= set(pages)


def test_every_file_of_the_reference_is_named_in_the_code() -> None:
    page = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", page)
    names = {
        span.rpartition("/")[2].replace("NAME", "") for span in spans if re.fullmatch(r"[\w/]*[\w.]*\.[a-z]+", span)
    }
    files = {name for name in names if not name.endswith((".safetensors", ".CSV")) and name not in (".png", ".svg")}
    code = "".join(
        path.read_text(encoding="utf-8") for name in ("cxrjax", "data_prep") for path in (ROOT / name).rglob("*.py")
    )
    assert len(files) > 40
    assert {name for name in files if name not in code} == set()


class _Resources(HTMLParser):
    """Collects the addresses of the resources that a page loads, without its links."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"link": "href", "script": "src", "img": "src", "iframe": "src"}
        address = dict(attrs).get(names.get(tag, ""))
        if address and not (tag == "link" and dict(attrs).get("rel") in ("canonical", "next", "prev")):
            self.addresses.append(address)


@pytest.mark.slow
def test_site_builds_strictly_and_loads_no_external_resources(hooks, tmp_path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={tmp_path / 'site'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        resources = _Resources()
        resources.feed(page.read_text(encoding="utf-8"))
        assert [address for address in resources.addresses if "://" in address] == [], page
