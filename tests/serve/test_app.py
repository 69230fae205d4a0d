"""The REST interface: predictions equal to `Model.predict`, limits of requests, and allowed clients."""

import asyncio
import contextlib
import html
import json
import shutil
import sys
import threading
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import httpx2
import numpy as np
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

import cxrjax as cx
from cxrjax import plotting
from cxrjax.audit import finding
from cxrjax.inference import prediction_files
from cxrjax.io import json_file
from cxrjax.serve import app, card, guard, openapi, results, server
from tests.helpers import image_files

BASE = "http://127.0.0.1:8000"
PATH = "/api/predictions"
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def client(service):
    return TestClient(app.create_app(service), base_url=BASE)


@pytest.fixture(scope="module")
def radiograph(phantom_runs, tmp_path_factory) -> Path:
    """A radiograph that is not square."""
    path = tmp_path_factory.mktemp("radiograph") / "patient.png"
    image_files.save_image(path, phantom(phantom_runs)[:, :88])
    return path


def phantom(phantom_runs) -> np.ndarray:
    return cx.datasets.load(phantom_runs / "data", "test", spec=cx.InputSpec(size=96))[0]["image"]


def post(client, data: bytes, parameters: str = "", **headers: str):
    return client.post(PATH + parameters, content=data, headers=BYTES | headers)


def decode(response) -> np.ndarray:
    assert response.status_code == 200 and response.headers["content-type"] == "image/png"
    return cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope="module")
def answer(client, radiograph):
    """The prediction of the radiograph."""
    response = post(client, radiograph.read_bytes())
    assert response.status_code == 201
    values = response.json()
    assert response.headers["location"] == f"{PATH}/{values['id']}"
    return values


def test_prediction_equals_that_of_the_model(client, model, radiograph, answer):
    expected = model.predict(radiograph).to_dict()
    del expected["path"]
    assert expected["label"] and not answer.keys() & {"path", "name"}
    for name, value in expected.items():
        if isinstance(value, dict):
            known = {key: number for key, number in value.items() if number is not None}
            assert value.keys() == answer[name].keys(), name
            assert known == pytest.approx({key: answer[name][key] for key in known}, rel=1e-5, abs=1e-6), name
        elif isinstance(value, float):
            assert value == pytest.approx(answer[name], rel=1e-5, abs=1e-6), name
        else:
            assert value == answer[name], name
    assert client.get(f"{PATH}/{answer['id']}").json() == answer


def test_images_are_the_files_of_the_prediction(client, model, radiograph, answer):
    expected = model.predict(radiograph)
    height, width = cv2.imread(str(radiograph), 0).shape
    mask = decode(client.get(answer["files"]["mask.png"]))
    assert mask.shape == (height, width) and (mask == expected.to_native(expected.label_map)).all()
    assert {name: area["pixels"] for name, area in answer["structures"].items()} == {
        "heart": (mask == 1).sum(),
        "left_lung": (mask == 2).sum(),
        "right_lung": (mask == 3).sum(),
    }
    other = next(name for name in model.classes if name != expected.label)
    for label, parameters in ((expected.label, ""), (other, f"?label={other}")):
        named = model.with_outputs(saliency_label=label).predict(radiograph)
        levels = decode(client.get(answer["files"]["map.png"] + parameters))
        assert levels.dtype == np.uint16 and levels.shape == (height, width)
        np.testing.assert_allclose(levels / 65535, named.to_native(named.saliency), atol=2e-5)
        overlay = decode(client.get(answer["files"]["overlay.png"] + parameters)).astype(int)
        drawn = cv2.imdecode(np.frombuffer(prediction_files.encode(named, "overlay"), np.uint8), 1)
        assert abs(overlay - drawn).max() <= 1


def test_radiograph_and_layer_blend_to_the_overlay(client, radiograph, answer):
    gray = decode(client.get(answer["files"]["radiograph.png"]))
    layer = decode(client.get(answer["files"]["layer.png"])).astype(float)
    assert gray.shape == layer.shape[:2] == cv2.imread(str(radiograph), 0).shape
    weight = layer[..., 3:] / 255 * plotting.OPACITY
    blended = gray[..., None] * (1 - weight) + layer[..., :3] * weight
    overlay = decode(client.get(answer["files"]["overlay.png"])).astype(float)
    is_contour = (overlay == plotting.radiographs.CONTOUR[::-1]).all(-1)
    assert abs(blended - overlay)[~is_contour].max() < 2 and is_contour.any()


def test_outlines_enclose_the_mask(client, answer):
    mask = decode(client.get(answer["files"]["mask.png"]))
    for name, label in (("left_lung", 2), ("right_lung", 3)):
        filled = np.zeros(mask.shape, np.uint8)
        for ring in answer["outlines"][name].removesuffix("Z").removeprefix("M").split("Z M"):
            points = np.array([point.split(",") for point in ring.split()], float)
            cv2.fillPoly(filled, [np.floor(points).astype(np.int32)], 1)
        overlap = 2 * (filled & (mask == label)).sum() / (filled.sum() + (mask == label).sum())
        assert overlap > 0.95, name


def test_segmenter_returns_lungs_and_no_label(phantom_runs, small_segmenter, radiograph):
    segmenter = cx.load(phantom_runs / "segment")
    service = app.Service(segmenter, card.describe(segmenter, "segment"))
    client = TestClient(app.create_app(service), base_url=BASE)
    values = post(client, radiograph.read_bytes()).json()
    assert values["label"] is None and values["votes"] == {} and values["ood_reason"] is None
    expected = segmenter.predict(radiograph).to_dict()["lung_geometry"]
    assert values["lung_geometry"] == expected and values["structures"]["left_lung"]["pixels"] > 0
    assert set(values["files"]) == {"radiograph.png", "mask.png", "overlay.png"}
    assert client.get(f"{PATH}/{values['id']}/map.png").status_code == 404
    assert "gives no label" in client.get("/").text
    service.close()


def bad_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    whole = image_files.draw_image("whole")
    png = cv2.imencode(".png", whole)[1].tobytes()
    header = png[12:16] + 2 * (20_000).to_bytes(4, "big") + png[24:29]
    image_files.save_dicom(folder / "lateral.dcm", ViewPosition="LL", PatientName="SECRET^NAME")
    return {
        "empty": (b"", "empty file"),
        "text": (b"<script>alert(1)</script>", "not an image of a supported format"),
        "tiny": (cv2.imencode(".png", whole[:20, :20])[1].tobytes(), "too small: 20 x 20 pixels"),
        "blank": (cv2.imencode(".png", np.full((64, 64), 7, np.uint8))[1].tobytes(), "every pixel is the same"),
        "truncated": (png[: len(png) // 2], ""),
        "huge": (png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:], "pixels"),
        "lateral": ((folder / "lateral.dcm").read_bytes(), "lateral view"),
    }


def test_each_bad_file_is_answered_by_one_sentence(client, tmp_path, capfd):
    for name, (data, reason) in bad_files(tmp_path).items():
        response = post(client, data)
        assert response.status_code == 422 and list(response.json()) == ["error"], name
        sentence = response.json()["error"]
        assert reason in sentence and sentence[0].isupper() and sentence.endswith("."), sentence
        assert "SECRET" not in response.text and "script" not in response.text
    assert "SECRET" not in "".join(capfd.readouterr())


def test_16_bit_image_is_read(client, radiograph):
    levels = cv2.imread(str(radiograph), 0).astype(np.uint16) * 257
    response = post(client, cv2.imencode(".png", levels)[1].tobytes())
    assert response.status_code == 201 and response.json()["height"] == len(levels)


def test_inverted_radiograph_is_refused_unless_if_inverted_is_given(client, monkeypatch, radiograph):
    monkeypatch.setattr("cxrjax.data.polarity.looks_inverted", lambda image: True)
    data = radiograph.read_bytes()
    assert "look inverted" in post(client, data).json()["error"]
    assert "were inverted" in post(client, data, "?if_inverted=invert").json()["reason"]
    assert post(client, data, "?if_inverted=ignore").json()["reason"] == ""
    assert post(client, data, "?if_inverted=maybe").status_code == 400


def test_jsrt_file_is_read_only_with_the_format_parameter(client):
    pixels = np.tile(np.linspace(0, 4095, 2048), (2048, 1)).astype(">u2").tobytes()
    assert post(client, pixels).status_code == 422
    values = post(client, pixels, "?format=jsrt&if_inverted=ignore").json()
    assert values["spacing"] == [0.175, 0.175] and values["width"] == 2048
    assert post(client, pixels, "?format=tiff").status_code == 400


def test_requests_without_a_radiograph_are_refused(client, service):
    assert post(client, b"x", **{"Content-Type": "text/plain"}).status_code == 415
    assert client.post(PATH, files={"file": b"x"}).status_code == 415
    assert client.post(PATH, content=iter([b"x"]), headers=BYTES).status_code == 411
    too_long = post(client, b"x", **{"Content-Length": str(service.max_bytes + 1)})
    assert too_long.status_code == 413 and "128 MiB" in too_long.json()["error"]
    for address in ("/nothing", f"{PATH}/unknown", f"{PATH}/unknown/mask.png", "/api/predictions/../../etc/passwd"):
        missing = client.get(address)
        assert missing.status_code == 404 and list(missing.json()) == ["error"], address
    assert client.put(PATH).status_code == 405


def test_a_deleted_prediction_is_gone(client, radiograph):
    values = post(client, radiograph.read_bytes()).json()
    address = f"{PATH}/{values['id']}"
    assert client.get(values["files"]["map.png"] + "?label=nothing").status_code == 404
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == client.get(f"{address}/mask.png").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "localhost:9000"}, 200),  # a forwarded port
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:8000"}, 421),
        ({"Host": "192.168.0.7:8000"}, 421),
        ({"Host": "["}, 421),
        ({"Host": ""}, 421),
        ({"Origin": BASE}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_requests_for_other_hosts_are_refused(client, headers, status):
    response = client.get("/api/model", headers=headers)
    assert response.status_code == status
    assert status == 200 or list(response.json()) == ["error"]


def test_cross_site_request_is_refused(client):
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 422), ("none", 422)):
        assert post(client, b"x", **{"Sec-Fetch-Site": site}).status_code == status, site


def test_server_for_other_machines_accepts_addresses_and_its_own_name(monkeypatch):
    monkeypatch.setattr(guard.socket, "gethostname", lambda: "workstation")
    protected = guard.Guard(lambda scope, receive, send: None, host="0.0.0.0")
    names = ["192.168.0.7:8000", "workstation:8000", "localhost", "evil.example"]
    assert [protected._answers_to([name]) for name in names] == [True, True, True, False]
    assert not protected._answers_to([]) and not protected._answers_to(["localhost", "localhost"])


def test_every_answer_has_the_security_headers(client, answer):
    for address in ("/", "/page.js", "/style.css", "/scale.png", "/nothing", answer["files"]["layer.png"]):
        headers = client.get(address).headers
        assert {name: headers.get(name) for name in guard.HEADERS} == guard.HEADERS, address
    assert client.get("/", headers={"Host": "evil.example"}).headers["x-frame-options"] == "DENY"
    policy = guard.CONTENT_SECURITY_POLICY
    assert "unsafe" not in policy and "default-src 'none'" in policy
    page = client.get("/").text
    assert "style=" not in page and "<style" not in page and "onclick" not in page
    assert all("src=" in tag for tag in page.split("<script")[1:])


def test_openapi_document_describes_every_route(client, service, answer):
    document = client.get("/api/openapi.json").json()
    assert document == openapi.document(service._card) and document["openapi"].startswith("3.1")
    paths = {(path, method) for path, item in document["paths"].items() for method in item.keys() - {"parameters"}}
    application = app.create_app(service)._app
    routes = {
        (route.path, method.lower())
        for route in application.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in route.methods - {"HEAD"}
    }
    assert paths == routes
    schemas = document["components"]["schemas"]
    for values, name in ((answer, "Prediction"), (client.get("/api/model").json(), "Model")):
        assert set(values) == set(schemas[name]["required"])
        optional = set(schemas[name]["properties"]) - set(values)
        assert optional == (
            {"findings", "num_patches", "thresholds", "threshold_note"} if name == "Prediction" else set()
        )
        for key, value in values.items():
            expected = schemas[name]["properties"][key]
            types = expected.get("type", [])
            kind = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}
            found = "null" if value is None else kind[type(value)]
            assert found in types or ("number" in types and found == "integer") or value in expected.get("enum", []), (
                key
            )
    statuses = document["paths"][PATH]["post"]["responses"]
    assert statuses.keys() >= {"201", "411", "413", "415", "422", "503"} and "Retry-After" in statuses["503"]["headers"]


class StubModel:
    """A model that counts how many threads predict at once, and waits until it is released."""

    classes = ()
    step = 1
    has_ood_detector = False
    notice = ""

    def __init__(self):
        self.release = threading.Event()
        self.active = 0
        self.most = 0
        self.count = 0

    def predict(self, image, **_):
        self.active += 1
        self.most = max(self.most, self.active)
        self.release.wait(60)
        self.count += 1
        self.active -= 1
        raise cx.ImageRefusedError("", "this is a stub")


def test_burst_of_uploads_is_limited(radiograph):
    """Of 200 simultaneous uploads, `MAX_UPLOADS` wait; the others get a Retry-After header and are not stored."""
    model = StubModel()
    service = app.Service(model, card.describe(model, "stub"))
    application = app.create_app(service)
    data = radiograph.read_bytes()

    async def send_all() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=60) as client:
            tasks = [asyncio.create_task(client.post(PATH, content=data, headers=BYTES)) for _ in range(200)]
            while sum(task.done() for task in tasks) < 200 - app.MAX_UPLOADS:
                await asyncio.sleep(0.01)
            assert service._uploads._count == app.MAX_UPLOADS
            assert service._uploads._bytes == app.MAX_UPLOADS * len(data)
            model.release.set()
            answers = await asyncio.gather(*tasks)
            return [*answers, await client.post(PATH, content=data, headers=BYTES)]

    *burst, after = asyncio.run(send_all())
    statuses = [response.status_code for response in burst]
    assert statuses.count(422) == app.MAX_UPLOADS and statuses.count(503) == 200 - app.MAX_UPLOADS
    busy = next(response for response in burst if response.status_code == 503)
    assert int(busy.headers["retry-after"]) >= 1 and "busy" in busy.json()["error"]
    assert after.status_code == 422 and model.most == 1 and model.count == app.MAX_UPLOADS + 1
    assert service._uploads._count == service._uploads._bytes == 0
    service.close()


def test_slots_limit_the_waiting_bytes():
    slots = app.Slots(3, 100)
    assert [slots.claim(size) for size in (60, 50, 40, 1)] == [True, False, True, False]
    slots.release(60)
    assert slots.claim(60) and not slots.claim(1)


def test_oldest_predictions_are_removed(model, radiograph):
    prediction = model.predict(radiograph)
    store = results.ResultStore(2 * results.count_bytes(prediction))
    first, second = (store.add(prediction, {}) for _ in range(2))
    assert store.find(first) is not None  # used last
    third = store.add(prediction, {})
    assert [store.find(each) is not None for each in (first, second, third)] == [True, False, True]
    assert len(results.ResultStore(0).add(prediction, {})) > 20


def test_nothing_is_written_to_disk(client, radiograph, answer):
    written = []
    is_listening = True

    def listen(event, arguments):
        if is_listening and event in ("open", "os.mkdir", "os.rename", "tempfile.mkstemp"):
            mode = arguments[1] if event == "open" else "w"
            if isinstance(mode, str) and set(mode) & set("wax+"):
                written.append((event, arguments))

    sys.addaudithook(listen)
    values = post(client, radiograph.read_bytes()).json()
    client.get(values["files"]["overlay.png"])
    is_listening = False
    assert written == []


def test_audit_is_shown_first_and_escaped(tmp_path):
    folder = tmp_path / "audit" / "test"
    shutil.copytree(Path(__file__).parents[1] / "runs" / "former" / "run" / "audit" / "test", folder)
    audit = json_file.read(folder / "audit.json", "")
    sentence = finding.find(audit).sentence
    audit["verdict"]["paragraph"] = "A <b>shortcut</b>."
    (folder / "audit.json").write_text(json.dumps(audit))
    model = SimpleNamespace(
        run=tmp_path, classes=("covid19", "<i>b\"'"), step=3, has_ood_detector=False, notice="A <b>demonstration</b>."
    )
    described = card.describe(model, "/home/someone/<run>")
    assert (described.audit, described.audit_split, described.name) == (sentence, "test", "<run>")
    assert openapi.document(described)["info"]["description"] == sentence
    page = app.page.render(described, 2**20)
    assert page.index(card.DISCLAIMER) < page.index(html.escape(sentence)) < page.index('type="file"')
    assert "&lt;b&gt;demonstration" in page and "&lt;b&gt;shortcut" in page and "COVID-19" in page
    assert not any(markup in page for markup in ("<b>", "<run>", "<i>"))
    (folder / "audit.json").write_text("{")
    with pytest.raises(json_file.DamagedFileError, match="remove it, and audit the run again"):
        card.describe(model, "run")
    folder.rename(folder.with_name("test-before-1"))  # of another network
    assert "has no audit" in card.describe(model, "run").audit


def test_a_port_in_use_is_one_sentence():
    listener = server._listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with contextlib.closing(listener), pytest.raises(server.ServeError, match=f"--port={port}: .* in use"):
        server._listen("127.0.0.1", port)
    with pytest.raises(server.ServeError, match=r"--port=0: the server cannot listen here \([a-z ]+\); --port=0 takes"):
        server._listen("203.0.113.9", 0)  # an address for documentation, which no machine has


def test_unexpected_error_is_answered_without_details(service, capfd):
    class Broken(StubModel):
        def predict(self, image, **_):
            raise RuntimeError("SECRET")

    broken = Broken()
    service = app.Service(broken, card.describe(broken, "stub"))
    client = TestClient(app.create_app(service), base_url=BASE, raise_server_exceptions=False)
    png = cv2.imencode(".png", image_files.draw_image("whole"))[1].tobytes()
    response = post(client, png)
    assert response.status_code == 500 and "RuntimeError" in response.json()["error"]
    assert "SECRET" not in response.text + "".join(capfd.readouterr())
    service.close()
