"""Weights by address are downloaded once, and only those with the right hash are returned."""

import hashlib
import io
import os
import socket
import sys
import threading
import time
import types
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cxrjax.pretrained import hub
from cxrjax.pretrained.formats import WeightFormatError

CONTENT = b"what would be weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


@pytest.fixture
def requests(monkeypatch, tmp_path):
    """The requests to a stand-in for huggingface_hub, whose cache has the layout of the original."""
    requests = []

    def hf_hub_download(repository, filename, *, revision):
        requests.append((repository, filename, revision))
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
    return requests


@pytest.mark.parametrize("fragment", ["", f"#sha256={DIGEST}", f"#sha256={DIGEST.upper()}"])
def test_hub_file_is_located_with_a_notice_without_digest(requests, capsys, fragment):
    assert hub.locate(f"hf:some/one/big.pth@v1{fragment}").read_bytes() == CONTENT
    assert requests == [("some/one", "big.pth", "v1")]
    message = f"cxrjax: hf:some/one/big.pth@v1 may change; append #sha256={DIGEST} to always get these weights\n"
    assert capsys.readouterr().err == ("" if fragment else message)


def test_hub_address_may_have_a_deep_path_and_a_revision(requests):
    with pytest.raises(WeightFormatError):
        hub.locate("hf:off/line/a/b/c.safetensors")
    with pytest.raises(WeightFormatError):
        hub.locate("hf:off/line/c.safetensors@refs/pr/1")
    assert requests == [("off/line", "a/b/c.safetensors", None), ("off/line", "c.safetensors", "refs/pr/1")]


@pytest.mark.parametrize(
    "address, reason",
    [
        (f"hf:some/one/big.pth#sha256={OTHER}", f"its SHA-256 is {DIGEST} instead of {OTHER}"),
        ("hf:some/one/torn.pth", r"it is another file, or damaged; to download it again, delete .*blobs/0+$"),
        ("hf:some/one/small.pth", "has no SHA-256 of it; append one"),
        ("hf:off/line/w.pth", r"it cannot be downloaded from the hub \(Cannot find the file .* connection\)$"),
        ("hf:one/big.pth", "is hf:OWNER/NAME/PATH"),
        ("hf:some/one/big.pth#md5=0", "64 hexadecimal digits"),
        ("https://example.org/w.pth", "needs its SHA-256"),
        (f"https://example.org/w.pth#md5={DIGEST}", "64 hexadecimal digits"),
        (f"http://127.0.0.1:port/w.pth#sha256={DIGEST}", "cannot be downloaded"),
        (f"http://[::1/w.pth#sha256={DIGEST}", "cannot be downloaded"),
        (f"http://127.0.0.1/a b#sha256={DIGEST}", "cannot be downloaded"),
    ],
)
def test_wrong_or_missing_hub_file_is_one_sentence(requests, address, reason):
    with pytest.raises(WeightFormatError, match=reason) as error:
        hub.locate(address)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).startswith(address.partition("#")[0])


def test_missing_huggingface_hub_error_has_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # importing it now fails
    with pytest.raises(WeightFormatError, match=r"pip install 'cxrjax\[hub\]'"):
        hub.locate("hf:some/one/big.pth")


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A web server on this machine, and the paths requested from it."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}", requests
        served.shutdown()
        thread.join()


def test_web_file_is_downloaded_once(server, tmp_path):
    root, requests = server
    paths = [hub.locate(f"{root}/w.pth#sha256={DIGEST}") for _ in range(2)]
    assert paths[0] == paths[1] and paths[0].read_bytes() == CONTENT
    assert requests == ["/w.pth"]
    paths[0].write_bytes(b"damaged since")  # is fetched once more
    assert hub.locate(f"{root}/w.pth#sha256={DIGEST}").read_bytes() == CONTENT and len(requests) == 2
    paths[0].write_bytes(b"damaged since")
    with pytest.raises(WeightFormatError, match=f"{paths[0]} is damaged .* and it cannot be downloaded"):
        hub.locate(f"{root}/none#sha256={DIGEST}")


@pytest.fixture
def secure_server(server, monkeypatch):
    """The same server, whose address is https:// to the reader."""
    build = urllib.request.build_opener

    class Opener:
        def __init__(self, *handlers):
            self.opener = build(*handlers)

        def open(self, url, **arguments):
            return self.opener.open(url.replace("https://", "http://"), **arguments)

    monkeypatch.setattr(urllib.request, "build_opener", Opener)
    root, requests = server
    return root.replace("http://", "https://"), requests


def test_first_digits_of_a_digest_are_verified_and_all_are_printed(secure_server, capsys):
    root, requests = secure_server
    address = f"{root}/w-{DIGEST[:8]}.pth#sha256={DIGEST[:8]}"
    path = hub.locate(address)
    assert path.name == DIGEST and path.read_bytes() == CONTENT
    message = f"the first 8 digits of its SHA-256 are verified; append #sha256={DIGEST} to verify all\n"
    assert capsys.readouterr().err == f"cxrjax: {root}/w-{DIGEST[:8]}.pth: {message}"
    assert hub.locate(address) == hub.locate(f"{root}/w#sha256={DIGEST}") == path and len(requests) == 1
    assert capsys.readouterr().err == ""
    path.write_bytes(b"damaged since")
    assert hub.locate(address).read_bytes() == CONTENT and len(requests) == 2


def test_a_file_with_other_first_digits_is_refused(secure_server, tmp_path):
    root, _ = secure_server
    with pytest.raises(WeightFormatError, match=f"its SHA-256 is {DIGEST} instead of {OTHER[:8]}"):
        hub.locate(f"{root}/w#sha256={OTHER[:8]}")
    assert list((tmp_path / "cache" / "cxrjax").iterdir()) == []


@pytest.mark.parametrize(
    "address", ["https://host/w#sha256={:.7}", "http://host/w#sha256={:.63}", "hf:some/one/big.pth#sha256={:.8}"]
)
def test_fewer_than_8_digits_are_refused_and_http_needs_all(address):
    with pytest.raises(WeightFormatError, match="64 hexadecimal digits; for https://, the first 8 suffice"):
        hub.locate(address.format(DIGEST))


@pytest.mark.parametrize(
    "name, digest, reason", [("w", OTHER, "instead of 000"), ("none", DIGEST, "cannot be downloaded")]
)
def test_failed_download_leaves_no_file(server, tmp_path, name, digest, reason):
    root, _ = server
    with pytest.raises(WeightFormatError, match=f"{root}/{name}: .*{reason}"):
        hub.locate(f"{root}/{name}#sha256={digest}")
    assert list((tmp_path / "cache" / "cxrjax").iterdir()) == []


def test_local_path_with_a_hash_character_is_a_path(tmp_path):
    assert hub.locate(str(tmp_path / "w#1.pth")) == tmp_path / "w#1.pth"


HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "no status": (b"hello\r\n\r\n", "cannot be downloaded"),
    "nothing": (b"", "cannot be downloaded"),
    "an endless line": (b"HTTP/1.1 200 " + b"x" * 70_000, "cannot be downloaded"),
    "two hundred headers": (HEAD + b"A: b\r\n" * 200 + b"\r\n", "cannot be downloaded .*header"),
    "less than it says": (HEAD + b"Content-Length: 99\r\n\r\nshort", "cannot be downloaded|another file"),
    "a broken chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "cannot be downloaded"),
    "terabytes": (HEAD + b"Content-Length: 9999999999999\r\n\r\n", "it is 9999999999999 bytes long"),
    "escape codes": (b"HTTP/1.1 404 \x1b[31mred\r\n\r\n", r"cannot be downloaded \(\\x1b\[31mred\)"),
    "another scheme": (b"HTTP/1.1 302 Found\r\nLocation: http://example.org/w\r\n\r\n", "which is not https"),
    "a file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "cannot be downloaded"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_malformed_server_answer_is_one_sentence(tmp_path, monkeypatch, kind):
    answer, reason = ANSWERS[kind]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(WeightFormatError, match=reason) as error:
            hub.locate(f"http://127.0.0.1:{listening.getsockname()[1]}/w#sha256={DIGEST}")
        thread.join()
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 500
    assert [*(tmp_path / "cxrjax").iterdir()] == []


def test_endless_or_slow_download_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_MAX_BYTES", 10**6)
    with pytest.raises(OSError, match="longer than 1000000 bytes"):
        hub._copy(Endless({}), io.BytesIO())
    monkeypatch.setattr(hub, "_TIMEOUT_SECONDS", -1)
    with pytest.raises(OSError, match="less than 10 kB per second"):
        hub._copy(Endless({}, size=0.0), io.BytesIO())


class Endless:
    """Sends without end, a number of bytes at a time; or nearly none."""

    def __init__(self, headers, size=1000):
        self.headers, self.size = headers, size

    def read1(self, most):
        time.sleep(0 if self.size else 0.01)
        return b"x" * int(self.size or 1)


def test_hub_cache_without_home_is_in_the_cache_folder(requests, monkeypatch, tmp_path):
    monkeypatch.setattr(hub.cache, "find_home", lambda: None)
    for variable in ("HF_HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(variable, "")  # restored after the test
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hub.locate("hf:some/one/big.pth")
    assert os.environ["HF_HOME"] == str(tmp_path / "cxrjax" / "huggingface")


@pytest.mark.parametrize("address", ["ftp://x/y", "s3://bucket/key", "file:///etc/hosts", "Https://x/y"])
def test_addresses_of_other_schemes_are_refused(address):
    with pytest.raises(WeightFormatError, match="addresses of weights begin with hf: or https://"):
        hub.locate(address)


def test_password_in_an_address_is_refused_and_not_printed():
    with pytest.raises(WeightFormatError, match="a user name or password is not accepted") as error:
        hub.locate(f"https://me:secret@host.example/y#sha256={DIGEST}")
    assert "secret" not in str(error.value) and "host.example" in str(error.value)


def test_non_ascii_address_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(WeightFormatError, match="write them as %XX"):
        hub.locate(f"http://localhost:1/\u00fc#sha256={DIGEST}")
