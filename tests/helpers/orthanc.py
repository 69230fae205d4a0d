"""A running Orthanc (Debian's package `orthanc`), a third-party PACS."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")


class Orthanc:
    """An Orthanc on this machine, on free ports.

    Attributes:
        port: DICOM port; AE titles are not checked.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.http_port = free_port()

    def fetch(self, path: str, data: bytes | None = None) -> bytes:
        """Return the answer of the REST interface, to a POST request if there is data."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/{path}", data, timeout=60) as answer:
            return answer.read()

    def read(self, path: str, data: bytes | None = None) -> Any:
        """Return an answer that is JSON."""
        return json.loads(self.fetch(path, data))

    def is_up(self) -> bool:
        try:
            return bool(self.read("system"))
        except OSError:
            return False


@contextmanager
def run(folder: Path) -> Iterator[Orthanc]:
    """Run an Orthanc that stores in a folder, and each instance only once."""
    server = Orthanc()
    config = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "DicomPort": server.port,
        "HttpPort": server.http_port,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "OverwriteInstances": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([str(PROGRAM), str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            wait_until(server.is_up, 60)
            yield server
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_until(is_done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
