"""Weights by address are fetched once, and only those whose hash is the right one are given out."""

import hashlib
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cxrjax.pretrained import hub
from cxrjax.pretrained.files import UnreadableWeights

CONTENT = b"what would be weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A stand-in for huggingface_hub, its cache laid out as the real one's; what it was asked for."""
    asked = []

    def hf_hub_download(repository, filename, *, revision):
        asked.append((repository, filename, revision))
        if repository == "off/line":
            raise FileNotFoundError("Cannot find the file in the local cache. Please check your connection.\nMore.")
        # A large file's blob has its SHA-256 for a name, a small one's the SHA-1 of git.
        blob = tmp_path / "blobs" / {"big.pth": DIGEST, "torn.pth": OTHER, "small.pth": "0" * 40}[filename]
        path = tmp_path / "snapshots" / filename
        for place in (blob, path):
            place.parent.mkdir(exist_ok=True)
        blob.write_bytes(CONTENT)
        path.symlink_to(blob)
        return str(path)

    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


@pytest.mark.parametrize("fragment", ["", f"#sha256={DIGEST}", f"#sha256={DIGEST.upper()}"])
def test_a_file_of_the_hub(asked, fragment):
    assert hub.locate(f"hf:some/one/big.pth@v1{fragment}").read_bytes() == CONTENT
    assert asked == [("some/one", "big.pth", "v1")]


def test_the_path_may_be_deep_and_the_revision_the_newest(asked):
    with pytest.raises(UnreadableWeights):
        hub.locate("hf:off/line/a/b/c.safetensors")
    with pytest.raises(UnreadableWeights):
        hub.locate("hf:off/line/c.safetensors@refs/pr/1")
    assert asked == [("off/line", "a/b/c.safetensors", None), ("off/line", "c.safetensors", "refs/pr/1")]


@pytest.mark.parametrize(
    "address, reason",
    [
        (f"hf:some/one/big.pth#sha256={OTHER}", f"its SHA-256 is {DIGEST}, and not {OTHER}"),
        ("hf:some/one/torn.pth", "it is another file, or damaged"),
        ("hf:some/one/small.pth", "tells no SHA-256 of it; give one"),
        ("hf:off/line/w.pth", r"the hub does not give it \(Cannot find the file .* connection\)$"),
        ("hf:one/big.pth", "is hf:OWNER/NAME/PATH"),
        ("hf:some/one/big.pth#md5=0", "64 hexadecimal digits"),
        ("https://example.org/w.pth", "only by its hash"),
    ],
)
def test_what_cannot_be_checked_or_had_is_one_sentence(asked, address, reason):
    with pytest.raises(UnreadableWeights, match=reason) as error:
        hub.locate(address)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).startswith(address.partition("#")[0])


def test_without_huggingface_hub_it_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # importing it now fails
    with pytest.raises(UnreadableWeights, match=r"pip install 'cxrjax\[hub\]'"):
        hub.locate("hf:some/one/big.pth")


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A web server on this machine, and what it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}", asked
        served.shutdown()
        thread.join()


def test_a_file_of_the_web_is_fetched_once(server, tmp_path):
    root, asked = server
    paths = [hub.locate(f"{root}/w.pth#sha256={DIGEST}") for _ in range(2)]
    assert paths[0] == paths[1] and paths[0].read_bytes() == CONTENT
    assert asked == ["/w.pth"]
    paths[0].write_bytes(b"damaged since")
    with pytest.raises(UnreadableWeights, match="another file, or damaged"):
        hub.locate(f"{root}/w.pth#sha256={DIGEST}")


@pytest.mark.parametrize("name, digest, reason", [("w", OTHER, "and not 000"), ("none", DIGEST, "cannot be fetched")])
def test_another_file_or_none_leaves_nothing_behind(server, tmp_path, name, digest, reason):
    root, _ = server
    with pytest.raises(UnreadableWeights, match=f"{root}/{name}: .*{reason}"):
        hub.locate(f"{root}/{name}#sha256={digest}")
    assert list((tmp_path / "cache" / "cxrjax").iterdir()) == []


def test_a_path_is_a_path(tmp_path):
    assert hub.locate(str(tmp_path / "w#1.pth")) == tmp_path / "w#1.pth"
