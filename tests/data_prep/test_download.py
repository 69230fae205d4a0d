"""Downloads from a real local server that interrupts connections, sends wrong data, or cannot be reached."""

import hashlib
import io
import json
import re
import sys
import tarfile
import threading
import types
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from data_prep import __main__
from data_prep.download import http
from data_prep.download.source_files import _unique_name, download_source
from data_prep.options import Options
from data_prep.record import PreparationError, Record
from data_prep.source import RemoteFile, Source
from tests.helpers.image_files import save_image

BIG = np.random.default_rng(0).bytes(1_000_000)


class Server(ThreadingHTTPServer):
    """A test server of `files` by path; the next `cuts` answers for a path stop halfway."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: Counter[str] = Counter()
        self.ranges = True
        self.served = 0
        self.requested_ranges: list[str] = []
        self.version = '"1"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        data = server.files.get(path)
        if data is None:
            self.send_error(404)
            return
        requested = self.headers.get("Range", "")
        server.requested_ranges.append(requested)
        start = int(re.fullmatch(r"bytes=(\d+)-", requested)[1]) if requested else 0
        if not server.ranges or self.headers.get("If-Range") != server.version:
            start = 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", server.version)
        self.end_headers()
        end = (start + len(data)) // 2 if server.cuts[path] > 0 else len(data)
        server.cuts[path] -= 1
        server.served += end - start  # before the last byte leaves, for then the test goes on
        self.wfile.write(data[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http, "PAUSE", 0.01)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Upstream(Source):
    """PNG files of a folder, each of a different patient."""

    name = "upstream"
    description = "test"
    homepage = "Ask upstream for it"
    license = "none"
    size = "small"
    coverage = "all"
    split_ratios = (1, 0, 0)

    def __init__(self, *files: RemoteFile, kaggle: str = ""):
        self.files, self.kaggle = files, kaggle

    def records(self, root, options):
        for file in sorted(root.rglob("*.png")):
            yield Record(file.relative_to(root).as_posix(), file, label="viral", source=self.name, license="none")


def fetch(source: Source, out: Path) -> Path:
    return download_source(source, Options(out=str(out)))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as pack:
        for name, data in files.items():
            pack.writestr(name, data)
    return buffer.getvalue()


def list_files(folder: Path) -> list[str]:
    return sorted(re.sub("[0-9a-f]{8}", "*", path.name) for path in folder.rglob("*") if path.is_file())


def test_interrupted_download_is_resumed(server, tmp_path):
    server.files["/big.bin"], server.cuts["/big.bin"] = BIG, 2
    root = fetch(Upstream(RemoteFile(f"{server.url}/big.bin", sha256(BIG), "folder/big.bin")), tmp_path)
    assert (root / "folder" / "big.bin").read_bytes() == BIG
    assert server.requested_ranges == ["", "bytes=499999-", "bytes=749998-"]
    assert server.served == len(BIG) + 2  # one byte is sent twice for each resumption


def test_same_command_resumes_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    server.files |= {"/small.bin": b"small", "/big.bin": BIG}
    server.cuts["/big.bin"] = 1
    source = Upstream(*(RemoteFile(f"{server.url}/{name}.bin", "", f"{name}.bin") for name in ("small", "big")))
    with pytest.raises(PreparationError, match=r"big\.bin: interrupted after 500000 of 1000000 bytes; run the same"):
        fetch(source, tmp_path)
    downloads = tmp_path / "downloads" / "upstream"
    assert list_files(downloads) == ["*-big.bin.partial", "*-big.bin.version", "*-small.bin"]
    before = server.served
    root = fetch(source, tmp_path)
    assert server.served - before == 500_001
    assert (root / "big.bin").read_bytes() == BIG and (root / "small.bin").read_bytes() == b"small"
    assert list_files(downloads) == ["big.bin", "small.bin"]
    requested = len(server.requested_ranges)
    assert fetch(source, tmp_path) == root
    assert len(server.requested_ranges) == requested


@pytest.mark.parametrize("change", ["another version", "no ranges"])
def test_download_restarts_if_it_cannot_be_resumed(server, tmp_path, monkeypatch, change):
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    server.files["/big.bin"], server.cuts["/big.bin"] = BIG, 1
    source = Upstream(RemoteFile(f"{server.url}/big.bin", "", "big.bin"))
    with pytest.raises(PreparationError, match="interrupted"):
        fetch(source, tmp_path)
    if change == "another version":
        server.files["/big.bin"], server.version = BIG[::-1], '"2"'
    else:
        server.ranges = False
    root = fetch(source, tmp_path)
    assert (root / "big.bin").read_bytes() == server.files["/big.bin"]


def test_wrong_checksum_is_reported_and_leaves_nothing(server, tmp_path):
    server.files["/big.bin"] = BIG
    with pytest.raises(PreparationError) as refused:
        fetch(Upstream(RemoteFile(f"{server.url}/big.bin", sha256(b"other"), "big.bin")), tmp_path)
    for expected in (f"{server.url}/big.bin", sha256(BIG), sha256(b"other")):
        assert expected in str(refused.value)
    assert list_files(tmp_path) == []


def test_error_of_the_server_is_reported(server, tmp_path):
    with pytest.raises(PreparationError, match=rf"^{server.url}/none\.zip: the server answers 404 Not Found$"):
        fetch(Upstream(RemoteFile(f"{server.url}/none.zip", "", "")), tmp_path)


def test_unreachable_server_is_named(tmp_path):
    with Server() as gone:
        url = f"{gone.url}/a.zip"
    with pytest.raises(PreparationError, match=rf"^{url}: the server cannot be reached \(connection refused\)$"):
        fetch(Upstream(RemoteFile(url, "", "")), tmp_path)


def test_full_disk_is_reported(server, tmp_path):
    server.files["/big.bin"] = BIG
    source = Upstream(RemoteFile(f"{server.url}/big.bin", "", "big.bin"))
    fetched = tmp_path / "downloads" / "upstream" / "fetched"
    fetched.mkdir(parents=True)
    (fetched / f"{_unique_name(source.files[0])}.partial").symlink_to("/dev/full")
    with pytest.raises(PreparationError, match="no space left on device"):
        fetch(source, tmp_path)


def test_archives_are_unpacked_and_removed(server, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as pack:
        member = tarfile.TarInfo("masks/a.txt")
        member.size = 4
        pack.addfile(member, io.BytesIO(b"mask"))
    server.files |= {"/images.zip": zipped({"images/a.txt": b"image"}), "/masks.tgz": buffer.getvalue()}
    server.files["/table.csv"] = b"a,b"
    files = (("images.zip?download=1", ""), ("masks.tgz", "more"), ("table.csv", "table.csv"))
    root = fetch(Upstream(*(RemoteFile(f"{server.url}/{name}", "", path) for name, path in files)), tmp_path)
    assert (root / "images" / "a.txt").read_bytes() == b"image"
    assert (root / "more" / "masks" / "a.txt").read_bytes() == b"mask"
    assert list_files(tmp_path) == ["a.txt", "a.txt", "table.csv"]


def linked() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as pack:
        member = tarfile.TarInfo("inside")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        pack.addfile(member)
    return buffer.getvalue()


def locked() -> bytes:
    """Return a zip file whose member has the flag of encryption, in its header and in the index."""
    data = bytearray(zipped({"a.txt": b"a"}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("slip.zip", zipped({"fine.txt": b"", "../../../slipped.txt": b"x"}), r"refused.*slipped\.txt"),
        ("root.zip", zipped({"/tmp/slipped.txt": b"x"}), r"refused.*slipped\.txt"),
        ("link.tar", linked(), "refused.*inside"),
        ("half.zip", zipped({"a": BIG})[:-50], "damaged"),
        ("locked.zip", locked(), "encrypted"),
        ("page.tar.gz", b"<html>log in first</html>", "not an archive"),
    ],
)
def test_bad_archive_is_refused_and_removed(server, tmp_path, name, data, reason):
    server.files[f"/{name}"] = data
    with pytest.raises(PreparationError, match=rf"{name}: .*{reason}"):
        fetch(Upstream(RemoteFile(f"{server.url}/{name}", "", "")), tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.rglob("slipped.txt")) and not Path("/tmp/slipped.txt").exists()
    downloads = tmp_path / "a" / "b" / "c" / "downloads" / "upstream"
    assert not list(downloads.glob("upstream-*")) and not list((downloads / "fetched").iterdir())


def test_download_resume_and_preparation(server, tmp_path, monkeypatch, capsys):
    """Run the whole command as a user does."""
    for number in range(10):
        save_image(
            tmp_path / "made" / f"{number}.png", np.full((64, 56), number, np.uint8) + np.eye(64, 56, dtype=np.uint8)
        )
    made = {f"set/{path.name}": path.read_bytes() for path in (tmp_path / "made").iterdir()}
    server.files["/set.zip"] = zipped(made)
    source = Upstream(RemoteFile(f"{server.url}/set.zip", sha256(server.files["/set.zip"]), ""))
    monkeypatch.setattr(__main__, "find_sources", lambda: {"upstream": source})
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    server.cuts["/set.zip"] = 1
    command = ["upstream", f"--out={tmp_path / 'out'}", "--duplicates=off"]
    assert __main__.main(command) == 2
    output = capsys.readouterr().err
    assert "run the same command again to resume" in output.splitlines()[-1]
    assert __main__.main(command) == 0
    assert "train 10 (viral 10)" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "upstream" / "2.0.0" / "report.json").read_text())
    assert report["counts"] == {"train": {"viral": 10}} and report["skipped"] == []


def test_source_with_registration_says_where_to_get_it(tmp_path):
    with pytest.raises(PreparationError, match="^Ask upstream for it; then use --raw_dir=DIR$"):
        fetch(Upstream(), tmp_path)


def fake_kagglehub(monkeypatch, download) -> None:
    module = types.ModuleType("kagglehub")
    module.dataset_download = download
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kaggle_data_set_is_downloaded_with_kagglehub(tmp_path, monkeypatch):
    fake_kagglehub(monkeypatch, lambda handle: str(tmp_path / handle))
    assert fetch(Upstream(kaggle="owner/name"), tmp_path) == tmp_path / "owner" / "name"


def test_missing_kagglehub_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(
        PreparationError, match=r"pip install 'cxrjax\[kaggle\]', or .*datasets/owner/name .*--raw_dir=DIR$"
    ):
        fetch(Upstream(kaggle="owner/name"), tmp_path)


def test_error_of_kaggle_is_one_sentence_with_advice(tmp_path, monkeypatch):
    def refuse(handle: str) -> str:
        raise RuntimeError("403 Client Error.\n\nYou don't have permission to access it.")

    fake_kagglehub(monkeypatch, refuse)
    with pytest.raises(
        PreparationError, match=r"403 Client Error\).*KAGGLE_USERNAME and KAGGLE_KEY.*--raw_dir=DIR"
    ) as refused:
        fetch(Upstream(kaggle="owner/name"), tmp_path)
    assert "\n" not in str(refused.value)
