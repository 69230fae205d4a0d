"""Page of a report: self-contained, accessible, and safe for any file name."""

import re

import pytest

from cxrjax.report import render
from tests.helpers import axe, browser
from tests.helpers.report_page import AUDIT, HOSTILE, THERE, Page, page, shown


def test_page_is_self_contained_and_loads_no_resources(found):
    text = page(found._replace(audit=AUDIT))
    parsed = Page(text)
    assert not any(tag in ("link", "iframe", "object", "embed", "base") for tag, _ in parsed.elements)
    addresses = [a[key] for _, a in parsed.elements for key in ("src", "href", "action", "srcset") if a.get(key)]
    assert addresses and all(address.startswith(("data:image/", "#")) for address in addresses)
    assert all(a.get("src") is None for a in parsed.all("script")) and len(parsed.all("script")) == 1
    assert not any(key.startswith("on") for _, a in parsed.elements for key in a)
    policy = next(a["content"] for a in parsed.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    assert f"script-src '{render.csp_hash(script)}'" in policy


def test_headings_ids_tables_and_images_are_accessible(found):
    parsed = Page(page(found._replace(audit=AUDIT)))
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for tag, a in parsed.elements if tag in ("a", "use") and a.get("href")]
    assert set(links) <= set(ids)
    assert {a["aria-labelledby"] for _, a in parsed.elements if "aria-labelledby" in a} <= set(ids)
    assert all(a.get("alt") or a.get("class") == "thumbnail" for a in parsed.all("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in parsed.all("svg"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all(a.get("scope") in ("row", "col") for a in parsed.all("th"))
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in parsed.elements}
    assert parsed.all("html")[0]["lang"] == "en"


def test_hostile_names_are_escaped(found):
    text = page(found)
    assert "<script>alert" not in text and "co<b>vid" not in text
    read = "".join(Page(text).texts)
    assert HOSTILE.replace("\udcff", "\\udcff") in read and "co<b>vid" in read
    for template in ("model_card.md", "checklist.md"):
        written = render.render(template, found._replace(evaluation_data=THERE, name="x"), shown()).decode()
        assert "<b>" not in written
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in written.splitlines() if line.startswith("|")}
        assert cells <= {3, 4, 5, 7}  # no name added a column


def test_nav_links_to_sections_and_case_links_have_their_own_prefix(found):
    text = page(found)
    parsed, script = Page(text), re.search(r"<script>(.*?)</script>", text, re.S)[1]
    (prefix,) = re.findall(r"closest\(\"a\[href\^='#([^']+)'\], a\.close\"\)", script)
    sections = [a["id"] for a in parsed.all("section")]
    listed = re.findall(r'href="#([^"]+)"', re.search(r"<nav.*?</nav>", text, re.S)[0])
    assert set(listed) == set(sections) and not any(section.startswith(prefix) for section in sections)
    assert parsed.all("dialog") and all(a["id"].startswith(prefix) for a in parsed.all("dialog"))


def test_every_color_variable_of_the_style_is_used(found):
    style = re.search(r"<style>(.*?)</style>", page(found), re.S)[1]
    assert set(re.findall(r"(--[\w-]+):", style)) <= set(re.findall(r"var\((--[\w-]+)\)", style))


def test_axe_finds_no_accessibility_fault(found, tmp_path):
    """Light and dark, wide and narrow."""
    text = page(found._replace(audit=AUDIT))
    for theme, width in (("light", 1280), ("dark", 1280), ("light", 600)):
        assert axe.find_faults(text, tmp_path, theme, width) == "[]", (theme, width)


def test_a_name_may_be_broken_at_its_joints_and_no_number_is():
    assert render.breakable("phantom_whole-image/v.two") == "phantom_<wbr>whole-<wbr>image/<wbr>v.<wbr>two"
    assert render.breakable("COVID-19 0.93 to 0.97, -0.2") == "COVID-19 0.93 to 0.97, -0.2"
    assert render.breakable("a<b>_c") == "a&lt;b&gt;_c"  # no joint inside of a word
    cells = render.label_cells("<tr><th>x</th><td>1</td></tr>", ["run", "run_two"])
    assert cells == '<tr><th data-label="run">x</th><td data-label="run_\u200btwo">1</td></tr>'


@pytest.mark.slow
def test_what_is_cut_is_found(tmp_path):
    text = '<!doctype html><p>fits</p><details><summary>more</summary><p style="width:400px">wide</p></details>'
    assert "wide" in browser.find_cut(text, tmp_path, 320) and "fits" not in browser.find_cut(text, tmp_path, 320)
    assert browser.find_cut(text, tmp_path, 500) == "[]"
