"""The page in Chromium: drop, paste, choose and download, at two widths, by keyboard alone, in light and dark."""

import base64
import json
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import uvicorn

import cxrjax as cx
from cxrjax.runtime.formatting import format_label
from cxrjax.serve import app, server
from tests.helpers import axe, image_files

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAME = "<img src=x onerror=alert(1)>.png"  # legal in a file system, and markup
DROP = """
([event, files]) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: "image/png" }));
  }
  const options = { bubbles: true, cancelable: true };
  const fired = event === "paste"
    ? new ClipboardEvent(event, { ...options, clipboardData: transfer })
    : new DragEvent(event, { ...options, dataTransfer: transfer });
  document.body.dispatchEvent(fired);
}
"""


@pytest.fixture(scope="module")
def address(service):
    """Address of a server in a thread."""
    listener = server._listen("127.0.0.1", 0)
    config = uvicorn.Config(app.create_app(service), lifespan="off", log_config=None, ws="none", http="h11")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """Open the page at a width; at the end, nothing was blocked by the policy and no script failed."""
    pages = []
    problems = []

    def open_page(width: int = 1280, scheme: str = "light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on("console", lambda message: problems.append(message.text) if "Policy" in message.text else None)
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert problems == []


@pytest.fixture(scope="module")
def radiograph(phantom_runs, tmp_path_factory) -> Path:
    """A radiograph of 96 x 88 pixels."""
    path = tmp_path_factory.mktemp("radiograph") / NAME
    image = cx.datasets.load(phantom_runs / "data", "test", spec=cx.InputSpec(size=96))[0]["image"]
    image_files.save_image(path, image[:, :88])
    return path


def fire(page, event: str, *files: tuple[str, bytes]) -> None:
    """Fire an event that brings files, and wait until all are answered."""
    page.evaluate(DROP, [event, [(name, base64.b64encode(content).decode()) for name, content in files]])
    await_answers(page)


def await_answers(page) -> None:
    page.wait_for_selector("#list li")
    page.wait_for_function("() => !document.querySelector('#list .waiting')")


def pixels(page, selector: str) -> np.ndarray:
    """Return the decoded image that an element shows."""
    content = page.evaluate(
        """async (selector) => {
          const image = document.querySelector(selector);
          const canvas = document.createElement("canvas");
          await image.decode();
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          canvas.getContext("2d").drawImage(image, 0, 0);
          return canvas.toDataURL();
        }""",
        selector,
    )
    encoded = base64.b64decode(content.partition(",")[2])
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)


def test_dropped_files_are_shown_each_with_its_prediction_or_the_reason(open_page, model, radiograph):
    page = open_page()
    assert page.locator(".limits").bounding_box()["y"] < page.locator("#drop").bounding_box()["y"]
    assert "not for diagnosis" in page.inner_text(".limits") and "no audit" in page.inner_text(".limits")
    fire(page, "drop", (NAME, radiograph.read_bytes()), ("<b>broken", b"no image"))
    expected = model.predict(radiograph)
    first, second = page.locator("#list li").all()
    share = f"{expected.vote_fraction * 100:.0f} % of votes"
    assert (
        NAME in first.inner_text()
        and share in first.inner_text()
        and format_label(expected.label) in first.inner_text()
    )
    assert "<b>broken" in second.inner_text() and "The file cannot be read: not an image" in second.inner_text()
    assert page.inner_text("#name") == NAME and page.locator("#name img, #list b").count() == 0
    assert f"probability {expected.confidence:.2f}" in page.inner_text("#sentence")
    remarks = page.inner_text("#remarks")
    assert (expected.ood_reason or "finds the image like the training radiographs") in remarks
    cells = [row.split("\t") for row in page.inner_text("#votes tbody").splitlines()]
    names = [(format_label(name), votes) for name, votes in expected.votes.items()]
    assert [(name, int(votes)) for name, votes, _ in cells] == names
    box = page.locator("#stage").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(88 / 96, rel=0.01)
    assert page.locator("#outlines path").count() == 3


def test_map_shows_the_chosen_class_at_the_chosen_opacity(open_page, model, radiograph):
    page = open_page()
    fire(page, "paste", ("image.png", radiograph.read_bytes()))
    expected = model.predict(radiograph)
    assert page.input_value("#label") == expected.label
    for label in (expected.label, next(name for name in model.classes if name != expected.label)):
        page.select_option("#label", label)
        saliency = model.with_outputs(saliency_label=label).predict(radiograph)
        alpha = pixels(page, "#layer")[..., 3] / 255
        np.testing.assert_allclose(alpha, saliency.to_native(saliency.saliency), atol=0.01)
        assert format_label(label) in page.inner_text("#caption")
    for level in ("0", "35"):
        page.fill("#opacity", level)
        opacity = page.evaluate("getComputedStyle(document.getElementById('layer')).opacity")
        assert float(opacity) == int(level) / 100 and page.inner_text("#percent") == f"{level} %"
    page.uncheck("#outlined")
    assert not page.locator("#outlines").is_visible() and page.locator("#radiograph").is_visible()


def test_downloads_have_file_names_and_work_after_results_are_removed(open_page, model, radiograph, service):
    page = open_page()
    fire(page, "drop", ("a/b.png", radiograph.read_bytes()))
    expected = model.predict(radiograph)
    for result_id in list(service._results._results):
        service._results.remove(result_id)
    contents = {}
    for title in ("JSON", "Lung mask", "Map", "Overlay"):
        with page.expect_download() as download:
            page.click(f"#downloads button:text-is('{title}')")
        contents[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
    stem = "b.png" if "b.png.mask.png" in contents else "a_b.png"
    label = expected.label
    assert list(contents) == [
        f"{stem}.prediction.json",
        f"{stem}.mask.png",
        f"{stem}.{label}.map.png",
        f"{stem}.{label}.overlay.png",
    ]
    values = json.loads(contents[f"{stem}.prediction.json"])
    assert (
        values["label"] == label and values["votes"] == expected.votes and "not for diagnosis" in values["disclaimer"]
    )
    mask = cv2.imdecode(np.frombuffer(contents[f"{stem}.mask.png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert (mask == expected.to_native(expected.label_map)).all()


def test_all_controls_are_reachable_by_keyboard(open_page, radiograph):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "files"
    page.set_input_files("#files", [radiograph, radiograph])  # the chooser of a native control is the browser's
    await_answers(page)
    reached = []
    for _ in range(14):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
              const node = document.activeElement;
              const style = getComputedStyle(node);
              return [node.id || node.textContent, style.outlineStyle, parseFloat(style.outlineWidth)];
            }"""
        )
        if page.evaluate("document.activeElement === document.body"):  # behind the end of the page
            break
        reached.append(focused[0])
        assert focused[1] != "none" and focused[2] >= 1, focused
        if focused[0] == "label":
            former = page.input_value("#label")
            page.keyboard.press("ArrowDown")
            if page.input_value("#label") == former:
                page.keyboard.press("ArrowUp")
            assert page.input_value("#label") != former
        if focused[0] == "opacity":
            page.keyboard.press("ArrowLeft")
            assert page.inner_text("#percent") == "30 %"
        if focused[0] == "outlined":
            page.keyboard.press("Space")
            assert not page.locator("#outlines").is_visible()
    assert {"if-inverted", "clear", "label", "opacity", "outlined", "JSON", "Lung mask", "Map", "Overlay"} <= set(
        reached
    )
    page.locator("#list button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("#list button").nth(1).get_attribute("aria-current") == "true"
    assert page.evaluate("document.activeElement.id") == "name"
    page.focus("#clear")
    page.keyboard.press("Enter")
    assert not page.locator("#work").is_visible() and page.locator("#list li").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_layout_fits_the_width_and_follows_the_system_color_scheme(open_page, radiograph, width, scheme):
    page = open_page(width, scheme)
    fire(page, "drop", ("a_long_name_" * 12 + ".png", radiograph.read_bytes()), ("x" * 150, b"broken"))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for element in page.locator("main :is(img, button, select, input, table, p, svg):visible").all():
        box = element.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width + 1, element.evaluate("node => node.outerHTML")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(level) for level in paper.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (max(levels) < 60) if scheme == "dark" else (min(levels) > 200)


def test_several_findings_are_sorted_by_probability_and_folded(open_page, radiograph):
    """A result of eight findings, of which the fifth and the last are predicted, as a server would send it."""
    names = [f"finding {i}" for i in range(8)]
    probabilities = dict(zip(names, (0.1, 0.2, 0.3, 0.4, 0.9, 0.05, 0.15, 0.6), strict=True))
    result = {
        "id": "x", "has_lungs": True, "width": 10, "height": 10, "view": "", "spacing": None, "structures": {},
        "outlines": {}, "lung_geometry": {}, "lung_confidence": None, "reason": "", "ood_reason": "", "decision": "",
        "label": "finding 4|finding 7", "confidence": None, "vote_fraction": None, "num_patches": 10,
        "probabilities": probabilities, "votes": {name: round(10 * p) for name, p in probabilities.items()},
        "thresholds": {name: 0.25 if name == "finding 2" else 0.5 for name in names}, "threshold_note": "From 0.5 on.",
        "findings": {name: p > 0.5 for name, p in probabilities.items()}, "files": {"radiograph.png":
        "/radiograph.png"},
    }  # fmt: skip
    page = open_page()
    page.route("**/api/predictions*", lambda route: route.fulfill(json=result, status=201))
    page.route("**/radiograph.png", lambda route: route.fulfill(path=radiograph))
    fire(page, "drop", (NAME, radiograph.read_bytes()))
    assert page.inner_text("#sentence") == "Predicted: finding 4 (probability 0.90), finding 7 (probability 0.60)."
    rows = page.locator("#votes tbody tr th")
    assert rows.all_inner_texts()[:3] == ["finding 4", "finding 7", "finding 3"]
    assert [row.is_visible() for row in rows.all()] == [True] * 6 + [False] * 2
    page.get_by_role("button", name="All 8 findings").click()
    assert all(row.is_visible() for row in rows.all())
    columns = page.locator("#votes thead th").all_inner_texts()
    cells = page.locator("#votes tbody tr", has_text="finding 2").locator("td").all_inner_texts()
    assert dict(zip(columns[1:], cells, strict=True)) == {"votes": "3", "probability": "0.30", "predicted from": "0.25"}
    assert page.get_by_text("From 0.5 on.").is_visible()
    assert "finding 4, finding 7" in page.inner_text("#list li")


def test_page_contacts_only_its_server_and_sends_no_file_name(open_page, address, radiograph):
    page = open_page()
    requests = []
    page.on("request", lambda request: requests.append(request))
    fire(page, "drop", ("patient_doe.png", radiograph.read_bytes()))
    assert requests
    for request in requests:
        assert request.url.startswith((address, f"blob:{address}"))
        assert "doe" not in request.url + str(request.all_headers())


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_no_accessibility_fault(browser, address, radiograph, width, scheme):
    """Before and after an answer; the policy of the page would refuse the script of axe-core."""
    script = axe.read_script()
    context = browser.new_context(
        bypass_csp=True, viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.add_script_tag(content=script)
    faults = "() => axe.run().then((found) => found.violations.map((one) => [one.id, one.nodes[0].html]))"
    before = page.evaluate(faults)
    fire(page, "drop", ("radiograph.png", radiograph.read_bytes()))
    after = page.evaluate(faults)
    context.close()
    assert [before, after] == [[], []]
