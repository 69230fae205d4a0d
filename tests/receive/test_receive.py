"""A whole receiver: a model, a folder, a port and a stop."""

import socket
import threading
from contextlib import contextmanager

import pydicom
import pytest

from cxrjax.receive import receiver
from cxrjax.receive.job_queue import JobQueue, QueueError
from cxrjax.receive.nodes import LOOPBACK, parse_senders
from cxrjax.receive.receiver import Settings
from cxrjax.runtime import lock, signals
from tests.dicom.conftest import PATIENT, UIDS, model, save_chest  # noqa: F401  (model is a fixture)
from tests.helpers.orthanc import free_port, wait_until
from tests.receive.test_receiver import send


@pytest.fixture
def settings(tmp_path):
    return Settings(
        folder=tmp_path / "queue",
        title="CXRJAX",
        host="127.0.0.1",
        port=free_port(),
        senders=parse_senders(["SENDER"], LOOPBACK),
        destination=None,
    )


@pytest.fixture
def stopping(monkeypatch):
    """An event that stops a receiver like a signal."""
    stopping = threading.Event()

    @contextmanager
    def deferred(grace):
        yield stopping.is_set

    monkeypatch.setattr(signals, "deferred", deferred)
    return stopping


def is_open(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_received_radiograph_has_three_results_of_its_patient(model, settings, stopping, tmp_path, capfd):  # noqa: F811
    save_chest(tmp_path / "chest.dcm", ViewPosition="PA")
    thread = threading.Thread(target=receiver.receive, args=(model, settings))
    thread.start()
    wait_until(lambda: is_open(settings.port), 60)
    assert send(settings.port, pydicom.dcmread(tmp_path / "chest.dcm")) == [0]
    results = settings.folder / "results"
    wait_until(lambda: len(list(results.glob("*.dcm"))) == 3, 60)
    with pytest.raises(lock.LockedError, match="it is being used by another process .* name another --output"):
        receiver.receive(model, settings)
    stopping.set()
    thread.join(60)
    stored = [pydicom.dcmread(path) for path in sorted(results.iterdir())]
    assert [dataset.Modality for dataset in stored] == ["SEG", "OT", "SR"]
    assert {dataset.PatientID for dataset in stored} == {PATIENT["PatientID"]}
    assert {dataset.StudyInstanceUID for dataset in stored} == {UIDS["StudyInstanceUID"]}
    output = "".join(capfd.readouterr())
    assert "radiograph 1: examined, 3 results" in output
    assert "planted" not in output.lower() and UIDS["SOPInstanceUID"] not in output


def test_a_folder_of_another_model_is_refused_before_a_port_is_opened(model, settings, stopping):  # noqa: F811
    receiver.job_queue.create_folders(settings.folder)
    JobQueue(settings.folder, "other weights").close()
    with pytest.raises(QueueError, match="another model"):
        receiver.receive(model, settings)
