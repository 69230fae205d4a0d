"""A receiver between Debian's Orthanc and DCMTK, killed while it works."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_prep.phantom.draw import draw
from tests.helpers import orthanc as orthanc_program
from tests.helpers.orthanc import free_port, wait_until
from tests.receive.conftest import save_radiograph

STORESCU = shutil.which("storescu")
COUNT = 200  # radiographs
SENDERS = 4
KINDS = ["OT", "SEG", "SR"]  # modalities of the results
KILLS = {"received": [20, 150], "examined": [15], "sent": [120, 350]}  # lines of the log after which it is killed
SECONDS = 1800  # for the whole test, on a slow machine
ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (orthanc_program.PROGRAM and STORESCU), reason="Orthanc or DCMTK's storescu is not installed"
    ),
]


@pytest.fixture
def orthanc(tmp_path):
    """A running Orthanc, which stores each instance only once."""
    with orthanc_program.run(tmp_path) as server:
        yield server


class ReceiverProcess:
    """The command line of a receiver, which can be killed and started again."""

    def __init__(self, folder, send_to):
        self.port = free_port()
        self._folder = folder
        self._send_to = send_to
        self._process = None
        self.log = folder / "receiver.log"

    def start(self):
        command = [
            *(sys.executable, "-m", "cxrjax.main", "--mode=receive", "--model=lungs", "--if_inverted=ignore"),
            *(f"--output={self._folder / 'queue'}", f"--port={self.port}", f"--send_to={self._send_to}"),
            *("--allow_aet=STORESCU", f"--compilation_cache_dir={self._folder / 'compiled'}"),
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
        with self.log.open("a") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        starts = self.count("listening")
        wait_until(lambda: self.count("listening") > starts or self._process.poll() is not None, SECONDS)
        assert self._process.poll() is None, self.log.read_text()

    def end(self, number):
        self._process.send_signal(number)
        return self._process.wait(180)

    def count(self, word):
        """Return the number of lines that begin or end with a word, as "received"."""
        return len(re.findall(rf"^{word} |: {word}$|: {word},| {word}$", self.log.read_text(), re.M))


@pytest.fixture
def radiographs(tmp_path):
    """Phantoms with frontal headers, one study each, in a folder per sender; a lateral one in the last."""
    for number in range(COUNT):
        label = ("normal", "covid19", "bacterial")[number % 3]
        pixels = draw(label, np.random.default_rng(number), size=128).pixels
        uid = f"1.2.826.0.1.3680043.8.498.{number + 1}"
        save_radiograph(
            tmp_path / "sent" / str(number % SENDERS) / f"{number}.dcm",
            pixels=pixels,
            StudyInstanceUID=f"{uid}.1",
            SeriesInstanceUID=f"{uid}.2",
            PatientBirthDate="19500101",
            PixelSpacing=["2.5", "2.5"],
        )
    save_radiograph(tmp_path / "sent" / "0" / "lateral.dcm", ViewPosition="LL")
    return tmp_path / "sent"


def test_results_arrive_once_although_the_receiver_is_killed_five_times(orthanc, radiographs, tmp_path):
    receiver = ReceiverProcess(tmp_path, f"ORTHANC@127.0.0.1:{orthanc.port}")
    receiver.start()
    # Each sender sends its folder until all of it is confirmed, as a PACS does.
    send = f"until {STORESCU} -aet STORESCU -aec CXRJAX +sd 127.0.0.1 {receiver.port} $0; do sleep 0.5; done"
    senders = [
        subprocess.Popen(["sh", "-c", send, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for folder in sorted(radiographs.iterdir())
    ]
    assert len(senders) == SENDERS
    try:
        for word, numbers in KILLS.items():
            for number in numbers:
                wait_until(lambda word=word, number=number: receiver.count(word) >= number, SECONDS)
                receiver.end(signal.SIGKILL)
                receiver.start()
        assert [sender.wait(SECONDS) for sender in senders] == [0] * SENDERS
    finally:
        for sender in senders:
            sender.kill()
    wait_until(lambda: orthanc.read("statistics")["CountInstances"] >= len(KINDS) * COUNT, SECONDS)
    wait_until(lambda: not list((tmp_path / "queue" / "results").iterdir()), 60)
    assert receiver.end(signal.SIGTERM) == 143

    studies = orthanc.read("studies?expand")
    series = {entry["ID"]: entry for entry in orthanc.read("series?expand")}
    assert len(studies) == COUNT
    for study in studies:
        results = [series[number] for number in study["Series"]]
        assert sorted(result["MainDicomTags"]["Modality"] for result in results) == KINDS
        assert [len(result["Instances"]) for result in results] == [1, 1, 1]
        assert study["PatientMainDicomTags"]["PatientID"] == "SENTINEL-77"
    assert orthanc.read("statistics")["CountInstances"] == len(KINDS) * COUNT
    # Beyond the results themselves, at most one object was sent again after each kill.
    stored = Counter(change["ChangeType"] for change in orthanc.read("changes?limit=100000")["Changes"])
    assert stored["NewInstance"] == len(KINDS) * COUNT
    # Of the radiographs, the lateral one is left; no line and no name says who the patient is.
    (left,) = (tmp_path / "queue" / "radiographs").iterdir()
    log = receiver.log.read_text()
    assert f"set aside ({left.name}): lateral view, by its ViewPosition" in log
    names = " ".join(path.name for path in (tmp_path / "queue").rglob("*"))
    assert "sentinel" not in (log + names).lower() and "1.2.826" not in log + names
